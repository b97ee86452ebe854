"""The ground: the words and contracts that every room shares. Standard library and msgspec only; no I/O."""
