"""What goes over the wire, and into the journal? One 64-byte little-endian header, then perhaps a payload.

    magic u32 | op u8 | flags u8 | extent u16 | length u32 | request u32 | volume u64 | stamp u64 | mark u64
    | offset u64 | xxh3-64 of the payload u64 | xxh3-64 of the 56 bytes before u64

The frames that change a replica are appended to the journal exactly as they came from the wire, so nothing is copied
or hashed twice. A *stamp* orders the writes of a volume: the owner's epoch in the upper 20 bits and a sequence number
below, so that of two stamps the larger one is always the newer write. Stamp 0 means: never written.
"""

import struct
from enum import IntEnum
from typing import Final

import xxhash

HEADER_BYTES: Final = 64
PAYLOAD_BYTES_MAX: Final = 1 << 20
# A frame without data (trim, zeroes, "take nothing here") may span more blocks than one with data.
SPAN_BYTES_MAX: Final = 32 << 20
FRAME_BYTES_MAX: Final = HEADER_BYTES + PAYLOAD_BYTES_MAX
MAGIC: Final = 0x3158_444E  # "NDX1"

HEADER: Final = struct.Struct("<IBBHIIQQQQQQ")
_UNSEALED: Final = struct.Struct("<IBBHIIQQQQQ")
_HASH: Final = struct.Struct("<Q")
hash_of = xxhash.xxh3_64_intdigest

ZERO_BLOCK_HASH: Final = hash_of(bytes(4096))

EPOCH_MAX: Final = (1 << 20) - 1
_SEQUENCE_BITS: Final = 44


class Op(IntEnum):
    """What a frame asks or answers. `mark` and `offset` mean what the table in README.md says for each op."""

    HELLO = 1  # binds a connection to a volume; payload: msgpack of `Hello`
    SEAL = 2  # stamp: the claim's first stamp; older epochs are refused from now on
    WRITE = 3  # payload: whole blocks
    ZERO = 4  # length: the span, no payload
    REPAIR = 5  # payload: whole blocks; mark: blocks whose stamp is not below it are left as they are
    REPAIR_ZERO = 6
    REPAIR_ABSENT = 7  # the span was never written: it shows the parent
    READ = 8  # length: the span
    FETCH = 9  # as READ, answered with stamps, and with nothing taken from the parent
    STAMPS = 10  # mark: blocks with newer stamps are listed
    PING = 11
    REMOVE = 12  # the volume's data on this disk
    USAGE = 13
    DIGEST = 14
    FILES = 15  # where the volume's files are, and how far they hold what was written
    DROP = 16  # some extents of a volume on this disk
    CHECK = 17  # read the blocks of a span from the disk; answered with their states
    ACK = 32  # payload: the request ids, u32 each, that are on stable storage
    DATA = 33
    REFUSED = 34  # offset: a `Why`; payload: words


class Why(IntEnum):
    """Why an extent server refuses a request."""

    FENCED = 1  # the volume has been sealed at a newer epoch
    DAMAGED = 2  # a checksum does not match what was read
    FULL = 3  # the disk has reached its reserve
    UNKNOWN = 4  # the volume or its parent is not on this disk
    MALFORMED = 5  # the frame breaks a rule of the protocol
    OUTDATED = 6  # replicas have left this disk since the map that the greeter goes by


# Flags.
PAYLOAD: Final = 1  # `length` bytes follow the header
ZEROES: Final = 2  # DATA: the span is all zero and was left out
MORE: Final = 4  # STAMPS: the list was cut; go on at `offset`
ALWAYS: Final = 8  # REPAIR*: whatever stamp the blocks have; the owner has made sure that nobody else writes them

# A write's request number is its stamp's lower bits; the other requests have the next bit set.
WRITE_REQUEST_MASK: Final = 0x7FFF_FFFF
OTHER_REQUEST_BIT: Final = 0x8000_0000


class BadFrame(Exception):  # noqa: N818  # it names what was received
    """The bytes are not a frame, or a hash does not match; the connection is of no more use."""


def pack(
    op: int,
    *,
    flags: int = 0,
    extent: int = 0,
    length: int = 0,
    request: int = 0,
    volume: int = 0,
    stamp: int = 0,
    mark: int = 0,
    offset: int = 0,
    payload_hash: int = 0,
) -> bytes:
    """A header with its hash."""
    head = _UNSEALED.pack(MAGIC, op, flags, extent, length, request, volume, stamp, mark, offset, payload_hash)
    return head + _HASH.pack(hash_of(head))


def first_stamp(epoch: int) -> int:
    """The stamp below all writes of `epoch` and above all writes before it."""
    assert 0 <= epoch <= EPOCH_MAX, epoch
    return epoch << _SEQUENCE_BITS


def epoch_of(stamp: int) -> int:
    """The epoch in which a stamp was given."""
    return stamp >> _SEQUENCE_BITS
