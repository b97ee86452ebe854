"""What an operator is shown."""
