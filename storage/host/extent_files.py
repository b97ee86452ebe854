"""Where do settled blocks live on a disk? Two sparse files an extent, a small one a volume, one for the disk.

    disk.json                  which disk this is
    journal                    `journal.py`
    volumes/<uuid>/volume      two slots of what must be known of the volume
    volumes/<uuid>/N.data      the blocks of extent N, at their places; holes are zeroes
    volumes/<uuid>/N.table     16 bytes a block: hash u64, stamp u64; zero: never written

The background thread alone writes them; the loop only reads. A crash in the middle is of no consequence, because the
journal still holds all that was being written.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

import msgspec

from storage.extents.frame import hash_of
from storage.extents.layout import BLOCK_BYTES, BLOCK_SHIFT
from storage.host.journal import sync_directory

TABLE_LINE: Final = struct.Struct("<QQ")
TABLE_LINE_BYTES: Final = 16
# 4 KiB of the table.
TABLE_PAGE_SHIFT: Final = 8
# One write of the data file moves at most this many blocks.
RUN_BLOCKS_MAX: Final = 256
SLOT_BYTES: Final = 32 * 1024
_SLOT_HEAD: Final = struct.Struct("<QQI")  # xxh3 of the rest, sequence, length of the body

_PUNCH_HOLE_KEEP_SIZE: Final = 3
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)

# What the journal knows of a block: stamp, hash, and where in the journal its bytes lie.
Entry = tuple[int, int, int]
# Above every stamp: an earlier release kept no account of the newest.
STAMP_UNKNOWN: Final = (1 << 64) - 1
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

    def __init__(self, data: int, table: int) -> None:
        self.data = data
        self.table = table

    def next_line(self, block: int, stop: int) -> int:
        """The first block from `block` on for which the table may have a line; `stop` if there is none before it."""
        try:
            at = os.lseek(self.table, block * TABLE_LINE_BYTES, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return stop
        return min(stop, at // TABLE_LINE_BYTES)

    def lines(self, block: int, count: int) -> memoryview:
        """The table's numbers of `count` blocks: hash, stamp, hash, stamp, and so on."""
        return memoryview(self.raw_lines(block, count)).cast("Q")

    def raw_lines(self, block: int, count: int) -> bytes:
        """The same as it is in the file."""
        return os.pread(self.table, count * TABLE_LINE_BYTES, block * TABLE_LINE_BYTES)

    def close(self) -> None:
        """Give both back."""
        os.close(self.data)
        os.close(self.table)


def open_extent(directory: Path, extent: int) -> ExtentFiles | None:
    """The files of an extent, or None if nothing of it has been settled yet."""
    try:
        table = os.open(directory / f"{extent}.table", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if os.fstat(table).st_size == 0:
        os.close(table)
        return None
    return ExtentFiles(os.open(directory / f"{extent}.data", os.O_RDONLY | os.O_CLOEXEC), table)


def settle_extent(
    directory: Path, extent: int, extent_bytes: int, entries: Mapping[int, Entry], journal: memoryview
) -> None:
    """Bring the newest blocks of one extent from the journal to their places, durably. Raises OSError."""
    with _for_writing(directory / f"{extent}.data") as data, _for_writing(directory / f"{extent}.table") as table:
        if os.fstat(table).st_size == 0:
            os.ftruncate(data, extent_bytes)
            os.ftruncate(table, (extent_bytes >> BLOCK_SHIFT) * TABLE_LINE_BYTES)
            sync_directory(directory)
        blocks = sorted(entries)
        for run in _runs(entries, blocks):
            offset = run[0] << BLOCK_SHIFT
            if entries[run[0]][2] < 0:
                _punch(data, offset, len(run) << BLOCK_SHIFT)
            else:
                places = (entries[block][2] for block in run)
                _write_all(data, [journal[place : place + BLOCK_BYTES] for place in places], offset)
        for _, page in groupby(blocks, lambda block: block >> TABLE_PAGE_SHIFT):
            _write_lines(table, entries, list(page))
        # Data first would not matter: until the journal's segment is used again, both can be made again.
        os.fdatasync(data)
        os.fdatasync(table)


def _runs(entries: Mapping[int, Entry], blocks: Sequence[int]) -> Iterator[list[int]]:
    """Blocks that lie side by side in the extent, and either all have bytes or none has."""
    run = list(blocks[:1])
    for before, block in pairwise(blocks):
        alike = (entries[before][2] < 0) == (entries[block][2] < 0)
        if block == before + 1 and alike and len(run) < RUN_BLOCKS_MAX:
            run.append(block)
        else:
            yield run
            run = [block]
    if run:
        yield run


def _write_lines(table: int, entries: Mapping[int, Entry], blocks: Sequence[int]) -> None:
    """Enter blocks of one page of the table: all in one write, since each write costs more than the page does."""
    first = blocks[0]
    lines = bytearray((blocks[-1] + 1 - first) * TABLE_LINE_BYTES)
    if len(blocks) * TABLE_LINE_BYTES < len(lines):
        os.preadv(table, [lines], first * TABLE_LINE_BYTES)
    for block in blocks:
        stamp, digest, _ = entries[block]
        TABLE_LINE.pack_into(lines, (block - first) * TABLE_LINE_BYTES, digest, stamp)
    os.pwrite(table, lines, first * TABLE_LINE_BYTES)


def _write_all(fd: int, buffers: Sequence[memoryview], offset: int) -> None:
    """Write all buffers from `offset` on. Raises OSError."""
    size = len(buffers) << BLOCK_SHIFT
    if os.pwritev(fd, buffers, offset) != size:
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
