"""How is a volume seen as a file? pyfuse3 on trio, in the loop's own thread.

<run>/volumes/<id>/file/disk      any tool may read and write it; what was written is durable when write() returns

As long as the file is there, trio runs the loop: a request that went through another thread would wait for two of them
to wake. What the kernel has queued is taken together, up to a bound, before anything is sent to the replicas.
"""

import errno
import os
import select
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pyfuse3
import trio

from storage.extents.nbd import Backend
from storage.extents.serving import Buffer
from storage.host.event_log import note
from storage.host.loop import Loop
from storage.host.mounts import detach, unmount

FILE_INODE: Final = pyfuse3.ROOT_INODE + 1
FILE_NAME: Final = b"disk"
TASKS_MAX: Final = 32
# So many requests are begun before those that have gathered are sent.
BATCH_REQUESTS_MAX: Final = 32
FOREVER_S: Final = 3600.0


class VolumeFile(pyfuse3.Operations):  # type: ignore[misc]
    """A file system with one file in it."""

    # pyfuse3 calls the methods by position; what a method does not need is named all the same.
    # ruff: noqa: ARG002
    supports_dot_lookup = False

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._backend = backend

    async def getattr(self, inode: int, ctx: Any = None) -> Any:
        found = pyfuse3.EntryAttributes()
        found.st_ino = inode
        found.attr_timeout = found.entry_timeout = FOREVER_S
        if inode == pyfuse3.ROOT_INODE:
            found.st_mode = stat.S_IFDIR | 0o700
        else:
            found.st_mode = stat.S_IFREG | (0o600 if self._backend.writable else 0o400)
            found.st_size = self._backend.size_bytes
            found.st_blksize = 1 << 20
        return found

    async def lookup(self, parent_inode: int, name: bytes, ctx: Any = None) -> Any:
        if parent_inode != pyfuse3.ROOT_INODE or name != FILE_NAME:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return await self.getattr(FILE_INODE)

    async def setattr(self, inode: int, attr: Any, fields: Any, fh: Any, ctx: Any) -> Any:
        if fields.update_size and attr.st_size != self._backend.size_bytes:
            raise pyfuse3.FUSEError(errno.EPERM)
        return await self.getattr(inode)

    async def opendir(self, inode: int, ctx: Any) -> int:
        return inode

    async def readdir(self, fh: int, start_id: int, token: Any) -> None:
        if start_id == 0:
            pyfuse3.readdir_reply(token, FILE_NAME, await self.getattr(FILE_INODE), 1)

    async def open(self, inode: int, flags: int, ctx: Any) -> Any:
        if flags & (os.O_WRONLY | os.O_RDWR) and not self._backend.writable:
            raise pyfuse3.FUSEError(errno.EROFS)
        return pyfuse3.FileInfo(fh=inode, direct_io=True, keep_cache=False)

    async def read(self, fh: int, off: int, size: int) -> Buffer:
        size = max(0, min(size, self._backend.size_bytes - off))
        if not size:
            return b""
        error, data = await _answer_to(partial(self._backend.read, off, size))
        if error:
            raise pyfuse3.FUSEError(error)
        return bytes(size) if data is None else data

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        if off + len(buf) > self._backend.size_bytes:
            raise pyfuse3.FUSEError(errno.ENOSPC)
        error, _ = await _answer_to(partial(self._backend.update, off, len(buf), bytes(buf)))
        if error:
            raise pyfuse3.FUSEError(error)
        return len(buf)

    async def fsync(self, fh: int, datasync: bool) -> None:
        """Nothing: what write() answered is on stable storage already."""

    async def flush(self, fh: int) -> None:
        """Nothing, for the same reason."""

    async def release(self, fh: int) -> None:
        """Nothing is kept for an open file."""


async def _answer_to(begin: Callable[[Callable[..., None]], None]) -> tuple[int, Buffer | None]:
    """Begin something, and wait for what it says."""
    task = trio.lowlevel.current_task()
    answers: list[tuple[int, Buffer | None]] = []
    waiting = False

    def done(error: int, data: Buffer | None = None) -> None:
        answers.append((error, data))
        if waiting:
            trio.lowlevel.reschedule(task)

    begin(done)

    def abort(_raise: object) -> trio.lowlevel.Abort:
        nonlocal waiting
        waiting = False
        return trio.lowlevel.Abort.SUCCEEDED

    if not answers:
        waiting = True
        await trio.lowlevel.wait_task_rescheduled(abort)
    return answers[0]


class _Gathering(trio.abc.Instrument):
    """Lets what requests have brought about be sent when trio is about to wait, and not for each by itself.

    pyfuse3 is shown a `trio` (as its asyncio layer shows it one) that takes a request at once if there is one: so trio
    comes to wait only when the kernel has no more, or `BATCH_REQUESTS_MAX` have been taken.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._poll = select.poll()
        self._polled = -1
        self._taken = 0
        lowlevel = SimpleNamespace(**vars(trio.lowlevel) | {"wait_readable": self._wait_readable})
        self.shown = SimpleNamespace(**vars(trio) | {"lowlevel": lowlevel})

    async def _wait_readable(self, fd: int) -> None:
        if fd != self._polled:
            self._poll.register(fd, select.POLLIN)
            self._polled = fd
        if self._taken < BATCH_REQUESTS_MAX and self._poll.poll(0):
            self._taken += 1
            return
        self._send()
        await trio.lowlevel.wait_readable(fd)

    def before_io_wait(self, timeout: float) -> None:
        """trio has nothing else to do. What this lets go on (a connection may be found broken) goes on when the loop's
        next timer is due, a quarter of a second later at most.
        """
        if timeout > 0:
            self._send()

    def _send(self) -> None:
        self._taken = 0
        for call in self._loop.after:
            call()


class FileView:
    """Mounts the file and takes it away again."""

    def __init__(self, loop: Loop, backend: Backend, directory: Path) -> None:
        self._loop = loop
        self._backend = backend
        self._directory = directory
        self.mounted = False
        self._serving = False
        self._gathering = _Gathering(loop)

    def mount(self) -> None:
        """From now on the file can be opened. Raises OSError."""
        if self.mounted:
            return
        if self._serving:
            raise OSError(errno.EBUSY, "the file that was taken away is still open in some program")
        unmount(self._directory)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        options = set(pyfuse3.default_options) - {"default_permissions"} | {"fsname=noded-volume"}
        pyfuse3.trio = self._gathering.shown  # type: ignore[attr-defined]
        pyfuse3.init(VolumeFile(self._backend), str(self._directory), options)
        self.mounted = self._serving = True
        self._loop.give_way(self._serve)

    def unmount(self) -> None:
        """Whoever has the file open keeps it until closing."""
        if self.mounted:
            self.mounted = False
            detach(self._directory)

    def _serve(self) -> None:
        try:
            trio.run(self._run, instruments=[self._gathering])
        finally:
            pyfuse3.close(unmount=False)
            self._serving = False
            self.unmount()
            note("file view ended", directory=str(self._directory))

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._drive, nursery.cancel_scope)
            await pyfuse3.main(min_tasks=2, max_tasks=TASKS_MAX)
            nursery.cancel_scope.cancel()

    async def _drive(self, scope: trio.CancelScope) -> None:
        """The loop's turns; at their end, the end of `scope`."""
        loop = self._loop
        while not loop.is_stopping:
            patience = loop.patience()
            with trio.move_on_after(patience if patience >= 0 else FOREVER_S):
                await trio.lowlevel.wait_readable(loop.fileno())
            loop.turn(0)
        # What is under way is not answered any more: the kernel tells whoever waits for it when the file is gone.
        self.unmount()
        scope.cancel()
