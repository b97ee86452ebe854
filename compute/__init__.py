"""Floor 5: servers and where they run."""
