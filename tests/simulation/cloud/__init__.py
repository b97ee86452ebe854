"""A whole cloud in one process: real log, store, services and reconcilers over simulated machines, from a seed."""
