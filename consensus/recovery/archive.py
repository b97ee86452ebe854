"""What is in a backup file? The whole state at one revision, sealed, behind a header that anyone may read.

    file    = magic "NBK1", length of the header (u32), header, sealed
    sealed  = chunks (sealing.py) of: block*, 0xffffffff, summary
    block   = length (u32), a block of the state's capture, compressed

The header is bound to the seal: changing a letter of it makes the file unreadable.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

import msgspec

from consensus.incarnation import Incarnation
from consensus.recovery.sealing import Lock, SealBroken, seal, unseal
from noded.core.unreadable import UNREADABLE

_MAGIC: Final = b"NBK1"
_LENGTH: Final = struct.Struct(">I")
_END: Final = 0xFFFFFFFF
_FORMAT: Final = 1
_HEADER_BYTES_MAX: Final = 64 * 1024
_BLOCK_BYTES_MAX: Final = 64 * 1024 * 1024


class BackupRefused(Exception):  # noqa: N818
    """The file is no whole backup that this release can read; the message says what is wrong."""


class BackupHeader(msgspec.Struct, frozen=True, kw_only=True):
    """Of what it is a backup. Readable without any secret, and holds none."""

    format: int = _FORMAT
    cluster_id: str
    cluster_name: str
    incarnation: Incarnation | None  # which life of the cluster's log
    revision: int
    release: str
    level: int  # what a release must understand to read it
    taken_at_ms: int
    taken_by: str  # the node's id
    lock: Lock


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What was in it: the end mark, inside the seal."""

    blocks: int
    state_bytes: int


def write(header: BackupHeader, master: bytes, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The file's bytes, in pieces."""
    opening = _opening(header)
    yield opening
    yield from seal(master, opening, _plain(blocks))


def read_header(file: BinaryIO) -> BackupHeader:
    """The header; the file then stands behind it. Raises BackupRefused."""
    start = file.read(len(_MAGIC) + _LENGTH.size)
    if len(start) < len(_MAGIC) + _LENGTH.size or not start.startswith(_MAGIC):
        raise BackupRefused("It is no backup of noded.")
    (length,) = _LENGTH.unpack(start[len(_MAGIC) :])
    content = file.read(length) if length <= _HEADER_BYTES_MAX else b""
    try:
        header = msgspec.msgpack.decode(content, type=BackupHeader)
    except UNREADABLE as error:
        raise BackupRefused(f"Its header can't be read: {error}.") from error
    if msgspec.msgpack.encode(header) != content:  # a field whose name was changed would be passed over
        raise BackupRefused("Its header is not as it was written.")
    return header


def read_blocks(file: BinaryIO, header: BackupHeader, master: bytes) -> Iterator[bytes]:
    """The state's blocks; `file` stands behind its header. Raises BackupRefused, also after the last block."""
    if header.format != _FORMAT:
        raise BackupRefused(f"It has format {header.format}, which this release can't read.")
    try:
        yield from _blocks(unseal(master, _opening(header), file.read))
    except SealBroken as error:
        raise BackupRefused(f"It can't be opened: {error}.") from error
    except zlib.error as error:
        raise BackupRefused(f"A block of it can't be read: {error}.") from error


def _opening(header: BackupHeader) -> bytes:
    content = msgspec.msgpack.encode(header)
    return _MAGIC + _LENGTH.pack(len(content)) + content


def _plain(blocks: Iterable[bytes]) -> Iterator[bytes]:
    count = size = 0
    for block in blocks:
        content = zlib.compress(block, 1)
        count, size = count + 1, size + len(block)
        yield _LENGTH.pack(len(content)) + content
    yield _LENGTH.pack(_END) + msgspec.msgpack.encode(Summary(blocks=count, state_bytes=size))


def _blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    buffer = bytearray()

    def fill(size: int) -> None:
        while len(buffer) < size:
            piece = next(pieces, None)
            if piece is None:
                raise BackupRefused("It ends before its end mark.")
            buffer.extend(piece)

    count = read = 0
    while True:
        fill(_LENGTH.size)
        (length,) = _LENGTH.unpack(buffer[: _LENGTH.size])
        del buffer[: _LENGTH.size]
        if length == _END:
            break
        if length > _BLOCK_BYTES_MAX:
            raise BackupRefused(f"A block of {length} bytes is larger than any may be.")
        fill(length)
        block = zlib.decompress(bytes(buffer[:length]))
        del buffer[:length]
        count, read = count + 1, read + len(block)
        yield block
    for piece in pieces:
        buffer.extend(piece)
    if msgspec.msgpack.decode(buffer, type=Summary) != Summary(blocks=count, state_bytes=read):
        raise BackupRefused("It does not hold what its end mark says.")
