"""Is a process alive, and which one is it? A record lock on a file says so, without mistakes about reused pids.

The kernel drops the lock when the process ends, however it ends, and tells who holds it (fcntl F_GETLK).
"""

import contextlib
import fcntl
import os
import signal
import struct
from pathlib import Path
from typing import Final

# struct flock on 64-bit Linux: type i16, whence i16, start i64, length i64, pid i32.
_FLOCK: Final = struct.Struct("hhqqi4x")


class AlreadyRunning(Exception):  # noqa: N818  # it names what was found
    """Another process holds the lock."""


class ProcessLock:
    """A lock that this process holds until it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def take(self) -> None:
        """Hold the lock from now on. Raises AlreadyRunning."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise AlreadyRunning(f"{self._path} is held by process {holder(self._path)}") from error


def holder(path: Path) -> int | None:
    """The process that holds a lock, or None if nobody does."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    finally:
        os.close(fd)
    return None if kind == fcntl.F_UNLCK else pid


def send_signal(path: Path, number: signal.Signals) -> bool:
    """Send a signal to the process that holds a lock, and to no other; whether there was one."""
    pid = holder(path)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        try:
            # Between the question and pidfd_open the process may have ended, and its number may be another's now.
            if holder(path) == pid:
                signal.pidfd_send_signal(process, number)
                return True
        finally:
            os.close(process)
    return False
