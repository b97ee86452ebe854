"""Networks over a cluster in memory: the log, the wiring and the twin of the machine, together."""
