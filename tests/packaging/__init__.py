"""Does the Debian package install, and is what it brings right?"""
