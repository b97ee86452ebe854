"""Floor 4: what servers are made from."""
