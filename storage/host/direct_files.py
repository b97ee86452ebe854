"""What does a volume server read straight from the disk of its node? The extents' files, verified block by block.

The extent server writes these files in the background and may do so during a read. Then hash and bytes do not match,
and the reader asks the extent server instead, which knows.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from storage.extents.frame import ZERO_BLOCK_HASH, hash_of
from storage.extents.layout import BLOCK_BYTES, BLOCK_SHIFT
from storage.extents.messages import FilesState
from storage.host.extent_files import TABLE_LINE, TABLE_LINE_BYTES, ExtentFiles, open_extent

OPEN_EXTENTS_MAX: Final = 64
# A block that is only found further up is the extent server's to look for: it remembers more than files say.
LAYERS_MAX: Final = 4
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

    @property
    def seals(self) -> int:
        """See `direct.Files`."""
        return self._seals.value

    def read(self, extent: int, offset: int, length: int) -> memoryview | None:
        """See `direct.Files`."""
        if length == BLOCK_BYTES and (files := self._files(0, extent)) is not None:
            line = os.pread(files.table, TABLE_LINE_BYTES, (offset >> BLOCK_SHIFT) * TABLE_LINE_BYTES)
            digest, stamp = TABLE_LINE.unpack(line)
            if stamp and digest != ZERO_BLOCK_HASH:
                block = os.pread(files.data, BLOCK_BYTES, offset)
                return memoryview(block) if hash_of(block) == digest else None
        data = memoryview(bytearray(length))
        return data if self._fill(0, extent, offset >> BLOCK_SHIFT, data) else None

    def look_again(self) -> None:
        """See `direct.Files`."""
        self._open = {key: files for key, files in self._open.items() if files is not None}

    def close(self) -> None:
        """See `direct.Files`."""
        self._close_extents()
        self._seals.close()

    def _fill(self, layer: int, extent: int, first: int, into: memoryview) -> bool:
        """Put the blocks from `first` on in place as this layer shows them; whether all of it is clear."""
        if layer == len(self._layers):
            return not self._is_cut
        count = len(into) >> BLOCK_SHIFT
        # What a clone has beyond its source's end shows nothing of it.
        end = (self._layers[layer][1] - extent * self._extent_bytes) >> BLOCK_SHIFT
        into = into[: max(0, min(count, end - first)) << BLOCK_SHIFT]
        if not into:
            return True
        files = self._files(layer, extent)
        if files is None:
            return self._fill(layer + 1, extent, first, into)
        lines = files.lines(first, len(into) >> BLOCK_SHIFT)
        return all(
            self._fill(layer + 1, extent, first + start, into[start << BLOCK_SHIFT : stop << BLOCK_SHIFT])
            if not lines[2 * start + 1]
            else _verified(files, lines, first, start, stop, into)
            for start, stop in _runs(lines)
        )

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
