"""Sizes as numbers with a name."""

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def gib_ceil(size_bytes: int) -> int:
    """How many whole GiB hold `size_bytes`."""
    return -(-size_bytes // GIB)
