"""The `noded` command: starts the daemon, and asks the one that runs on this host."""
