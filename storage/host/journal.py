"""How does a write reach stable storage before it is acknowledged? Two pre-zeroed segments, appended batch by batch.

A batch is a 64-byte header and the frames exactly as they came from the wire, written with one O_DSYNC system call: the
loop that waits for it is the group commit, since all that arrives meanwhile goes into the next batch. Every record is
unconditional: whether it applies was decided before it was written, so replaying all records in order is right whatever
part of them has reached the extent files already.

A segment is used again when the background has settled (checkpointed) its records. Segment sequence numbers in the
batch headers tell a segment's present content from what it held before.
"""

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from storage.extents.frame import HEADER, HEADER_BYTES, PAYLOAD, hash_of

BATCH_MAGIC: Final = 0x4A58_444E  # "NDXJ"
SEGMENTS: Final = 2
# writev takes at most this many buffers (IOV_MAX).
BUFFERS_MAX: Final = 1024

# magic u32 | frames u32 | sequence u64 | number u64 | length u64 | settled u64 | xxh3 of the frames' hashes | zero
_BATCH: Final = struct.Struct("<IIQQQQQQ")
_HASH: Final = struct.Struct("<Q")
_MAGIC_BYTES: Final = struct.pack("<I", BATCH_MAGIC)


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
    """The journal of one disk. Raises OSError when the disk fails, after which nothing may be acknowledged any more."""

    def __init__(self, path: Path, segment_bytes: int) -> None:
        assert segment_bytes % mmap.PAGESIZE == 0, segment_bytes
        if not path.exists():
            _create(path, SEGMENTS * segment_bytes)
        if path.stat().st_size != SEGMENTS * segment_bytes:
            segment_bytes = path.stat().st_size // SEGMENTS
        self.fd = os.open(path, os.O_RDWR | os.O_DSYNC | os.O_CLOEXEC)
        self.segment_bytes = segment_bytes
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
        header = _batch_header(
            Batch(len(frame_hashes), self.sequence, self._number, length, self.settled, hash_of(b"".join(frame_hashes)))
        )
        start = self._segment * self.segment_bytes + self._end
        _write_all(self.fd, [header, *buffers], start)
        self._number += 1
        self._end += HEADER_BYTES + length
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
        # Not closed by hand: whoever looks at the last record still holds a piece of it.
        image = mmap.mmap(self.fd, 0, prot=mmap.PROT_READ)
        view = memoryview(image)
        found = [_Segment(image, number * self.segment_bytes, self.segment_bytes) for number in range(SEGMENTS)]
        self.sequence = max(segment.newest for segment in found)
        self.settled = max(segment.settled for segment in found)
        self.damaged = any(segment.lost_after(self.settled) for segment in found)
        self._segment = min(range(SEGMENTS), key=lambda number: found[number].sequence)
        for segment in sorted(found, key=lambda each: each.sequence):
            if segment.sequence > self.settled:
                yield from segment.records(view)

    def start_afresh(self) -> None:
        """Forget the replayed records, which are settled now: an empty batch says so, in the older segment."""
        self.settled = self.sequence
        self.sequence += 1
        self._end = self._number = 0
        self.append([], [])

    def close(self) -> None:
        """Give the file back."""
        os.close(self.fd)


class _Segment:
    """What one segment holds, found by following its batches from the start. `sequence` 0: nothing."""

    def __init__(self, image: mmap.mmap, start: int, size: int) -> None:
        self.start = start
        self.sequence = self.settled = 0
        self.batches: list[tuple[int, Batch]] = []
        position = start
        while (batch := _whole_batch(image, position, start + size)) is not None:
            if batch.number != len(self.batches) or (self.batches and batch.sequence != self.sequence):
                break
            self.sequence = batch.sequence
            self.settled = max(self.settled, batch.settled)
            self.batches.append((position, batch))
            position += HEADER_BYTES + batch.length
        # The batch that ends the row may be torn: nobody was told that it is there.
        torn = _read_batch(image, position, start + size)
        if torn is not None:
            self.settled = max(self.settled, torn.settled)
        self.beyond = _sequences_beyond(image, position + HEADER_BYTES, start + size)
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


def _batch_header(batch: Batch) -> bytes:
    head = _BATCH.pack(
        BATCH_MAGIC, batch.frames, batch.sequence, batch.number, batch.length, batch.settled, batch.frames_hash, 0
    )
    return head + _HASH.pack(hash_of(head))


def _read_batch(image: mmap.mmap, at: int, end: int) -> Batch | None:
    if end - at < HEADER_BYTES:
        return None
    head = image[at : at + HEADER_BYTES - _HASH.size]
    if _HASH.unpack_from(image, at + len(head))[0] != hash_of(head):
        return None
    magic, frames, sequence, number, length, settled, frames_hash, _ = _BATCH.unpack(head)
    return Batch(frames, sequence, number, length, settled, frames_hash) if magic == BATCH_MAGIC else None


def _sequences_beyond(image: mmap.mmap, position: int, end: int) -> set[int]:
    """The sequences of all batch headers behind a position."""
    sequences = set()
    # `find` looks at one byte past the end that it is given (CPython, fastsearch): past the map's own, it would crash.
    # A header that began later would not fit anyway.
    last = end - HEADER_BYTES + len(_MAGIC_BYTES)
    at = image.find(_MAGIC_BYTES, position, last)
    while at >= 0:
        batch = _read_batch(image, at, end)
        if batch is not None:
            sequences.add(batch.sequence)
        at = image.find(_MAGIC_BYTES, at + 4, last)
    return sequences


def _whole_batch(image: mmap.mmap, at: int, end: int) -> Batch | None:
    """The batch at a position, if all of it is there. Remains of older frames in its place do not pass: the header's
    hash covers those of exactly the frames that were written with it."""
    batch = _read_batch(image, at, end)
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


def _create(path: Path, size: int) -> None:
    """A file of zeroes that are really on the disk: later writes then change no metadata of the file system."""
    new = path.with_suffix(".new")
    # What guests have just written is in it: for nobody else on this host.
    with open(new, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        zeroes = bytes(1 << 20)
        for start in range(0, size, len(zeroes)):
            file.write(zeroes[: size - start])
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, buffers: list[bytes | memoryview], position: int) -> None:
    """Write all buffers at `position`, in as few system calls as the kernel allows."""
    while buffers:
        part = buffers[:BUFFERS_MAX]
        written = os.pwritev(fd, part, position)
        size = sum(map(len, part))
        if written == size:
            del buffers[: len(part)]
        else:
            rest = b"".join(part)[written:]
            buffers[: len(part)] = [rest]
        position += written
