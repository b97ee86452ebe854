"""How is the state machine's state written to a file, so that it comes back whole or is refused?

    file  = magic "NCP1", block*
    block = kind (u8), length (u32), CRC of kind, length and content (u32), content

The first block is the header; then come request ids and the state's own blocks, compressed; the last is the end mark,
which counts the blocks. A file without its end mark was cut short.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from consensus.host.files import sync_directory
from consensus.host.seams import Entry
from consensus.incarnation import Incarnation
from noded.core.unreadable import UNREADABLE

_MAGIC: Final = b"NCP1"
_HEAD: Final = struct.Struct("<BII")
_BLOCK_BYTES_MAX: Final = 64 * 1024 * 1024
_FORMAT: Final = 1


class CheckpointRefused(Exception):  # noqa: N818
    """The file is no whole checkpoint that this release can read. Nothing of it was used."""


class Part(IntEnum):
    """What a block belongs to."""

    HEADER = 1
    REQUESTS = 2
    STATE = 3
    END = 4


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the log the checkpoint stands: `last` is the newest entry applied, `previous` the one before."""

    format: int = _FORMAT
    previous: Entry
    last: Entry
    voters: tuple[str, ...]
    incarnation: Incarnation | None = None

    @property
    def index(self) -> int:
        """The index of the newest entry inside."""
        return self.last[1]


def write(path: Path, header: Header, parts: Iterable[tuple[Part, bytes]], breathe: Callable[[], None]) -> None:
    """Write and verify beside `path`, then replace it: it is the old checkpoint or the new one at every moment.

    `parts` is drained lazily; `breathe` is called after each block, and may raise to give up. Raises OSError,
    CheckpointRefused.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(_MAGIC)
            _write_block(file, Part.HEADER, msgspec.msgpack.encode(header))
            count = 1
            for part, content in parts:
                _write_block(file, part, zlib.compress(content, 1))
                count += 1
                breathe()
            _write_block(file, Part.END, struct.pack("<Q", count))
            file.flush()
            os.fsync(file.fileno())
        verify(temporary)
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Replace the checkpoint at `path` by one that is durable and verified. Raises OSError."""
    temporary.replace(path)
    sync_directory(path.parent)


def verify(path: Path) -> Header:
    """Read every block without keeping any. Raises CheckpointRefused unless all are whole."""
    with path.open("rb") as file:
        header = read_header(file)
        for _ in _blocks(file):
            pass
    return header


def read(path: Path) -> Iterator[tuple[Part, bytes]]:
    """The parts after the header, one at a time. Raises CheckpointRefused when it meets a damaged one."""
    with path.open("rb") as file:
        read_header(file)
        for part, content in _blocks(file):
            yield part, zlib.decompress(content)


def read_header(file: BinaryIO) -> Header:
    """The header; the file then stands behind it. Raises CheckpointRefused."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise CheckpointRefused(f"{file.name} is not a checkpoint")
    part, content = _read_block(file)
    try:
        header = msgspec.msgpack.decode(content, type=Header)
    except UNREADABLE as error:
        raise CheckpointRefused(f"{file.name} has no header: {error}") from error
    if part != Part.HEADER or header.format != _FORMAT:
        raise CheckpointRefused(f"{file.name} has format {header.format}, which this release can't read")
    return header


def _blocks(file: BinaryIO) -> Iterator[tuple[Part, bytes]]:
    """The blocks between header and end mark."""
    count = 1
    while True:
        part, content = _read_block(file)
        if part == Part.END:
            break
        count += 1
        yield part, content
    if content != struct.pack("<Q", count) or file.read(1):
        raise CheckpointRefused(f"{file.name} does not end where its end mark says")


def _write_block(file: BinaryIO, part: Part, content: bytes) -> None:
    file.write(_HEAD.pack(part, len(content), _crc(part, content)) + content)


def _read_block(file: BinaryIO) -> tuple[Part, bytes]:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise CheckpointRefused(f"{file.name} was cut short")
    kind, length, crc = _HEAD.unpack(head)
    # A damaged length must not make this read the rest of the file into memory.
    content = file.read(length) if length <= _BLOCK_BYTES_MAX else b""
    if len(content) != length or kind not in set(Part) or _crc(kind, content) != crc:
        raise CheckpointRefused(f"{file.name} is damaged before byte {file.tell()}")
    return Part(kind), content


def _crc(kind: int, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(struct.pack("<BI", kind, len(content))))
