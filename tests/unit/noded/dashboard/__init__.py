"""What the dashboard makes of answers."""
