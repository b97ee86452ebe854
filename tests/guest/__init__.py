"""A small guest image made from Debian packages alone, so that a test cloud needs no download of anybody's image."""
