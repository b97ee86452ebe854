"""What identity does with this machine: passwords cost memory and time here, on purpose."""
