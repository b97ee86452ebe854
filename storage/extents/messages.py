"""What do the payloads of the rarer frames say? The frames that carry guests' data need none of this."""

import struct
from typing import Final, NamedTuple

import msgspec

# One line of the answer to STAMPS: block number in the extent, stamp, hash. `Op.FETCH` lists the same before its data.
BLOCK_LINE: Final = struct.Struct("<IQQ")
STAMPS_LINES_MAX: Final = 48 * 1024
# How many blocks one STAMPS looks at: bounds the time for which an extent server does nothing else.
STAMPS_BLOCKS_MAX: Final = 64 * 1024
FETCH_BLOCKS_MAX: Final = 128
# How many blocks one CHECK reads at most: bounds the time for which an extent server does nothing else.
CHECK_BLOCKS_MAX: Final = 64
DIGEST_BLOCKS_MAX: Final = 1024
# How a disk keeps its blocks (storage/host/extent_files.py), for owners that read the files themselves.
FILES_FORMAT: Final = 2


class BlockState(NamedTuple):
    """What a replica holds of a block. Stamp 0: never written. A stamp and no hash: it is not known any more."""

    stamp: int
    hash: int

    @property
    def is_lost(self) -> bool:
        """Whether what the disk kept of the block has rotted: another replica must give it."""
        return self.stamp != 0 and self.hash == 0


class Hello(msgspec.Struct, frozen=True):
    """Binds a connection to a volume. A writer makes it known to the disk; a reader finds it, or may know it blank."""

    volume_id: str
    epoch: int
    size_bytes: int
    extent_bytes: int
    parents: tuple[str, ...] = ()
    writer: bool = False
    changes: int = 0  # of the map that the greeter goes by
    unclaimed: bool = False  # nobody ever wrote it, so a disk that does not know it lacks nothing: it is made known


class Welcome(msgspec.Struct, frozen=True):
    """The answer: what the replica has been told to refuse, and up to which stamp it trusts itself."""

    sealed_epoch: int
    watermark: int
    # Whether FILES may be asked, and which files there are. `shares_files` was the word for those of format 1, and is
    # never said any more: an owner that knows no other must not open what it can't read.
    shares_files: bool = False
    files_format: int = 0
    checks: bool = False  # whether CHECK may be asked


class Usage(msgspec.Struct, frozen=True):
    """How full a disk is, and whose data it holds."""

    bytes_total: int
    bytes_free: int
    volumes: tuple[str, ...]


class Drop(msgspec.Struct, frozen=True):
    """Remove the replica's bytes of some extents; refuse whoever goes by a map with fewer than `changes` changes."""

    volume_id: str
    extents: tuple[int, ...]
    changes: int


class Digest(msgspec.Struct, frozen=True):
    """A part of a replica, from `offset` on, in one number made of its stamps and hashes; 0 if it holds nothing.

    `damaged` counts the blocks whose data don't match their hashes.
    """

    offset: int
    digest: int
    damaged: int
    next_offset: int


class FilesState(msgspec.Struct, frozen=True):
    """Where a volume's files are on this disk, and how far what was written has been brought to them.

    `layers` are the directories and sizes in bytes of the volume and of what it was cloned from, nearest first. The
    journal's segments are numbered: all that was acknowledged is in those up to `segment`; `settled` and those before
    it are in the files; what these layers have that is not, is in those up to `unsettled`.
    """

    layers: tuple[tuple[str, int], ...]
    extent_bytes: int
    seals_path: str
    seals: int
    segment: int
    settled: int
    unsettled: int


def volume_key(volume_id: str) -> int:
    """The 64 bits by which frames and journal records name a volume: the first half of its UUID."""
    return int(volume_id.replace("-", "")[:16], 16)
