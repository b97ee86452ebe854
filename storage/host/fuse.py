"""How is a volume seen as a file? pyfuse3 on trio, in a thread of its own, which hands every request to the loop.

<run>/volumes/<id>/file/disk      any tool may read and write it; what was written is durable when write() returns
"""

import errno
import os
import stat
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import outcome
import pyfuse3
import trio

from storage.extents.nbd import Backend
from storage.extents.serving import Buffer
from storage.host.event_log import note
from storage.host.loop import Loop
from storage.host.mounts import unmount

FILE_INODE: Final = pyfuse3.ROOT_INODE + 1
FILE_NAME: Final = b"disk"
TASKS_MAX: Final = 32
FOREVER_S: Final = 3600.0
MOUNT_SECONDS_MAX: Final = 10.0


class VolumeFile(pyfuse3.Operations):  # type: ignore[misc]
    """A file system with one file in it."""

    # pyfuse3 calls the methods by position; what a method does not need is named all the same.
    # ruff: noqa: ARG002
    supports_dot_lookup = False

    def __init__(self, loop: Loop, backend: Backend) -> None:
        super().__init__()
        self._loop = loop
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
        error, data = await self._on_loop(partial(self._backend.read, off, size))
        if error:
            raise pyfuse3.FUSEError(error)
        return bytes(size) if data is None else data

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        if off + len(buf) > self._backend.size_bytes:
            raise pyfuse3.FUSEError(errno.ENOSPC)
        error, _ = await self._on_loop(partial(self._backend.update, off, len(buf), bytes(buf)))
        if error:
            raise pyfuse3.FUSEError(error)
        return len(buf)

    async def fsync(self, fh: int, datasync: bool) -> None:
        """Nothing: what write() answered is on stable storage already."""

    async def flush(self, fh: int) -> None:
        """Nothing, for the same reason."""

    async def release(self, fh: int) -> None:
        """Nothing is kept for an open file."""

    async def _on_loop(self, begin: Callable[[Callable[..., None]], None]) -> tuple[int, Buffer | None]:
        """Begin something in the loop's thread, and wait here for what it says."""
        task = trio.lowlevel.current_task()
        token = trio.lowlevel.current_trio_token()

        def done(error: int, data: Buffer | None = None) -> None:
            answer = outcome.Value((error, data))
            token.run_sync_soon(partial(trio.lowlevel.reschedule, task, answer))

        self._loop.call_from_thread(partial(begin, done))
        answer: tuple[int, Buffer | None] = await trio.lowlevel.wait_task_rescheduled(
            lambda _raise: trio.lowlevel.Abort.FAILED
        )
        return answer


class FileView:
    """Mounts the file and takes it away again."""

    def __init__(self, loop: Loop, backend: Backend, directory: Path) -> None:
        self._loop = loop
        self._backend = backend
        self._directory = directory
        self._thread: threading.Thread | None = None

    @property
    def mounted(self) -> bool:
        """Whether the file is there."""
        return self._thread is not None and self._thread.is_alive()

    def mount(self) -> None:
        """Returns when the file can be opened. Raises OSError."""
        if self.mounted:
            return
        unmount(self._directory)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        options = set(pyfuse3.default_options) - {"default_permissions"} | {"fsname=noded-volume"}
        pyfuse3.init(VolumeFile(self._loop, self._backend), str(self._directory), options)
        self._thread = threading.Thread(target=self._serve, name="fuse", daemon=True)
        self._thread.start()

    def unmount(self) -> None:
        """Whoever has the file open keeps it until closing."""
        if self._thread is not None:
            unmount(self._directory)
            self._thread.join(MOUNT_SECONDS_MAX)
            self._thread = None

    def _serve(self) -> None:
        try:
            trio.run(partial(pyfuse3.main, min_tasks=2, max_tasks=TASKS_MAX))
        finally:
            pyfuse3.close(unmount=False)
            note("file view ended", directory=str(self._directory))
