"""How fast, how small and how steady is the log? Beside etcd, under kills of its leader, and with many nodes."""
