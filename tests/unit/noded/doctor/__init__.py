"""What the doctor makes of what it finds."""
