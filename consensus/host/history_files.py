"""Where does a node keep its lines of history? In append-only files beside the log, bounded: the oldest go first.

    <directory>/<base>.lines          the one that grows; base: the revision that the lines follow, 20 digits
    <directory>/<base>-<end>.lines    a full one; end: the revision of its last line

    file  = frame(base link), frame(line)*
    frame = length (u32), first 8 bytes of BLAKE2b of the content, content

Writing costs the log a copy into memory, and now and then one into the page cache. Lines become durable when a
checkpoint is about to stand for their entries; those that a crash takes before are made again from the log's tail.
Everything here is synchronous: the log's loop calls `keep`, worker threads all the rest.
"""

import os
import re
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec
import structlog

from consensus.chain import HEAD_BYTES, Line, Link, decode_line, encode_line
from consensus.history.links import Span, Stretch
from consensus.host.files import make_private_directory, sync_directory
from noded.core.unreadable import UNREADABLE

BYTES_MAX: Final = 256 * 1024 * 1024
FILE_BYTES: Final = 1024 * 1024  # a file that has this many is full
BUFFER_BYTES: Final = 64 * 1024
BACKLOG_BYTES_MAX: Final = 16 * 1024 * 1024  # while a thread holds the files; then the log waits for it
UNSYNCED_MAX: Final = 32  # full files that no checkpoint has made durable yet
FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
_HEAD: Final = struct.Struct(">I8s")
_BASE_BYTES_MAX: Final = 128  # the frame of a base link is shorter
_SUFFIX: Final = ".lines"
_NAME: Final = re.compile(r"\d{20}(-\d{20})?\.lines", re.ASCII)
_NO_HEAD: Final = bytes(HEAD_BYTES)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _File:
    """One file. `end` is the revision of its last line, of its base if it has none."""

    path: Path
    base: Link
    end: int
    bytes: int


class HistoryFiles:
    """Implements `consensus.chain.Keeper` for the log and `consensus.history.links.Book` for readers."""

    def __init__(self, directory: Path, *, bytes_max: int = BYTES_MAX, file_bytes: int = FILE_BYTES) -> None:
        """Open what earlier lives left. Raises OSError."""
        self._directory = directory
        self._bytes_max = bytes_max
        self._file_bytes = file_bytes
        self._lock = Lock()
        self._pending: deque[tuple[Link, Link, bytes]] = deque()  # before, after, frame
        # How many bytes were put there, and taken out again: each counted by one side only, so no lock is needed.
        self._given_bytes = self._taken_bytes = 0
        self._fd: int | None = None  # of the file that grows
        self._growing: _File | None = None
        self._last = Link(0, _NO_HEAD)
        self._unsynced: list[int] = []
        self._is_resumed = False
        self._is_failing = False
        make_private_directory(directory)
        for leftover in directory.glob(".*.new"):
            leftover.unlink()
        self._files = [_opened(path) for path in sorted(directory.iterdir()) if _NAME.fullmatch(path.name)]

    # -- for the log

    def keep(self, line: Line, before: Link) -> None:
        """Another line, in order."""
        if not self._is_resumed:
            self.resume(before)
        frame = _frame(encode_line(line))
        self._pending.append((before, line.link, frame))
        self._given_bytes += len(frame)
        pending_bytes = self._given_bytes - self._taken_bytes
        if pending_bytes >= BUFFER_BYTES and self._lock.acquire(blocking=pending_bytes >= BACKLOG_BYTES_MAX):
            try:
                self._flush()
            finally:
                self._lock.release()

    def resume(self, link: Link) -> None:
        """The state stands at `link`: what is kept beyond it comes again, and is cut off here."""
        with self._lock:
            self._is_resumed = True
            self._flush()
            self._close()
            try:
                self._cut_after(link.revision)
            except OSError as fault:
                self._failed(fault)

    def settle(self) -> None:
        """Make durable what was kept so far."""
        with self._lock:
            self._flush()
            try:
                while self._unsynced:
                    self._sync_oldest()
                if self._fd is not None:
                    os.fsync(self._fd)
                sync_directory(self._directory)
            except OSError as fault:
                self._failed(fault)

    def close(self) -> None:
        """Write what is in memory, and let the files go."""
        with self._lock:
            self._flush()
            self._close()

    # -- for readers

    def spans(self) -> list[Span]:
        """What is kept, oldest first, up to the newest line that the log has given."""
        with self._lock:
            self._flush()
            return [Span(file.base, file.end) for file in self._files]

    def stretch(self, base_revision: int) -> Stretch | None:
        """The lines of one span; None if it is kept no more."""
        with self._lock:
            file = next((file for file in self._files if file.base.revision == base_revision), None)
            if file is None:
                return None
            content = file.path.read_bytes()
        return _read(content, file.base)

    def fill(self, stretch: Stretch) -> bool:
        """Put lines from another node into a gap; False if there is no room left for older ones. Raises OSError."""
        content = b"".join(
            (_frame(msgspec.msgpack.encode(stretch.base)), *(_frame(encode_line(line)) for line in stretch.lines))
        )
        with self._lock:
            if not self._make_room(len(content), stretch.base.revision):
                return False
            end = stretch.lines[-1].revision
            path = self._path(stretch.base.revision, end)
            temporary = path.with_name(f".{path.name}.new")
            _write_private(temporary, content)
            temporary.replace(path)
            sync_directory(self._directory)
            self._files.append(_File(path, stretch.base, end, len(content)))
            self._files.sort(key=lambda file: file.base.revision)
        return True

    # -- the files; all below runs under the lock

    def _flush(self) -> None:
        """Write what is pending. What can't be written is dropped: a gap, which other nodes may fill."""
        while self._pending:
            before = self._pending[0][0]
            try:
                growing = self._growing
                if growing is None or before != self._last or growing.bytes >= self._file_bytes:
                    growing = self._begin(before)
                self._append(growing, *self._next_frames(self._file_bytes - growing.bytes))
            except OSError as fault:
                self._failed(fault)
                self._close()
                self._drop_pending()
                return
        self._is_failing = False

    def _next_frames(self, room: int) -> tuple[Link, bytes]:
        """The frames that go into the file that grows: all that follow one another, as far as there is room."""
        frames: list[bytes] = []
        link = self._last
        while self._pending and self._pending[0][0] == link and room > 0:
            _, link, frame = self._pending.popleft()
            self._taken_bytes += len(frame)
            frames.append(frame)
            room -= len(frame)
        return link, b"".join(frames)

    def _drop_pending(self) -> None:
        while self._pending:
            self._taken_bytes += len(self._pending.popleft()[2])

    def _append(self, file: _File, link: Link, content: bytes) -> None:
        assert self._fd is not None
        try:
            _write_all(self._fd, content)
        except OSError:
            os.ftruncate(self._fd, file.bytes)  # half a frame would look as if somebody had damaged it
            raise
        file.bytes += len(content)
        file.end = link.revision
        self._last = link

    def _begin(self, base: Link) -> _File:
        """Start the next file, behind `base`."""
        self._seal()
        path = self._directory / f"{base.revision:020d}{_SUFFIX}"
        header = _frame(msgspec.msgpack.encode(base))
        self._make_room(len(header), base.revision)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _write_all(self._fd, header)
        except OSError:
            path.unlink(missing_ok=True)  # else a full disk would be strewn with empty files
            raise
        file = self._growing = _File(path, base, base.revision, len(header))
        self._files = [*(file for file in self._files if file.path != path), file]
        self._last = base
        return file

    def _make_room(self, size: int, base: int) -> bool:
        """Let go what is older than `base` until `size` more bytes fit. Whether they do."""
        while excess := sum(file.bytes for file in self._files) + size > self._bytes_max:
            oldest = self._files[0]
            if oldest.base.revision >= base or oldest is self._growing:
                break
            self._files.pop(0)
            oldest.path.unlink(missing_ok=True)
        return not excess

    def _seal(self) -> None:
        """The file that grew is full, or its lines are not followed by the next ones."""
        fd, file = self._fd, self._growing
        if fd is None or file is None:
            return
        self._fd = self._growing = None
        self._unsynced.append(fd)
        if len(self._unsynced) > UNSYNCED_MAX:
            self._sync_oldest()
        path = self._path(file.base.revision, file.end)
        file.path.replace(path)
        file.path = path

    def _sync_oldest(self) -> None:
        fd = self._unsynced.pop(0)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _path(self, base: int, end: int) -> Path:
        return self._directory / f"{base:020d}-{end:020d}{_SUFFIX}"

    def _close(self) -> None:
        for fd in (*self._unsynced, *([] if self._fd is None else [self._fd])):
            os.close(fd)
        self._unsynced.clear()
        self._fd = self._growing = None

    def _cut_after(self, revision: int) -> None:
        """Keep no line beyond `revision`, nor half a line; the last file grows on if the chain stands at its end."""
        while self._files and self._files[-1].base.revision >= revision:
            self._files.pop().path.unlink(missing_ok=True)
        if not self._files:
            self._last = Link(0, _NO_HEAD)
            return
        file = self._files[-1]
        self._last, end = _end_within(file.path.read_bytes(), file.base, revision)
        grown = self._directory / f"{file.base.revision:020d}{_SUFFIX}"
        if grown != file.path:
            file.path.replace(grown)
            file.path = grown
        self._fd = os.open(file.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        if end < file.bytes:
            os.ftruncate(self._fd, end)
        file.bytes, file.end = end, self._last.revision
        self._growing = file

    def _failed(self, fault: OSError) -> None:
        if not self._is_failing:
            log.error("history can't be kept here; other nodes have it", reason=str(fault))
        self._is_failing = True


def _opened(path: Path) -> _File:
    """A file as an earlier life left it: its name says where it ends, or its content does."""
    base_revision, _, end = path.stem.partition("-")
    with path.open("rb") as file:
        content = file.read(_BASE_BYTES_MAX if end else -1)
    base = _base_in(content, int(base_revision))
    revision = int(end) if end else _end_within(content, base, None)[0].revision
    return _File(path, base, revision, path.stat().st_size)


def _base_in(content: bytes, revision: int) -> Link:
    """The link that a file's lines follow. If it can't be read, no line will seem to follow it."""
    try:
        _, first = next(_frames(content))
        found = msgspec.msgpack.decode(first or b"", type=Link)
    except (StopIteration, *UNREADABLE):
        return Link(revision, _NO_HEAD)
    return Link(revision, found.head)


def _end_within(content: bytes, base: Link, limit: int | None) -> tuple[Link, int]:
    """The last line up to `limit` that can be read, and where it ends. What follows it is cut off or written anew."""
    last, end = base, 0
    for number, (offset, body) in enumerate(_frames(content)):
        line = _line_in(body) if number else None
        if line is not None and limit is not None and line.revision > limit:
            break
        if line is not None:
            last, end = line.link, offset
        elif not number:
            end = offset
    return last, end


def _read(content: bytes, base: Link) -> Stretch:
    lines: list[Line] = []
    damaged: list[int] = []
    for number, (_, body) in enumerate(_frames(content)):
        if number and (line := _line_in(body)) is not None:
            lines.append(line)
        elif number:
            damaged.append(lines[-1].revision if lines else base.revision)
    return Stretch(base, lines, damaged)


def _line_in(body: bytes | None) -> Line | None:
    """The line in a frame; None if it can't be read."""
    try:
        return decode_line(body or b"")
    except UNREADABLE:
        return None


def _frames(content: bytes) -> Iterator[tuple[int, bytes | None]]:
    """Where each whole frame ends and what it holds; None: it is damaged. Half a frame at the end is none."""
    offset = 0
    while offset + _HEAD.size <= len(content):
        length, check = _HEAD.unpack_from(content, offset)
        end = offset + _HEAD.size + length
        if length > FRAME_BYTES_MAX or end > len(content):
            return
        body = content[offset + _HEAD.size : end]
        yield end, body if _check(body) == check else None
        offset = end


def _frame(content: bytes) -> bytes:
    return _HEAD.pack(len(content), _check(content)) + content


def _check(content: bytes) -> bytes:
    return blake2b(content, digest_size=8).digest()


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def _write_private(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write_all(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)
