"""Reaches the daemon of this host."""
