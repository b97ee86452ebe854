"""What an image file is, and whether it is what it claims to be. No I/O."""
