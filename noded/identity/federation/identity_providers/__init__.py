"""Identity providers and the protocols that they speak."""
