"""For the blocks of a piece of an extent, a byte each: which of many layers has the block. How such maps are made.

A window is 4096 blocks, 16 MiB. Maps are made of whole tables at once, without a loop over blocks in Python.
"""

from functools import cache
from typing import Final, Generic, TypeVar

from storage.host.block_table import LINE_BYTES
from storage.host.extent_files import ExtentFiles

WINDOW_SHIFT: Final = 12
WINDOW_BLOCKS: Final = 1 << WINDOW_SHIFT
# Many windows are all of one layer. Their maps take no memory of their own, so that many more of them can be kept.
SHARED_FOR_EACH: Final = 16
_ALL_ONES: Final = b"\0" + b"\1" * 255

Key = TypeVar("Key")


def known_blocks(lines: bytes) -> bytes:
    """For each line of a table a byte: 1 if the block has a stamp, 0 if not."""
    stamped = 0
    for at in range(LINE_BYTES // 2, LINE_BYTES):
        stamped |= int.from_bytes(lines[at::LINE_BYTES], "little")
    return stamped.to_bytes(len(lines) // LINE_BYTES, "little").translate(_ALL_ONES)


def settled_blocks(files: ExtentFiles, first: int, count: int) -> bytes:
    """The same for `count` blocks of an extent's files; empty if none of them has a stamp."""
    start = files.table.next_line(first, first + count)
    if start >= first + count:
        return b""
    return bytes(start - first) + known_blocks(files.table.raw_lines(start, first + count - start))


def laid_under(above: bytes, below: bytes | bytearray, layer: int = 1) -> bytes:
    """The map `above`, and where it names no layer `layer` for what `below` has; as long as the longer of both."""
    size = max(len(above), len(below))
    named = int.from_bytes(above, "little")
    taken = int.from_bytes(above.translate(_ALL_ONES), "little") * 255
    return (named | (int.from_bytes(below, "little") * layer & ~taken)).to_bytes(size, "little")


@cache
def _uniform(layer: int, size: int) -> bytes:
    return bytes((layer,)) * size


class WindowMaps(Generic[Key]):
    """Maps that are kept; those that were made first are forgotten when there are too many."""

    def __init__(self, maps_max: int) -> None:
        self._maps: dict[Key, bytes | bytearray] = {}
        self._mixed: dict[Key, None] = {}  # those that take memory of their own
        self._maps_max = maps_max
        self.get = self._maps.get

    def __len__(self) -> int:
        return len(self._maps)

    def put(self, key: Key, window: bytes) -> bytes:
        """Keep one; how it is kept."""
        if len(self._maps) >= SHARED_FOR_EACH * self._maps_max:
            self.pop(next(iter(self._maps)))
        uniform = _uniform(window[0], len(window))
        if window == uniform:
            self._maps[key] = uniform
            return uniform
        self._maps[key] = window
        self._is_mixed(key)
        return window

    def mark(self, key: Key, at: int, layer: int) -> None:
        """From now on this layer has the block; nothing where no map is kept."""
        window = self._maps.get(key)
        if window is None or window[at] == layer:
            return
        if isinstance(window, bytes):
            window = self._maps[key] = bytearray(window)
            self._is_mixed(key)
        window[at] = layer

    def pop(self, key: Key) -> None:
        """Forget one."""
        self._maps.pop(key, None)
        self._mixed.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._maps.clear()
        self._mixed.clear()

    def _is_mixed(self, key: Key) -> None:
        self._mixed[key] = None
        if len(self._mixed) > self._maps_max:
            self.pop(next(iter(self._mixed)))
