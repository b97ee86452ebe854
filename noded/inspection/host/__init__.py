"""Reads the machine's own figures."""
