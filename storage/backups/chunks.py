"""How are a volume's bytes kept in a backup? As objects of 32 MiB of the volume each, in chunks that are checked.

    object   = magic "NBO1", length of the header (u32), header, table, chunks
    table    = for each chunk of 128 KiB: kind, where in the object, SHA-256 of its plain bytes
    manifest = magic "NBM1", SHA-256 of what follows, a list of which objects there are

A chunk is zero, here (deflated where that helps), or as in the parent backup. An object is left out where all of its
chunks are zero, or all are as in the parent; the manifest, which is written last, says which. With a key, tables,
chunks and the manifest are sealed (AES-256-GCM), each bound to its backup and place, so nothing can be swapped.
"""

import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from noded.core.units import KIB, MIB
from noded.core.unreadable import UNREADABLE

REGION_BYTES: Final = 32 * MIB
CHUNK_BYTES: Final = 128 * KIB
CHUNKS: Final = REGION_BYTES // CHUNK_BYTES
SLOT_BYTES: Final = REGION_BYTES + MIB  # an object is never larger
FORMAT: Final = 1

_MAGIC: Final = b"NBO1"
_MANIFEST_MAGIC: Final = b"NBM1"
_LENGTH: Final = struct.Struct(">I")
_ENTRY: Final = struct.Struct("<B3xII32s")
_HEADER_BYTES_MAX: Final = 4 * KIB
_NONCE_BYTES: Final = 12
_TABLE: Final = 0xFFFFFFFF  # stands for the table where a chunk's number would be


class Damaged(Exception):  # noqa: N818
    """What was read is not what was written; the message says which object."""


class Kind(IntEnum):
    """Where a chunk's bytes are."""

    ZERO = 0
    RAW = 1
    DEFLATED = 2
    PARENT = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """One chunk."""

    kind: Kind
    offset: int  # in the object's chunks
    length: int
    digest: bytes


Table = tuple[Entry, ...]

_ZEROES: Final = bytes(CHUNK_BYTES)
ZERO_DIGEST: Final = sha256(_ZEROES).digest()
ALL_ZERO: Final[Table] = (Entry(Kind.ZERO, 0, 0, ZERO_DIGEST),) * CHUNKS


class Region(IntEnum):
    """What the manifest says of a region."""

    ZERO = 0
    HERE = 1
    PARENT = 2


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Of which backup an object is, and which of its objects."""

    format: int = FORMAT
    location: str
    index: int
    sealed: bool
    table_bytes: int
    body_bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup consists of."""

    format: int = FORMAT
    location: str
    volume_id: str
    size_bytes: int
    region_bytes: int = REGION_BYTES
    parent_location: str | None
    regions: bytes  # deflated; one byte a region
    object_count: int
    stored_bytes: int

    def kinds(self) -> bytes:
        """What each region is."""
        return zlib.decompress(self.regions)


class Seal:
    """Seals what one backup writes; without a key it leaves all as it is."""

    def __init__(self, key: bytes | None, location: str) -> None:
        self._location = location
        derived = HKDF(SHA256(), 32, location.encode(), b"noded volume backup 1").derive(key) if key else None
        self._cipher = AESGCM(derived) if derived else None

    @property
    def active(self) -> bool:
        """Whether anything is sealed."""
        return self._cipher is not None

    def close(self, content: bytes, index: int, part: int) -> bytes:
        """Seal a part of an object."""
        if self._cipher is None:
            return content
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, self._bound(index, part))

    def open(self, content: bytes, index: int, part: int) -> bytes:
        """The plain part. Raises Damaged."""
        if self._cipher is None:
            return content
        try:
            return self._cipher.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], self._bound(index, part))
        except (InvalidTag, ValueError) as error:
            raise Damaged(f"object {index} can't be opened: it was changed, or the key is another one") from error

    def _bound(self, index: int, part: int) -> bytes:
        return f"{self._location}/{index}/{part}".encode()


def region_count(size_bytes: int) -> int:
    """How many regions a volume has."""
    return -(-size_bytes // REGION_BYTES)


def encode(location: str, index: int, data: bytes | bytearray, before: Table | None, seal: Seal) -> bytes | Region:
    """The object of one region, or why it needs none. `before`: the parent's chunks; None for a full backup."""
    view, entries, body, length = memoryview(data), [], [], 0
    for number, start in enumerate(range(0, len(view), CHUNK_BYTES)):
        chunk = bytes(view[start : start + CHUNK_BYTES])
        is_zero = chunk == _ZEROES[: len(chunk)]
        digest = ZERO_DIGEST if is_zero and len(chunk) == CHUNK_BYTES else sha256(chunk).digest()
        if before is not None and before[number].digest == digest:
            entries.append(Entry(Kind.PARENT, 0, 0, digest))
        elif is_zero:
            entries.append(Entry(Kind.ZERO, 0, 0, digest))
        else:
            deflated = zlib.compress(chunk, 1)
            kind = Kind.DEFLATED if len(deflated) < len(chunk) else Kind.RAW
            stored = seal.close(deflated if kind is Kind.DEFLATED else chunk, index, number)
            entries.append(Entry(kind, length, len(stored), digest))
            body.append(stored)
            length += len(stored)
    if all(entry.kind is Kind.PARENT for entry in entries):
        return Region.PARENT
    if before is None and not body:
        return Region.ZERO
    plain = b"".join(_ENTRY.pack(each.kind, each.offset, each.length, each.digest) for each in entries)
    table = seal.close(sha256(plain).digest() + plain, index, _TABLE)
    header = msgspec.msgpack.encode(
        Header(location=location, index=index, sealed=seal.active, table_bytes=len(table), body_bytes=length)
    )
    return b"".join((_MAGIC, _LENGTH.pack(len(header)), header, table, *body))


class Object:
    """One object as it was read. Raises Damaged wherever it is not what was written."""

    def __init__(self, content: bytes, location: str, index: int, seal: Seal) -> None:
        self._name = f"object {index} of backup {location}"
        self._index = index
        self._seal = seal
        self._content = content
        header, self._start = _header(content, self._name)
        if (header.location, header.index) != (location, index) or header.sealed is not seal.active:
            raise Damaged(f"{self._name} is another one, or was written with another key")
        self._start += header.table_bytes
        if len(content) < self._start + header.body_bytes:
            raise Damaged(f"{self._name} was cut short")
        table = seal.open(content[self._start - header.table_bytes : self._start], index, _TABLE)
        if sha256(table[32:]).digest() != table[:32] or (len(table) - 32) % _ENTRY.size:
            raise Damaged(f"the table of {self._name} is damaged")
        self.table: Table = tuple(
            Entry(Kind(kind), offset, length, digest) for kind, offset, length, digest in _ENTRY.iter_unpack(table[32:])
        )

    @property
    def is_complete(self) -> bool:
        """Whether nothing of it is as in the parent."""
        return all(entry.kind is not Kind.PARENT for entry in self.table)

    def chunk(self, number: int) -> bytes:
        """The plain bytes of a chunk that is here."""
        entry = self.table[number]
        start = self._start + entry.offset
        stored = self._seal.open(self._content[start : start + entry.length], self._index, number)
        try:
            plain = zlib.decompress(stored) if entry.kind is Kind.DEFLATED else stored
        except zlib.error as error:
            raise Damaged(f"chunk {number} of {self._name} is damaged") from error
        if sha256(plain).digest() != entry.digest:
            raise Damaged(f"chunk {number} of {self._name} is damaged")
        return plain


def object_bytes(start: bytes) -> int | None:
    """How long the object is that begins with `start`; None if none does."""
    try:
        header, begin = _header(start, "it")
    except Damaged:
        return None
    return begin + header.table_bytes + header.body_bytes


def _header(content: bytes, name: str) -> tuple[Header, int]:
    begin = len(_MAGIC) + _LENGTH.size
    if len(content) < begin or not content.startswith(_MAGIC):
        raise Damaged(f"{name} is no object of a backup")
    (length,) = _LENGTH.unpack(content[len(_MAGIC) : begin])
    if length > _HEADER_BYTES_MAX:
        raise Damaged(f"{name} is no object of a backup")
    try:
        header = msgspec.msgpack.decode(content[begin : begin + length], type=Header)
    except UNREADABLE as error:
        raise Damaged(f"the header of {name} is damaged") from error
    if header.format != FORMAT:
        raise Damaged(f"{name} has format {header.format}, which this release can't read")
    return header, begin + length


def encode_manifest(manifest: Manifest, seal: Seal) -> bytes:
    """The manifest's bytes."""
    content = seal.close(msgspec.msgpack.encode(manifest), 0, _TABLE)
    return _MANIFEST_MAGIC + _LENGTH.pack(len(content)) + sha256(content).digest() + content


def decode_manifest(content: bytes, location: str, seal: Seal) -> Manifest:
    """The manifest. Raises Damaged."""
    begin = len(_MANIFEST_MAGIC) + _LENGTH.size + 32
    if len(content) < begin or not content.startswith(_MANIFEST_MAGIC):
        raise Damaged(f"backup {location} has no manifest: it was never finished")
    (length,) = _LENGTH.unpack(content[len(_MANIFEST_MAGIC) : len(_MANIFEST_MAGIC) + _LENGTH.size])
    body = content[begin : begin + length]
    if sha256(body).digest() != content[begin - 32 : begin]:
        raise Damaged(f"the manifest of backup {location} is damaged")
    try:
        manifest = msgspec.msgpack.decode(seal.open(body, 0, _TABLE), type=Manifest)
    except UNREADABLE as error:
        raise Damaged(f"the manifest of backup {location} can't be read") from error
    if (manifest.format, manifest.region_bytes) != (FORMAT, REGION_BYTES) or manifest.location != location:
        raise Damaged(f"the manifest of backup {location} is another one, or of another release")
    return manifest


def manifest_bytes(start: bytes) -> int | None:
    """How long the manifest is that begins with `start`; None if none does."""
    begin = len(_MANIFEST_MAGIC) + _LENGTH.size
    if len(start) < begin or not start.startswith(_MANIFEST_MAGIC):
        return None
    (length,) = _LENGTH.unpack(start[len(_MANIFEST_MAGIC) : begin])
    return begin + 32 + int(length)


def chunks_of(objects: Sequence["Object | Region"]) -> Iterator[bytes | None]:
    """The chunks of a region, None for zero ones. `objects`: the region in the backup, in its parent, and so on."""
    for number in range(CHUNKS):
        yield _chunk(objects, number)


def _chunk(objects: Sequence["Object | Region"], number: int) -> bytes | None:
    for each in objects:
        if each is Region.PARENT:
            continue
        if not isinstance(each, Object) or number >= len(each.table):
            return None
        kind = each.table[number].kind
        if kind is Kind.ZERO:
            return None
        if kind is not Kind.PARENT:
            return each.chunk(number)
    raise Damaged("a chunk is as in a parent that there is none of")


def digests_of(objects: Iterable["Object | Region"], chunks: int) -> Table:
    """The digests of a region's chunks: of the first object that there is, for it names all of them."""
    for each in objects:
        if isinstance(each, Object):
            return each.table
        if each is Region.ZERO:
            return ALL_ZERO[:chunks]
    raise Damaged("a region is as in a parent that there is none of")
