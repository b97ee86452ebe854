"""How do images' bytes get into a file and out of it, fast, without the daemon's loop waiting for a disk?

    network ─► pieces of 1 MiB ─┬─► thread: inspect
                                ├─► thread: MD5
                                ├─► thread: SHA-512
                                └─► thread: write           (each piece by all, in order, a few ahead)

The loop only gathers; hashing, writing and reading release the interpreter and run on threads of their own.
"""

import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from images.contents.links import Received
from images.formats.inspection import Inspection
from images.host import qemu_img
from noded.core.errors import TooLarge, Unavailable
from noded.core.units import KIB, MIB

PIECE_BYTES: Final = MIB
PIECES_AHEAD_MAX: Final = 4  # bounds the memory of a transfer
THREADS_MAX: Final = 16  # for all transfers of this node together
CONVERSIONS_MAX: Final = 2
_BLOCK_BYTES: Final = 4 * KIB
_ZEROES: Final = bytes(PIECE_BYTES)


class ImageTransfer:
    """Implements `images.contents.links.ImageBytes`."""

    def __init__(self) -> None:
        self._threads = trio.CapacityLimiter(THREADS_MAX)
        self._conversions = trio.CapacityLimiter(CONVERSIONS_MAX)

    async def receive(self, pieces: AsyncIterator[bytes], path: Path, inspection: Inspection) -> Received:
        """See `ImageBytes.receive`."""
        target = await trio.to_thread.run_sync(_Target, path, limiter=self._threads)
        md5 = hashlib.md5(usedforsecurity=False)  # what Glance calls `checksum`
        sha512 = hashlib.sha512()
        try:
            async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
                takers = (inspection.eat, md5.update, sha512.update, target.take)
                workers = [await stack.enter_async_context(self._worker(nursery, take)) for take in takers]
                async for piece in await stack.enter_async_context(aclosing(_gathered(pieces))):
                    for worker in workers:
                        await worker.send(piece)
        except BaseExceptionGroup as group:
            raise _first(group) from None
        else:
            await trio.to_thread.run_sync(target.finish, limiter=self._threads)
        finally:
            target.close()
        return Received(size_bytes=target.received_bytes, md5=md5.hexdigest(), sha512=sha512.hexdigest())

    async def send(self, path: Path, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """See `ImageBytes.send`."""
        fd = await trio.to_thread.run_sync(os.open, path, os.O_RDONLY, limiter=self._threads)
        try:
            while start < end:
                # To the next whole piece, so that later reads are aligned.
                size = min(PIECE_BYTES - start % PIECE_BYTES, end - start)
                piece = await trio.to_thread.run_sync(os.pread, fd, size, start, limiter=self._threads)
                if not piece:
                    raise EOFError(f"{path} ends at {start}, before {end}")
                yield piece
                start += len(piece)
        finally:
            os.close(fd)

    async def convert(self, path: Path, disk_format: str, socket: Path) -> None:
        """See `ImageBytes.convert`."""
        async with self._conversions:
            await qemu_img.convert(path, disk_format, socket)

    def _worker(self, nursery: trio.Nursery, take: Callable[[bytes], None]) -> trio.MemorySendChannel[bytes]:
        """A channel whose pieces are given to `take` in order, on threads."""
        sender, receiver = trio.open_memory_channel[bytes](PIECES_AHEAD_MAX)

        async def work() -> None:
            async with receiver:
                async for piece in receiver:
                    await trio.to_thread.run_sync(take, piece, limiter=self._threads)

        nursery.start_soon(work)
        return sender


async def _gathered(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes in pieces of `PIECE_BYTES`, the last one perhaps smaller."""
    gathered = bytearray()
    try:
        async for piece in pieces:
            gathered += piece
            while len(gathered) >= PIECE_BYTES:
                yield bytes(memoryview(gathered)[:PIECE_BYTES])
                del gathered[:PIECE_BYTES]
        if gathered:
            yield bytes(gathered)
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The fault that ended a nursery: the others are only what it took with it."""
    faults = [each for each in group.exceptions if not isinstance(each, trio.Cancelled)] or list(group.exceptions)
    return _first(faults[0]) if isinstance(faults[0], BaseExceptionGroup) else faults[0]


class _Target:
    """The file that is written. It is new, so zeroes need not be written."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR)
        self._size = os.fstat(self._fd).st_size
        self.received_bytes = 0

    def take(self, piece: bytes) -> None:
        if self.received_bytes + len(piece) > self._size:
            raise TooLarge(f"The image is larger than the {self._size} bytes that were announced.")
        if piece != _ZEROES:
            # Whole blocks: a part of one would have to be read before it is written.
            self._write(piece + bytes(-len(piece) % _BLOCK_BYTES))
        self.received_bytes += len(piece)

    def finish(self) -> None:
        with _volume_faults():
            os.fsync(self._fd)

    def close(self) -> None:
        # A volume that has gone says so again here; the write that failed has said it already.
        with suppress(OSError):
            os.close(self._fd)

    def _write(self, data: bytes) -> None:
        rest, at = memoryview(data), self.received_bytes
        with _volume_faults():
            while rest:
                written = os.pwrite(self._fd, rest, at)
                rest, at = rest[written:], at + written


@contextmanager
def _volume_faults() -> Iterator[None]:
    """The volume's faults, told apart from those of the client's connection, which are OSErrors too."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"The volume that receives the image failed: {error.strerror}. Try again.") from error
