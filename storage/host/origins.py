"""Which layer holds a block that a volume reads through to? Found in one step, however many layers there are.

For each piece of an extent (16 MiB) there is a map with a byte a block: the depth, counted from the lowest, of the
nearest layer that has the block. Layers below a volume hardly ever change, so a map lives until a repair changes one of
them. A map is made from the one of the nearest layer below that has one: after a snapshot that is one layer's work.
"""

from collections.abc import Callable
from itertools import groupby
from typing import Final

from storage.extents.layout import BLOCK_SHIFT
from storage.host.extent import DiskReplica, Extent
from storage.host.extent_files import Entry
from storage.host.windows import WINDOW_BLOCKS, WINDOW_SHIFT, WindowMaps, laid_under

# At most 8 MiB of maps, for 32 GiB of what is read most, and more of what is all of one layer.
MAPS_MAX: Final = 2048

_Place = tuple[DiskReplica, int, int]


class OriginMaps:
    """The maps of all layers of one disk; the oldest are forgotten."""

    def __init__(self, keep_open: Callable[[Extent], None], maps_max: int = MAPS_MAX) -> None:
        self._keep_open = keep_open
        self._maps: WindowMaps[_Place] = WindowMaps(maps_max)

    def resolve(self, replica: DiskReplica, index: int, first: int, count: int) -> list[tuple[Extent, Entry]]:
        """Where the bytes of some blocks are: in the volume's own layer, or in one below it."""
        if count == 1:
            # Most reads are of one block: the same as below, without all that is for several.
            return [self._resolve_one(replica, index, first)]
        extent = replica.extent(index)
        found = [(extent, entry) for entry in extent.entries(first, count)]
        self._keep_open(extent)
        parent = replica.parent
        if parent is None or all(entry[0] for _, entry in found):
            return found
        shown = min(count, blocks_in(parent, index) - first)
        at = 0
        while at < shown:
            window, start = divmod(first + at, WINDOW_BLOCKS)
            stop = min(shown, at + WINDOW_BLOCKS - start)
            depths = self._map(parent, index, window)[start : start + stop - at]
            self._fill(found, parent, index, first, at, depths)
            at = stop
        return found

    def _resolve_one(self, replica: DiskReplica, index: int, block: int) -> tuple[Extent, Entry]:
        extent, parent = replica.extent(index), replica.parent
        entry = extent.entry(block)
        self._keep_open(extent)
        if entry[0] or parent is None or block >= blocks_in(parent, index):
            return extent, entry
        depth = self._map(parent, index, block >> WINDOW_SHIFT)[block & (WINDOW_BLOCKS - 1)]
        if depth:
            extent = parent.chain[depth - 1].extent(index)
            entry = extent.entry(block)
            self._keep_open(extent)
        return extent, entry

    def forget(self, replica: DiskReplica, index: int, first: int, count: int) -> None:
        """Some blocks of a layer have changed: what was known of it, and of all above it, is out of date."""
        windows = range(first >> WINDOW_SHIFT, ((first + count - 1) >> WINDOW_SHIFT) + 1)
        above = [replica]
        while above:
            layer = above.pop()
            above += layer.children
            for window in windows:
                self._maps.pop((layer, index, window))

    def clear(self) -> None:
        """Layers have come or gone: nothing that was known holds."""
        self._maps.clear()

    def _fill(
        self,
        found: list[tuple[Extent, Entry]],
        parent: DiskReplica,
        index: int,
        first: int,
        at: int,
        depths: bytes | bytearray,
    ) -> None:
        """Put what the layers have in the places of what the volume has not."""
        wanted = [0 if found[at + number][1][0] else depth for number, depth in enumerate(depths)]
        for depth, group in groupby(wanted):
            size = sum(1 for _ in group)
            if depth:
                extent = parent.chain[depth - 1].extent(index)
                entries = extent.entries(first + at, size)
                found[at : at + size] = [(extent, entry) for entry in entries]
                self._keep_open(extent)
            at += size

    def _map(self, layer: DiskReplica, index: int, window: int) -> bytes | bytearray:
        place = (layer, index, window)
        known = self._maps.get(place)
        return known if known is not None else self._maps.put(place, self._make(layer, index, window))

    def _make(self, layer: DiskReplica, index: int, window: int) -> bytes:
        first = window << WINDOW_SHIFT
        made = b""
        limit = WINDOW_BLOCKS
        below: DiskReplica | None = layer
        while below is not None:
            limit = min(limit, blocks_in(below, index) - first)
            if limit <= 0:
                break
            if (known := self._maps.get((below, index, window))) is not None:
                made = laid_under(made, known[:limit])
                break
            extent = below.extent(index)
            made = laid_under(made, extent.known(first, limit), below.depth)
            self._keep_open(extent)
            below = below.parent
        return made + bytes(WINDOW_BLOCKS - len(made))


def blocks_in(replica: DiskReplica, index: int) -> int:
    """How many blocks of an extent lie within a volume."""
    return min(replica.extent_bytes, replica.size_bytes - index * replica.extent_bytes) >> BLOCK_SHIFT
