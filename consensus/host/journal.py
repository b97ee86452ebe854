"""How do entries, term and vote survive a power cut? One append-only file, one fdatasync a tick.

    file  = frame*
    frame = magic "NJF1", length of the body (u32), CRC of the rest (u32), sequence number (u64), body
    body  = record*          record = kind (u8), length (u32), content

One `sync` writes one frame, and the next frame is written only after it is durable. So a damaged frame at the end of
the file is a torn write of what nobody was told yet, and is cut off; a damaged frame with a whole one behind it is lost
data, and is refused.
"""

import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final, overload

import msgspec
import structlog

from consensus.host.files import PRIVATE, sync_directory
from consensus.host.seams import Entry
from consensus.log import StorageFailed

_MAGIC: Final = b"NJF1"
_HEAD: Final = struct.Struct("<4sIIQ")
_RECORD: Final = struct.Struct("<BI")
_PLACE: Final = struct.Struct("<QQ")

TRAIL_BYTES_MAX: Final = 8 * 1024 * 1024
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

log = structlog.get_logger(__name__)


class JournalDamaged(Exception):  # noqa: N818
    """The journal lost what had been durable. This node must leave the voters and join again, empty."""


class JournalInUse(Exception):  # noqa: N818
    """Another process holds this journal."""


class _Kind(IntEnum):
    ENTRY = 1
    CUT = 2  # forget all entries from this index on
    VOTE = 3
    CLEAR = 4


class _Vote(msgspec.Struct, frozen=True, array_like=True):
    """What must not be forgotten beside the entries. `commit_hint` may be too low, never too high."""

    term: int = 0
    voted_for: str | None = None
    commit_hint: int = 1


class Journal:
    """The log in memory and on disk. Everything but `sync` is quick and for the tick; `sync` is for a worker thread."""

    def __init__(
        self,
        path: Path,
        *,
        fdatasync: Callable[[int], None] = os.fdatasync,
        write: Callable[[int, bytes | memoryview], int] = os.write,
        make_room: Callable[[int], bool] = lambda _bytes: False,
    ) -> None:
        """Open or create; cut a torn tail. Raises JournalDamaged, JournalInUse, OSError.

        `make_room` frees so many bytes on a full disk, if it can.
        """
        self._path = path
        self._fdatasync = fdatasync
        self._write = write
        self._make_room = make_room
        self._entries: list[Entry] = []
        self._bytes = 0
        self._vote = _Vote()
        self._unwritten = bytearray()
        self._must_rewrite = False
        self._sequence = 0
        self.torn_bytes = 0
        self.term_is_durable = True
        self._lock = _lock(path.with_name(path.name + ".lock"))
        self._file = -1
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    # -- what the log holds

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, position: int) -> Entry: ...
    @overload
    def __getitem__(self, position: slice) -> list[Entry]: ...
    def __getitem__(self, position: int | slice) -> Entry | list[Entry]:
        return self._entries[position]

    @property
    def first_index(self) -> int:
        """The index of the oldest entry held."""
        return self._entries[0][1]

    @property
    def content_bytes(self) -> int:
        """How much memory the entries' commands take."""
        return self._bytes

    def at(self, index: int) -> Entry | None:
        """The entry of that index, if it is held."""
        position = index - self._entries[0][1] if self._entries else -1
        return self._entries[position] if 0 <= position < len(self._entries) else None

    def since(self, index: int) -> list[Entry]:
        """The entries from `index` on."""
        return self._entries[max(0, index - self._entries[0][1]) :] if self._entries else []

    @property
    def term(self) -> int:
        return self._vote.term

    @property
    def voted_for(self) -> str | None:
        return self._vote.voted_for

    @property
    def commit_hint(self) -> int:
        """An index that was committed once; the true commit index may be higher."""
        return max(1, min(self._vote.commit_hint, self._entries[-1][1] if self._entries else 1))

    @property
    def is_dirty(self) -> bool:
        """Whether something waits for `sync`."""
        return bool(self._unwritten) or self._must_rewrite

    # -- changes; durable after the next `sync`

    def add(self, command: bytes, index: int, term: int) -> None:
        self._remember((command, index, term))
        self._record(_Kind.ENTRY, _PLACE.pack(index, term) + command)

    def cut_from(self, index: int) -> None:
        """Forget the entries from `index` on: another leader's log has others there."""
        self._forget_from(index)
        self._record(_Kind.CUT, struct.pack("<Q", index))

    def clear(self) -> None:
        """Forget all entries; those of a checkpoint follow."""
        self._entries.clear()
        self._bytes = 0
        self._record(_Kind.CLEAR, b"")

    def trim(self, index: int, trail_entries: int) -> None:
        """Forget what stands before `index`, except a trail for followers that lag a little. The file is rewritten."""
        keep_from = max(0, index - self._entries[0][1] - trail_entries)
        trail = sum(len(command) for command, at, _ in self._entries[keep_from:] if at < index)
        while trail > TRAIL_BYTES_MAX:
            trail -= len(self._entries[keep_from][0])
            keep_from += 1
        if keep_from > 0:
            self._bytes -= sum(len(command) for command, _, _ in self._entries[:keep_from])
            del self._entries[:keep_from]
            self._must_rewrite = True

    def set_vote(self, term: int, voted_for: str | None) -> None:
        self.term_is_durable = self.term_is_durable and term == self._vote.term
        self._vote = _Vote(term, voted_for, self._vote.commit_hint)
        self._record(_Kind.VOTE, msgspec.msgpack.encode(self._vote))

    def set_commit_hint(self, index: int) -> None:
        self._vote = _Vote(self._vote.term, self._vote.voted_for, index)

    # -- durability

    def sync(self) -> None:
        """Make everything above durable. Raises StorageFailed: then nothing may be acknowledged any more."""
        try:
            if not (self._must_rewrite and self._rewrite()) and self._unwritten:
                self._append_with_room(self._unwritten)
                self._fdatasync(self._file)
        except OSError as error:
            # After a failed fdatasync the kernel may call lost pages clean, so trying again proves nothing.
            raise StorageFailed(f"{self._path}: {error}") from error
        self._unwritten.clear()
        self.term_is_durable = True

    def close(self) -> None:
        """Give the file and the lock free. What was not synced is lost, as in a crash."""
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1

    def _append(self, file: int, body: bytes | bytearray) -> None:
        frame = memoryview(_frame(self._sequence, bytes(body)))
        while frame:
            frame = frame[self._write(file, frame) :]
        self._sequence += 1

    def _append_with_room(self, body: bytearray) -> None:
        """Append; where the disk is full, take the part that was written back, make room, and try once more."""
        end = os.fstat(self._file).st_size
        try:
            self._append(self._file, body)
        except OSError as error:
            if error.errno not in FULL or not self._make_room(len(body)):
                raise
            os.ftruncate(self._file, end)
            self._append(self._file, body)

    def _rewrite(self) -> bool:
        """Leave out what was trimmed. False if the disk has no room for that: the old file goes on, and grows.

        It says the same: what was trimmed stands in it once more, before the rest.
        """
        sequence = self._sequence
        self._must_rewrite = False
        for _ in range(2):
            try:
                self._rewrite_aside()
            except OSError as error:
                self._sequence = sequence
                if error.errno not in FULL:
                    raise
                if not self._make_room(self._bytes + len(self._unwritten)):
                    break
            else:
                return True
        log.warning("journal can't be rewritten: its disk is full", journal=str(self._path))
        return False

    def _rewrite_aside(self) -> None:
        temporary = self._path.with_name(f".{self._path.name}.new")
        self._sequence = 0
        file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, PRIVATE)
        try:
            for body in self._snapshot_bodies():
                self._append(file, body)
            self._fdatasync(file)
            temporary.replace(self._path)
        except BaseException:
            os.close(file)
            temporary.unlink(missing_ok=True)
            raise
        os.close(self._file)
        self._file = file
        try:
            sync_directory(self._path.parent)
        except OSError as error:
            # Which of the two files a power cut would leave is not known: there is no way back to the old one.
            raise StorageFailed(f"{self._path.parent}: {error}") from error

    def _snapshot_bodies(self) -> Iterator[bytes]:
        """All that must be kept, in frames of moderate size."""
        body = bytearray(_record(_Kind.VOTE, msgspec.msgpack.encode(self._vote)))
        for command, index, term in self._entries:
            body += _record(_Kind.ENTRY, _PLACE.pack(index, term) + command)
            if len(body) > 1024 * 1024:
                yield bytes(body)
                body.clear()
        yield bytes(body)

    def _record(self, kind: _Kind, content: bytes) -> None:
        self._unwritten += _record(kind, content)

    def _remember(self, entry: Entry) -> None:
        assert not self._entries or entry[1] == self._entries[-1][1] + 1, f"entry {entry[1]} leaves a gap"
        self._entries.append(entry)
        self._bytes += len(entry[0])

    def _forget_from(self, index: int) -> None:
        position = max(0, index - self._entries[0][1]) if self._entries else 0
        self._bytes -= sum(len(command) for command, _, _ in self._entries[position:])
        del self._entries[position:]

    # -- opening

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE)
        content = self._path.read_bytes()
        good = 0
        for body, end in _frames(content):
            self._replay(body)
            good, self._sequence = end, self._sequence + 1
        if _has_frame_after(content, good, self._sequence):
            raise JournalDamaged(
                f"{self._path}: byte {good} and what follows can't be read although later writes are whole. Entries"
                " that this node had promised to keep are lost: remove it from the voters, then let it join again."
            )
        self.torn_bytes = len(content) - good
        os.ftruncate(self._file, good)
        os.fsync(self._file)
        sync_directory(self._path.parent)

    def _replay(self, body: bytes) -> None:
        position = 0
        while position < len(body):
            kind, length = _RECORD.unpack_from(body, position)
            content = body[position + _RECORD.size : position + _RECORD.size + length]
            position += _RECORD.size + length
            match kind:
                case _Kind.ENTRY:
                    self._remember((content[_PLACE.size :], *_PLACE.unpack_from(content)))
                case _Kind.CUT:
                    self._forget_from(struct.unpack("<Q", content)[0])
                case _Kind.VOTE:
                    self._vote = msgspec.msgpack.decode(content, type=_Vote)
                case _Kind.CLEAR:
                    self._entries.clear()
                    self._bytes = 0
                case _:
                    raise JournalDamaged(f"{self._path}: record kind {kind} is not known to this release")


def _record(kind: _Kind, content: bytes) -> bytes:
    return _RECORD.pack(kind, len(content)) + content


def _frame(sequence: int, body: bytes) -> bytes:
    return _HEAD.pack(_MAGIC, len(body), _crc(sequence, body), sequence) + body


def _crc(sequence: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("<IQ", len(body), sequence)))


def _frame_at(content: bytes, position: int) -> tuple[int, bytes] | None:
    """Sequence number and body of the whole frame at `position`, if there is one."""
    if len(content) - position < _HEAD.size:
        return None
    magic, length, crc, sequence = _HEAD.unpack_from(content, position)
    body = content[position + _HEAD.size : position + _HEAD.size + length]
    whole = magic == _MAGIC and len(body) == length and _crc(sequence, body) == crc
    return (sequence, body) if whole else None


def _frames(content: bytes) -> Iterator[tuple[bytes, int]]:
    """The bodies of the whole frames from the start on, each with the position behind it."""
    position, expected = 0, 0
    while (found := _frame_at(content, position)) is not None and found[0] == expected:
        position += _HEAD.size + len(found[1])
        expected += 1
        yield found[1], position


def _has_frame_after(content: bytes, position: int, sequence: int) -> bool:
    """Whether a whole frame later than `sequence` stands somewhere behind `position`."""
    while (position := content.find(_MAGIC, position)) >= 0:
        found = _frame_at(content, position)
        if found is not None and found[0] > sequence:
            return True
        position += 1
    return False


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise JournalInUse(f"{path} is held by another process: noded already runs on this directory") from None
    return descriptor
