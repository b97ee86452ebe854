"""Floor 2: networks, ports and what carries their packets."""
