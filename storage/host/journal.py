"""How does a write reach stable storage before it is acknowledged? Two pre-zeroed segments, appended batch by batch.

A batch is a 64-byte header and the frames exactly as they came from the wire, written with one O_DSYNC system call: the
loop that waits for it is the group commit, since all that arrives meanwhile goes into the next batch. Every record is
unconditional: whether it applies was decided before it was written, so replaying all records in order is right whatever
part of them has reached the extent files already.

The file is written past the page cache (O_DIRECT): in half the time and with a third of the processor's, because
nothing has to be looked for and written back. So batches begin and end at multiples of 4 KiB. It is read through the
page cache.

A segment is used again when the background has settled (checkpointed) its records. Segment sequence numbers in the
batch headers tell a segment's present content from what it held before. Their hash has a seed of the journal's own that
nobody outside knows: no guest can write a block that passes for a batch.
"""

import errno
import mmap
import os
import secrets
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from storage.extents.frame import HEADER, HEADER_BYTES, PAYLOAD, hash_of

BATCH_MAGIC: Final = 0x4B58_444E  # "NDXK"
SEGMENTS: Final = 2
# Where batches begin, and what is written at once is a multiple of: the largest sector there is.
ALIGNMENT: Final = 4096
# The file begins with what must be known to read it, twice, so that one rotten sector does not cost the disk.
HEAD_BYTES: Final = ALIGNMENT
_HEADS: Final = (0, HEAD_BYTES // 2)
# What is written at once at most; a larger batch takes several writes.
WRITE_BYTES_MAX: Final = 1 << 20

# magic u32 | frames u32 | sequence u64 | number u64 | length u64 | settled u64 | xxh3 of the frames' hashes | zero
_BATCH: Final = struct.Struct("<IIQQQQQQ")
_HASH: Final = struct.Struct("<Q")
_MAGIC_BYTES: Final = struct.pack("<I", BATCH_MAGIC)
# what it is | bytes of a segment u64 | seed of the headers' hashes u64 | xxh3 of all before
_HEAD: Final = struct.Struct("<16sQQ")
_HEAD_MAGIC: Final = b"noded journal 2\0"


class UnknownJournal(Exception):  # noqa: N818  # it names what was found
    """The file is no journal that this release can read, and it may hold acknowledged writes."""


class Batch(NamedTuple):
    """The header of a batch: `number` counts in the segment, `settled` is the newest segment that was checkpointed."""

    frames: int
    sequence: int
    number: int
    length: int
    settled: int
    frames_hash: int


class Record(NamedTuple):
    """One frame of the journal at replay. `position` is where its payload lies in the journal file."""

    op: int
    extent: int
    length: int
    volume: int
    stamp: int
    mark: int
    offset: int
    payload: memoryview
    payload_hash: int
    position: int


class Journal:
    """The journal of one disk. Raises OSError when the disk fails, after which nothing may be acknowledged any more.

    `content` is the whole file, for reading. What of it was looked at is kept in memory until `forget` is called.
    """

    def __init__(self, path: Path, segment_bytes: int) -> None:
        assert segment_bytes % ALIGNMENT == 0, segment_bytes
        if not path.exists():
            _create(path, segment_bytes)
        self.segment_bytes, self._seed = read_head(path)
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._image = mmap.mmap(self.fd, 0, prot=mmap.PROT_READ)
        self.content = memoryview(self._image)
        self._direct = open_direct(path)
        # Aligned in memory too, as O_DIRECT asks.
        self._staging = mmap.mmap(-1, WRITE_BYTES_MAX)
        self._staged = memoryview(self._staging)
        self.settled = 0
        self.sequence = 1
        # Set by `replay` if records are missing that may have been acknowledged: bit rot, not a torn tail.
        self.damaged = False
        self._segment = 0
        self._end = 0
        self._number = 0

    def fits(self, length: int) -> bool:
        """Whether a batch of `length` bytes of frames fits the present segment."""
        return self._end + HEADER_BYTES + length <= self.segment_bytes

    def append(self, buffers: Sequence[memoryview | bytes], frame_hashes: Sequence[bytes]) -> int:
        """Put frames on stable storage. The position of the first one in the journal file."""
        length = sum(map(len, buffers))
        assert self.fits(length), "switch to the other segment first"
        batch = Batch(
            len(frame_hashes), self.sequence, self._number, length, self.settled, hash_of(b"".join(frame_hashes))
        )
        start = self._start_of(self._segment) + self._end
        self._write([_batch_header(batch, self._seed), *buffers], start)
        self._number += 1
        self._end += aligned(HEADER_BYTES + length)
        return start + HEADER_BYTES

    def switch(self) -> int:
        """Go on in the other segment, whose records must be settled. The sequence of the one that was left."""
        left = self.sequence
        assert self.settled >= left - 1, "the other segment is still in use"
        self._segment ^= 1
        self._end = 0
        self._number = 0
        self.sequence = left + 1
        return left

    def replay(self) -> Iterator[Record]:
        """All records that are whole, in order. Afterwards settle them and call `start_afresh`."""
        found = [
            _Segment(self._image, self._start_of(number), self.segment_bytes, self._seed) for number in range(SEGMENTS)
        ]
        self.sequence = max(segment.newest for segment in found)
        self.settled = max(segment.settled for segment in found)
        self.damaged = any(segment.lost_after(self.settled) for segment in found)
        self._segment = min(range(SEGMENTS), key=lambda number: found[number].sequence)
        for segment in sorted(found, key=lambda each: each.sequence):
            if segment.sequence > self.settled:
                yield from segment.records(self.content)

    def start_afresh(self) -> None:
        """Forget the replayed records, which are settled now: an empty batch says so, in the older segment."""
        self.settled = self.sequence
        self.sequence += 1
        self._end = self._number = 0
        self.append([], [])
        self.forget()

    def forget(self) -> None:
        """Keep nothing in memory of what was read."""
        self._image.madvise(mmap.MADV_DONTNEED)
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Give the file back."""
        os.close(self.fd)
        os.close(self._direct)

    def _start_of(self, segment: int) -> int:
        return HEAD_BYTES + segment * self.segment_bytes

    def _write(self, buffers: Sequence[memoryview | bytes], position: int) -> None:
        """Write all buffers at `position`, and anything behind them up to the next multiple of `ALIGNMENT`."""
        staged, used = self._staged, 0
        for buffer in buffers:
            at, size = 0, len(buffer)
            while at < size:
                part = min(size - at, WRITE_BYTES_MAX - used)
                staged[used : used + part] = buffer if part == size else buffer[at : at + part]
                at += part
                used += part
                if used == WRITE_BYTES_MAX:
                    position = _write_all(self._direct, staged, position)
                    used = 0
        if used:
            _write_all(self._direct, staged[: aligned(used)], position)


class _Segment:
    """What one segment holds, found by following its batches from the start. `sequence` 0: nothing."""

    def __init__(self, image: mmap.mmap, start: int, size: int, seed: int) -> None:
        self.start = start
        self.sequence = self.settled = 0
        self.batches: list[tuple[int, Batch]] = []
        position = start
        while (batch := _whole_batch(image, position, start + size, seed)) is not None:
            if batch.number != len(self.batches) or (self.batches and batch.sequence != self.sequence):
                break
            self.sequence = batch.sequence
            self.settled = max(self.settled, batch.settled)
            self.batches.append((position, batch))
            position += aligned(HEADER_BYTES + batch.length)
        # The batch that ends the row may be torn: nobody was told that it is there.
        torn = _read_batch(image, position, start + size, seed)
        if torn is not None:
            self.settled = max(self.settled, torn.settled)
        self.beyond = _sequences_beyond(image, position + ALIGNMENT, start + size, seed)
        self.newest = max((self.sequence, torn.sequence if torn is not None else 0, *self.beyond))

    def lost_after(self, settled: int) -> bool:
        """Whether batches are unreachable that were not settled: something in front of them has rotted."""
        return any(sequence > settled and sequence >= self.sequence for sequence in self.beyond)

    def records(self, view: memoryview) -> Iterator[Record]:
        for start, batch in self.batches:
            at = start + HEADER_BYTES
            for _ in range(batch.frames):
                _, op, flags, extent, length, _, volume, stamp, mark, offset, digest, _ = HEADER.unpack_from(view, at)
                at += HEADER_BYTES
                size = length if flags & PAYLOAD else 0
                yield Record(op, extent, length, volume, stamp, mark, offset, view[at : at + size], digest, at)
                at += size


def aligned(length: int) -> int:
    """The next multiple of `ALIGNMENT`."""
    return -(-length // ALIGNMENT) * ALIGNMENT


def open_direct(path: Path) -> int:
    """A file for durable writing past the page cache; through it, where the file system knows no other way."""
    flags = os.O_WRONLY | os.O_DSYNC | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.open(path, flags)


def _batch_header(batch: Batch, seed: int) -> bytes:
    head = _BATCH.pack(
        BATCH_MAGIC, batch.frames, batch.sequence, batch.number, batch.length, batch.settled, batch.frames_hash, 0
    )
    return head + _HASH.pack(hash_of(head, seed))


def _read_batch(image: mmap.mmap, at: int, end: int, seed: int) -> Batch | None:
    if end - at < HEADER_BYTES:
        return None
    head = image[at : at + HEADER_BYTES - _HASH.size]
    if _HASH.unpack_from(image, at + len(head))[0] != hash_of(head, seed):
        return None
    magic, frames, sequence, number, length, settled, frames_hash, _ = _BATCH.unpack(head)
    return Batch(frames, sequence, number, length, settled, frames_hash) if magic == BATCH_MAGIC else None


def _sequences_beyond(image: mmap.mmap, position: int, end: int, seed: int) -> set[int]:
    """The sequences of all batch headers behind a position."""
    sequences = set()
    for at in range(position, end, ALIGNMENT):
        if image[at : at + len(_MAGIC_BYTES)] == _MAGIC_BYTES:
            batch = _read_batch(image, at, end, seed)
            if batch is not None:
                sequences.add(batch.sequence)
    return sequences


def _whole_batch(image: mmap.mmap, at: int, end: int, seed: int) -> Batch | None:
    """The batch at a position, if all of it is there. Remains of older frames in its place do not pass: the header's
    hash covers those of exactly the frames that were written with it."""
    batch = _read_batch(image, at, end, seed)
    if batch is None or at + HEADER_BYTES + batch.length > end:
        return None
    hashes = []
    at += HEADER_BYTES
    stop = at + batch.length
    while at < stop:
        head = image[at : at + HEADER_BYTES]
        _, _, flags, _, length, *_, payload_hash, header_hash = HEADER.unpack(head)
        if hash_of(head[: -_HASH.size]) != header_hash:
            return None
        at += HEADER_BYTES
        if flags & PAYLOAD:
            if at + length > stop or hash_of(image[at : at + length]) != payload_hash:
                return None
            at += length
        hashes.append(head[-_HASH.size :])
    return batch if len(hashes) == batch.frames and hash_of(b"".join(hashes)) == batch.frames_hash else None


def _create(path: Path, segment_bytes: int) -> None:
    """A file of zeroes that are really on the disk: later writes then change no metadata of the file system."""
    new = path.with_suffix(".new")
    head = _HEAD.pack(_HEAD_MAGIC, segment_bytes, secrets.randbits(64))
    # What guests have just written is in it: for nobody else on this host.
    with open(new, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        for _ in _HEADS:
            file.write((head + _HASH.pack(hash_of(head))).ljust(HEAD_BYTES // len(_HEADS), b"\0"))
        zeroes = bytes(1 << 20)
        size = SEGMENTS * segment_bytes
        for start in range(0, size, len(zeroes)):
            file.write(zeroes[: size - start])
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    sync_directory(path.parent)


def read_head(path: Path) -> tuple[int, int]:
    """Bytes of a segment, and the seed of the hashes. Raises UnknownJournal."""
    with path.open("rb") as file:
        content = file.read(HEAD_BYTES)
    for at in _HEADS:
        head, digest = content[at : at + _HEAD.size], content[at + _HEAD.size : at + _HEAD.size + _HASH.size]
        if len(digest) == _HASH.size and _HASH.unpack(digest)[0] == hash_of(head):
            _, segment_bytes, seed = _HEAD.unpack(head)
            return segment_bytes, seed
    raise UnknownJournal(
        f"{path} does not begin as a journal of this release does. If an earlier one used the disk, let that one drain "
        "it; if the file has rotted, replace the disk: its replicas are made anew from the others"
    )


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, content: memoryview, position: int) -> int:
    """Write `content` at `position`; where it ends."""
    while content:
        written = os.pwrite(fd, content, position)
        # Less is written only where a disk is full or fails, and never so on a file that was written before. What
        # remains must be aligned all the same.
        written -= written % ALIGNMENT
        if not written:
            raise OSError(errno.EIO, "the journal could not be written")
        content = content[written:]
        position += written
    return position
