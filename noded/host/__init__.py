"""What the daemon itself asks of the machine: its address, and to be told apart from a hanging one."""
