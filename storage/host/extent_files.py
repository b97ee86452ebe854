"""Where do settled blocks live on a disk? Two sparse files an extent, a small one a volume, one for the disk.

    disk.json                  which disk this is
    journal                    `journal.py`
    volumes/<uuid>/volume      two slots of what must be known of the volume
    volumes/<uuid>/N.data      the blocks of extent N, at their places; holes are zeroes
    volumes/<uuid>/N.lines     what is known of each block: `block_table.py`

The background thread alone writes them; the loop only reads. A crash in the middle is of no consequence, because the
journal still holds all that was being written.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from storage.extents.frame import hash_of
from storage.extents.layout import BLOCK_BYTES, BLOCK_SHIFT
from storage.extents.messages import volume_key
from storage.host.block_table import LOST_STAMP, BlockTable, place_of, table_bytes
from storage.host.journal import sync_directory

# One write of the data file moves at most this many blocks.
RUN_BLOCKS_MAX: Final = 256
SLOT_BYTES: Final = 32 * 1024
_SLOT_HEAD: Final = struct.Struct("<QQI")  # xxh3 of the rest, sequence, length of the body

_PUNCH_HOLE_KEEP_SIZE: Final = 3
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)

# What the journal knows of a block: stamp, hash, and where in the journal its bytes lie.
Entry = tuple[int, int, int]
# Above every stamp that is given, but not above those that are lost: an earlier release kept no account of the newest.
STAMP_UNKNOWN: Final = LOST_STAMP - 1
# The place of a block that needs no bytes, because it is all zero or absent.
NOWHERE: Final = -1


class VolumeFacts(msgspec.Struct, frozen=True):
    """What a disk must know of a volume, beside its blocks. `parents` is the chain, nearest first."""

    volume_id: str
    size_bytes: int
    extent_bytes: int
    parents: tuple[str, ...]
    sealed_epoch: int = 0
    watermark: int = 0
    layout_changes: int = 0  # see `serving.Replica`
    newest_stamp: int = STAMP_UNKNOWN  # no block has a newer one


class ExtentFiles:
    """The two files of an extent, open for reading. The table is not mapped: mapped pages would be memory of ours."""

    __slots__ = ("data", "table")

    def __init__(self, data: int, table: BlockTable) -> None:
        self.data = data
        self.table = table

    def close(self) -> None:
        """Give both back."""
        os.close(self.data)
        os.close(self.table.fd)


def open_extent(directory: Path, extent: int) -> ExtentFiles | None:
    """The files of an extent, or None if nothing of it has been settled yet."""
    try:
        table = os.open(directory / f"{extent}.lines", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if os.fstat(table).st_size == 0:
        os.close(table)
        return None
    data = os.open(directory / f"{extent}.data", os.O_RDONLY | os.O_CLOEXEC)
    return ExtentFiles(data, BlockTable(table, place_of(volume_key(directory.name), extent)))


def settle_extent(
    directory: Path, extent: int, extent_bytes: int, entries: Mapping[int, Entry], journal: memoryview
) -> None:
    """Bring the newest blocks of one extent from the journal to their places, durably. Raises OSError."""
    with _for_writing(directory / f"{extent}.data") as data, _for_writing(directory / f"{extent}.lines") as table:
        if os.fstat(table).st_size == 0:
            os.ftruncate(data, extent_bytes)
            os.ftruncate(table, table_bytes(extent_bytes >> BLOCK_SHIFT))
            # Now, so that a file that is shorter has lost something.
            os.fsync(data)
            os.fsync(table)
            sync_directory(directory)
        blocks = sorted(entries)
        for first, count, parts in _runs(entries, blocks):
            if parts:
                _write_all(data, [journal[start:stop] for start, stop in parts], first << BLOCK_SHIFT)
            else:
                _punch(data, first << BLOCK_SHIFT, count << BLOCK_SHIFT)
        BlockTable(table, place_of(volume_key(directory.name), extent)).write(entries, blocks)
        # Data first would not matter: until the journal's segment is used again, both can be made again.
        os.fdatasync(data)
        os.fdatasync(table)


def _runs(entries: Mapping[int, Entry], blocks: Sequence[int]) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Blocks that lie side by side in the extent: the first, how many, and the parts of the journal that hold them, one
    behind the other. No parts: they are zero or absent."""
    first = count = stop = 0
    parts: list[tuple[int, int]] = []
    for block in blocks:
        place = entries[block][2]
        if count and (block != first + count or (place < 0) == bool(parts) or count == RUN_BLOCKS_MAX):
            yield first, count, parts
            count, parts = 0, []
        if not count:
            first = block
        count += 1
        if place < 0:
            continue
        if parts and place == stop:
            parts[-1] = (parts[-1][0], place + BLOCK_BYTES)
        else:
            parts.append((place, place + BLOCK_BYTES))
        stop = place + BLOCK_BYTES
    if count:
        yield first, count, parts


def _write_all(fd: int, buffers: Sequence[memoryview], offset: int) -> None:
    """Write all buffers from `offset` on. Raises OSError."""
    if os.pwritev(fd, buffers, offset) != sum(map(len, buffers)):
        # The disk may be full: then this says so.
        os.pwrite(fd, b"".join(buffers), offset)


@contextmanager
def _for_writing(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _punch(fd: int, offset: int, length: int) -> None:
    """Give the space of a range back; it reads as zeroes."""
    if _libc.fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, offset, length) != 0:
        # A file system without holes keeps the space: the table says that the blocks are zero.
        error = ctypes.get_errno()
        if error not in {errno.EOPNOTSUPP, errno.ENOSYS}:
            raise OSError(error, f"punching a hole: {os.strerror(error)}")


def write_facts(directory: Path, facts: VolumeFacts, sequence: int) -> None:
    """Keep the facts of a volume, durably, in the slot that does not hold the newest ones. Raises OSError."""
    body = msgspec.msgpack.encode(facts)
    rest = _SLOT_HEAD.pack(0, sequence, len(body))[8:] + body
    assert len(rest) + 8 <= SLOT_BYTES, "the chain of parents is too long for its slot"
    slot = struct.pack("<Q", hash_of(rest)) + rest
    with _for_writing(directory / "volume") as fd:
        os.pwrite(fd, slot, (sequence % 2) * SLOT_BYTES)
        os.fdatasync(fd)


def read_facts(directory: Path) -> tuple[VolumeFacts, int] | None:
    """The newest facts of a volume that are whole and their sequence; None if there are none."""
    try:
        content = (directory / "volume").read_bytes()
    except FileNotFoundError:
        return None
    found: list[tuple[int, VolumeFacts]] = []
    for start in (0, SLOT_BYTES):
        slot = content[start : start + SLOT_BYTES]
        if len(slot) < _SLOT_HEAD.size:
            continue
        digest, sequence, length = _SLOT_HEAD.unpack_from(slot)
        rest = slot[8 : _SLOT_HEAD.size + length]
        if hash_of(rest) == digest:
            found.append((sequence, msgspec.msgpack.decode(rest[_SLOT_HEAD.size - 8 :], type=VolumeFacts)))
    if not found:
        return None
    sequence, facts = max(found, key=lambda each: each[0])
    return facts, sequence
