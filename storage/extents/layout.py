"""Which extent, and which bytes of it, does a range of a volume touch? And which disks may leave the in-sync set?"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

BLOCK_BYTES: Final = 4096
BLOCK_SHIFT: Final = 12
EXTENTS_MAX: Final = 65_535  # the wire frame has 16 bits for the extent

Disk = TypeVar("Disk")


class Piece(NamedTuple):
    """The part of a range that lies in one extent: where in the extent, where in the range, how long. In bytes."""

    extent: int
    offset: int
    start: int
    length: int


def extent_count(size_bytes: int, extent_bytes: int) -> int:
    """How many extents a volume of that size has; the last one may be used only in part."""
    return -(-size_bytes // extent_bytes)


def pieces(offset: int, length: int, extent_bytes: int, piece_bytes_max: int) -> Iterator[Piece]:
    """The range `offset`, `length` of a volume, cut at extent borders and into pieces of at most `piece_bytes_max`."""
    start = 0
    while start < length:
        extent, inside = divmod(offset + start, extent_bytes)
        size = min(length - start, extent_bytes - inside, piece_bytes_max)
        yield Piece(extent, inside, start, size)
        start += size


def may_leave(layout: Sequence[Collection[Disk]], in_sync: Collection[Disk], leaving: Collection[Disk]) -> bool:
    """Whether every extent still has an in-sync replica after `leaving` have left the in-sync set."""
    staying = set(in_sync) - set(leaving)
    return all(not staying.isdisjoint(replicas) for replicas in layout)
