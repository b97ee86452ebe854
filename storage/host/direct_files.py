"""What does a volume server read straight from the disk of its node? The extents' files, verified block by block.

The extent server writes these files in the background and may do so during a read. Then hash and bytes do not match,
and the reader asks the extent server instead, which knows.
"""

import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from storage.extents.frame import ZERO_BLOCK_HASH, hash_of
from storage.extents.layout import BLOCK_BYTES, BLOCK_SHIFT
from storage.extents.messages import FilesState
from storage.host.event_log import note
from storage.host.extent_files import ExtentFiles, open_extent
from storage.host.open_files import open_extents_max
from storage.host.windows import WINDOW_BLOCKS, WINDOW_SHIFT, WindowMaps, laid_under, settled_blocks

# As many as a volume of some extents above as many layers as there may be on the way to a read.
OPEN_EXTENTS_MAX: Final = 1024
# At most 4 MiB of maps, for 16 GiB of what is read most, and more of what is all of one layer.
MAPS_MAX: Final = 1024
# A map has a byte a block. What is further down is the extent server's to look for.
LAYERS_MAX: Final = 255
# So many hashes take 2 MiB with the numbers of their blocks: those of 512 MiB of what is read most.
HASHES_MAX: Final = 1 << 17
_SCATTER: Final = 0x9E37
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

    def __init__(self, state: FilesState, extents_max: int = OPEN_EXTENTS_MAX) -> None:
        self._layers = [(Path(directory), size_bytes) for directory, size_bytes in state.layers[:LAYERS_MAX]]
        self._is_cut = len(state.layers) > LAYERS_MAX
        self._is_flat = len(state.layers) == 1
        self._extent_bytes = state.extent_bytes
        self._seals = SealCount(Path(state.seals_path))
        self._open: dict[tuple[int, int], ExtentFiles | None] = {}
        self._open_max = min(extents_max, open_extents_max())
        # 0: no layer has the block; 1: the volume's own; 2: the one below; and so on. The lower ones never change, and
        # are all in their files when a map is made. Of the own one, what was settled since is told by `look_again`.
        self._maps: WindowMaps[tuple[int, int]] = WindowMaps(MAPS_MAX)
        # The hashes of the lower layers' blocks that were read last, by a part of their numbers; and whose they are.
        # A chain's tables are many files: without this a read of one would wait for the memory of two of them.
        self._hashes, self._hashed = _numbers(), _numbers()
        self._failed = False

    @property
    def seals(self) -> int:
        """See `direct.Files`."""
        return self._seals.value

    def read(self, extent: int, offset: int, length: int) -> memoryview | None:
        """See `direct.Files`."""
        if self._failed:
            return None
        if len(self._open) > self._open_max:
            self._close_oldest()
        try:
            if length == BLOCK_BYTES:
                # Most reads are of one block: the same as below, without all that is for several.
                return self._read_one(extent, offset >> BLOCK_SHIFT)
            data = memoryview(bytearray(length))
            return data if self._fill(extent, offset >> BLOCK_SHIFT, data) else None
        except OSError as error:
            # The extent server meets the same, and knows what to do about it.
            note("files can't be read", reason=str(error), extent=extent)
            self._failed = True
            return None

    def look_again(self, settled: Iterable[int] | None) -> None:
        """See `direct.Files`."""
        self._failed = False
        self._open = {key: files for key, files in self._open.items() if files is not None}
        if settled is None:
            self._maps.clear()
            self._hashed = _numbers()
        elif not self._is_flat:
            blocks = self._extent_bytes >> BLOCK_SHIFT
            for block in settled:
                extent, number = divmod(block, blocks)
                self._maps.mark((extent, number >> WINDOW_SHIFT), number & (WINDOW_BLOCKS - 1), 1)

    def close(self) -> None:
        """See `direct.Files`."""
        for files in self._open.values():
            if files is not None:
                files.close()
        self._open.clear()
        self._seals.close()

    def _read_one(self, extent: int, number: int) -> memoryview | None:
        if self._is_flat:
            layer = 0
        else:
            window = self._maps.get((extent, number >> WINDOW_SHIFT)) or self._map(extent, number >> WINDOW_SHIFT)
            layer = window[number & (WINDOW_BLOCKS - 1)] - 1
            if layer > 0:
                return self._read_below(layer, extent, number)
            if layer < 0:
                return None if self._is_cut else memoryview(_ZEROES)
        files = self._files(layer, extent)
        digest, stamp = (0, 0) if files is None else files.table.line(number)
        if not stamp:
            if self._is_flat:
                return memoryview(_ZEROES)
            self._mistaken(extent, number)
            return None
        if digest == ZERO_BLOCK_HASH:
            return memoryview(_ZEROES)
        assert files is not None, "the stamp was read from them"
        block = os.pread(files.data, BLOCK_BYTES, number << BLOCK_SHIFT)
        return memoryview(block) if hash_of(block) == digest else None

    def _read_below(self, layer: int, extent: int, number: int) -> memoryview | None:
        """What a lower layer has never changes: so its hash need not be read twice."""
        files = self._open.get((layer, extent)) or self._files(layer, extent)
        block_id = extent << 40 | number << 8 | layer
        place = (number ^ extent * _SCATTER) & (HASHES_MAX - 1)
        if files is None:
            return None
        if self._hashed[place] == block_id:
            digest = self._hashes[place]
        else:
            digest, stamp = files.table.line(number)
            if not stamp:
                self._mistaken(extent, number)
                return None
            self._hashed[place], self._hashes[place] = block_id, digest
        if digest == ZERO_BLOCK_HASH:
            return memoryview(_ZEROES)
        block = os.pread(files.data, BLOCK_BYTES, number << BLOCK_SHIFT)
        if hash_of(block) == digest:
            return memoryview(block)
        self._hashed[place] = 0  # the table may have been repaired since
        return None

    def _mistaken(self, extent: int, number: int) -> None:
        """A map says that a layer has a block, and it has it not: a write that was refused. It is made anew."""
        self._maps.pop((extent, number >> WINDOW_SHIFT))

    def _fill(self, extent: int, first: int, into: memoryview) -> bool:
        """Put the blocks from `first` on in place as the volume shows them; whether all of it is clear."""
        count, at = min(len(into) >> BLOCK_SHIFT, self._blocks(0, extent) - first), 0
        if self._is_flat:
            return count <= 0 or self._take(0, extent, first, into[: count << BLOCK_SHIFT])
        while at < count:
            window, start = divmod(first + at, WINDOW_BLOCKS)
            holders = self._map(extent, window)[start : start + count - at]
            for holder, group in groupby(holders):
                size = sum(1 for _ in group)
                part = into[at << BLOCK_SHIFT : (at + size) << BLOCK_SHIFT]
                if not holder and self._is_cut:
                    return False
                if holder and not self._take(holder - 1, extent, first + at, part):
                    return False
                at += size
        return True

    def _take(self, layer: int, extent: int, first: int, into: memoryview) -> bool:
        """Blocks that are all in one layer; a volume without others shows zeroes where it has none."""
        files = self._files(layer, extent)
        if files is None:
            return self._is_flat
        numbers = files.table.lines(first, len(into) >> BLOCK_SHIFT).tolist()
        digests, stamps = numbers[::2], numbers[1::2]
        for start, stop in _runs(digests, stamps):
            if stamps[start]:
                if not _verified(files, digests[start:stop], first, start, into):
                    return False
            elif not self._is_flat:
                self._mistaken(extent, first + start)
                return False
        return True

    def _map(self, extent: int, window: int) -> bytes | bytearray:
        known = self._maps.get((extent, window))
        return known if known is not None else self._maps.put((extent, window), self._make_map(extent, window))

    def _make_map(self, extent: int, window: int) -> bytes:
        made, limit, first = b"", WINDOW_BLOCKS, window << WINDOW_SHIFT
        for layer in range(len(self._layers)):
            # What a clone has beyond its source's end shows nothing of it.
            limit = min(limit, self._blocks(layer, extent) - first)
            if limit <= 0:
                break
            files = self._files(layer, extent)
            if files is not None:
                made = laid_under(made, settled_blocks(files, first, limit), layer + 1)
        return made + bytes(WINDOW_BLOCKS - len(made))

    def _blocks(self, layer: int, extent: int) -> int:
        """How many blocks of an extent lie within a layer."""
        return min(self._extent_bytes, self._layers[layer][1] - extent * self._extent_bytes) >> BLOCK_SHIFT

    def _files(self, layer: int, extent: int) -> ExtentFiles | None:
        key = layer, extent
        if key not in self._open:
            self._open[key] = open_extent(self._layers[layer][0], extent)
        return self._open[key]

    def _close_oldest(self) -> None:
        """Only between reads: one read may use the files of several layers."""
        while len(self._open) > self._open_max:
            files = self._open.pop(next(iter(self._open)))
            if files is not None:
                files.close()


def _numbers() -> memoryview:
    """As many as there may be hashes, all of them 0. It takes memory only where it is written."""
    return memoryview(mmap.mmap(-1, 8 * HASHES_MAX)).cast("Q")


def _runs(digests: list[int], stamps: list[int]) -> Iterator[tuple[int, int]]:
    """The parts of a table whose blocks are all absent, or all there; zeroes are left out, they are there already."""
    at, count = 0, len(stamps)
    if 0 not in stamps and ZERO_BLOCK_HASH not in digests:
        yield 0, count  # as nearly always; finding it out takes no loop in Python
        return
    while at < count:
        start, absent = at, not stamps[at]
        if not absent and digests[at] == ZERO_BLOCK_HASH:
            at += 1
            continue
        while at < count and (not stamps[at]) == absent and (absent or digests[at] != ZERO_BLOCK_HASH):
            at += 1
        yield start, at


def _verified(files: ExtentFiles, digests: list[int], first: int, start: int, into: memoryview) -> bool:
    """Read blocks that have bytes of their own; whether each of them is what the table says."""
    part = into[start << BLOCK_SHIFT : (start + len(digests)) << BLOCK_SHIFT]
    if os.preadv(files.data, [part], (first + start) << BLOCK_SHIFT) != len(part):
        return False
    return [hash_of(part[at : at + BLOCK_BYTES]) for at in range(0, len(part), BLOCK_BYTES)] == digests
