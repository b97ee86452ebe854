"""The first guest, end to end: the whole cloud on simulated hosts, seen through unmodified clients."""
