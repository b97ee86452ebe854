"""What does a volume server read straight from the disk of its node? The extents' files, verified block by block.

The extent server writes these files in the background and may do so during a read. Then hash and bytes do not match,
and the reader asks the extent server instead, which knows.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from storage.extents.frame import ZERO_BLOCK_HASH, hash_of
from storage.extents.layout import BLOCK_BYTES, BLOCK_SHIFT
from storage.extents.messages import FilesState
from storage.host.extent_files import TABLE_LINE, TABLE_LINE_BYTES, ExtentFiles, open_extent

OPEN_EXTENTS_MAX: Final = 64
# A map says for each block of a piece of an extent which layer below the volume's own has it; 2 MiB of maps.
WINDOW_SHIFT: Final = 12
WINDOW_BLOCKS: Final = 1 << WINDOW_SHIFT
MAPS_MAX: Final = 512
# A map has a byte a block. What is further down is the extent server's to look for.
LAYERS_MAX: Final = 255
_ZEROES: Final = bytes(BLOCK_BYTES)
_COUNT: Final = struct.Struct("<Q")


class SealCount:
    """How often volumes of a disk were sealed, in a page that its extent server and the volume servers share."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self.path = path
        flags = (os.O_RDWR | os.O_CREAT) if writable else os.O_RDONLY
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            if writable:
                os.ftruncate(fd, mmap.PAGESIZE)
            self._page = mmap.mmap(fd, mmap.PAGESIZE, prot=mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0))
        finally:
            os.close(fd)

    @property
    def value(self) -> int:
        """The number as of now."""
        count: int = _COUNT.unpack_from(self._page)[0]
        return count

    def add(self) -> None:
        """One more. Only the extent server does that."""
        _COUNT.pack_into(self._page, 0, self.value + 1)

    def close(self) -> None:
        """Give the page back."""
        self._page.close()


class DirectFiles:
    """The files of a volume and of what it was cloned from, nearest first. Implements `direct.Files`."""

    def __init__(self, state: FilesState) -> None:
        self._layers = [(Path(directory), size_bytes) for directory, size_bytes in state.layers[:LAYERS_MAX]]
        self._is_cut = len(state.layers) > LAYERS_MAX
        self._extent_bytes = state.extent_bytes
        self._seals = SealCount(Path(state.seals_path))
        self._open: dict[tuple[int, int], ExtentFiles | None] = {}
        # Made only while all that the lower layers have is in their files, and that never changes: so they stay right.
        self._maps: dict[tuple[int, int], bytes] = {}

    @property
    def seals(self) -> int:
        """See `direct.Files`."""
        return self._seals.value

    def read(self, extent: int, offset: int, length: int) -> memoryview | None:
        """See `direct.Files`."""
        if length == BLOCK_BYTES:
            # Most reads are of one block: the same as below, without all that is for several.
            return self._read_one(extent, offset >> BLOCK_SHIFT)
        data = memoryview(bytearray(length))
        return data if self._fill(extent, offset >> BLOCK_SHIFT, data) else None

    def _read_one(self, extent: int, number: int) -> memoryview | None:
        files = self._files(0, extent)
        digest, stamp = (0, 0) if files is None else _line(files, number)
        if not stamp:
            if self._is_cut:
                return None
            layer = self._holder(extent, number)
            files = self._files(layer, extent) if layer else None
            digest, stamp = (0, 0) if files is None else _line(files, number)
            if layer and not stamp:
                return None  # the map says that it has the block
        if not stamp or digest == ZERO_BLOCK_HASH:
            return memoryview(_ZEROES)
        assert files is not None, "the stamp was read from them"
        block = os.pread(files.data, BLOCK_BYTES, number << BLOCK_SHIFT)
        return memoryview(block) if hash_of(block) == digest else None

    def _holder(self, extent: int, number: int) -> int:
        """The layer below the volume's own that has the block; 0: none has it."""
        if len(self._layers) == 1 or number >= self._blocks(0, extent):
            return 0
        return self._map(extent, number >> WINDOW_SHIFT)[number & (WINDOW_BLOCKS - 1)]

    def look_again(self) -> None:
        """See `direct.Files`."""
        self._open = {key: files for key, files in self._open.items() if files is not None}

    def close(self) -> None:
        """See `direct.Files`."""
        self._close_extents()
        self._seals.close()

    def _fill(self, extent: int, first: int, into: memoryview) -> bool:
        """Put the blocks from `first` on in place as the volume shows them; whether all of it is clear."""
        into = into[: max(0, min(len(into) >> BLOCK_SHIFT, self._blocks(0, extent) - first)) << BLOCK_SHIFT]
        files = self._files(0, extent)
        if files is None:
            return not into or self._fill_below(extent, first, into)
        lines = files.lines(first, len(into) >> BLOCK_SHIFT)
        return all(
            self._fill_below(extent, first + start, into[start << BLOCK_SHIFT : stop << BLOCK_SHIFT])
            if not lines[2 * start + 1]
            else _verified(files, lines, first, start, stop, into)
            for start, stop in _runs(lines)
        )

    def _fill_below(self, extent: int, first: int, into: memoryview) -> bool:
        """The same for blocks that the volume's own layer has not: from whichever layer below has them."""
        if self._is_cut:
            return False
        if len(self._layers) == 1:
            return True
        count, at = len(into) >> BLOCK_SHIFT, 0
        while at < count:
            window, start = divmod(first + at, WINDOW_BLOCKS)
            holders = self._map(extent, window)[start : start + count - at]
            for layer, group in groupby(holders):
                size = sum(1 for _ in group)
                if layer and not self._take(
                    layer, extent, first + at, into[at << BLOCK_SHIFT : at + size << BLOCK_SHIFT]
                ):
                    return False
                at += size
        return True

    def _take(self, layer: int, extent: int, first: int, into: memoryview) -> bool:
        """Blocks that are all in one layer."""
        files = self._files(layer, extent)
        if files is None:
            return False
        lines = files.lines(first, len(into) >> BLOCK_SHIFT)
        return all(
            bool(lines[2 * start + 1]) and _verified(files, lines, first, start, stop, into)
            for start, stop in _runs(lines)
        )

    def _map(self, extent: int, window: int) -> bytes:
        known = self._maps.pop((extent, window), None)
        if known is None:
            known = self._make_map(extent, window << WINDOW_SHIFT)
            if len(self._maps) >= MAPS_MAX:
                del self._maps[next(iter(self._maps))]
        self._maps[extent, window] = known  # at the end: used last
        return known

    def _make_map(self, extent: int, first: int) -> bytes:
        made, limit = bytearray(WINDOW_BLOCKS), WINDOW_BLOCKS
        for layer in range(1, len(self._layers)):
            # What a clone has beyond its source's end shows nothing of it.
            limit = min(limit, self._blocks(layer, extent) - first)
            if limit <= 0:
                break
            files = self._files(layer, extent)
            start = limit if files is None else files.next_line(first, first + limit) - first
            if files is not None and start < limit:
                for number, stamp in enumerate(files.lines(first + start, limit - start)[1::2].tolist(), start):
                    if stamp and not made[number]:
                        made[number] = layer
        return bytes(made)

    def _blocks(self, layer: int, extent: int) -> int:
        """How many blocks of an extent lie within a layer."""
        return min(self._extent_bytes, self._layers[layer][1] - extent * self._extent_bytes) >> BLOCK_SHIFT

    def _files(self, layer: int, extent: int) -> ExtentFiles | None:
        key = layer, extent
        if key not in self._open:
            if len(self._open) >= OPEN_EXTENTS_MAX:
                self._close_extents()
            self._open[key] = open_extent(self._layers[layer][0], extent)
        return self._open[key]

    def _close_extents(self) -> None:
        for files in self._open.values():
            if files is not None:
                files.close()
        self._open.clear()


def _line(files: ExtentFiles, number: int) -> tuple[int, int]:
    """What the table says of a block: hash and stamp."""
    digest: int
    digest, stamp = TABLE_LINE.unpack(os.pread(files.table, TABLE_LINE_BYTES, number * TABLE_LINE_BYTES))
    return digest, stamp


def _runs(lines: memoryview) -> Iterator[tuple[int, int]]:
    """The parts of a table whose blocks are all absent, or all there; zeroes are left out, they are there already."""
    at, count = 0, len(lines) // 2
    while at < count:
        start, absent = at, not lines[2 * at + 1]
        if not absent and lines[2 * at] == ZERO_BLOCK_HASH:
            at += 1
            continue
        while at < count and (not lines[2 * at + 1]) == absent and (absent or lines[2 * at] != ZERO_BLOCK_HASH):
            at += 1
        yield start, at


def _verified(files: ExtentFiles, lines: memoryview, first: int, start: int, stop: int, into: memoryview) -> bool:
    """Read blocks that have bytes of their own; whether each of them is what the table says."""
    part = into[start << BLOCK_SHIFT : stop << BLOCK_SHIFT]
    if os.preadv(files.data, [part], (first + start) << BLOCK_SHIFT) != len(part):
        return False
    return all(
        hash_of(part[at << BLOCK_SHIFT : (at + 1) << BLOCK_SHIFT]) == lines[2 * (start + at)]
        for at in range(stop - start)
    )
