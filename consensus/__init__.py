"""Floor 1: the replicated log, the store, the members."""
