"""How do images' bytes get into a file and out of it, fast, without the daemon's loop waiting for a disk?

    network ─► pieces of 1 MiB ─┬─► a thread: inspect
               (a few buffers,  ├─► a thread: MD5
                used again and  ├─► a thread: SHA-512       each of these in order
                again)          └─► several threads: write  in any order

The loop only gathers; hashing, writing and reading release the interpreter. Writes go past the page cache (O_DIRECT):
then FUSE lets several of them be under way at once, and a volume's writes take their time to reach every replica.
"""

import errno
import hashlib
import mmap
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import trio

from images.contents.links import Received, Taken
from images.formats.inspection import Inspection
from images.host import qemu_img
from noded.core.errors import TooLarge, Unavailable
from noded.core.units import KIB, MIB

PIECE_BYTES: Final = MIB
PIECES_MAX: Final = 8  # bounds the memory of a transfer
WRITES_MAX: Final = 4  # at once, of one transfer
THREADS_MAX: Final = 32  # for all transfers of this node together
CONVERSIONS_MAX: Final = 2
_BLOCK_BYTES: Final = 4 * KIB
_ZEROES: Final = bytes(PIECE_BYTES)


_Taker = tuple[Callable[["_Piece"], None], int]  # what is done with each piece, on how many threads


class ImageTransfer:
    """Implements `images.contents.links.ImageBytes`."""

    def __init__(self) -> None:
        self._threads = trio.CapacityLimiter(THREADS_MAX)
        self._conversions = trio.CapacityLimiter(CONVERSIONS_MAX)

    async def receive(
        self, pieces: AsyncIterator[bytes], path: Path, inspection: Inspection, *, algorithm: str = ""
    ) -> Received:
        """See `ImageBytes.receive`."""
        taken = _Digests(inspection, algorithm)
        await self._append(pieces, path, taken, last=True, is_new=True)
        return taken.received()

    def begin(self, inspection: Inspection) -> Taken:
        """See `ImageBytes.begin`."""
        return _Digests(inspection, "")

    async def append(self, pieces: AsyncIterator[bytes], path: Path, taken: Taken, *, last: bool) -> None:
        """See `ImageBytes.append`."""
        assert isinstance(taken, _Digests)
        await self._append(pieces, path, taken, last=last, is_new=False)

    async def catch_up(self, path: Path, taken: Taken, size_bytes: int) -> None:
        """See `ImageBytes.catch_up`."""
        assert isinstance(taken, _Digests)
        with _volume_faults("is read for"):
            await self._spread(self.send(path, taken.size_bytes, size_bytes), taken, [])

    async def _append(
        self, pieces: AsyncIterator[bytes], path: Path, taken: "_Digests", *, last: bool, is_new: bool
    ) -> None:
        target = await trio.to_thread.run_sync(partial(_Target, path, is_new=is_new), limiter=self._threads)
        try:
            try:
                await self._spread(pieces, taken, [(target.take, WRITES_MAX)], last=last)
            except Exception:
                if taken.is_usable:  # what came before the sender went shall be there when it comes back
                    await self._finish(target, taken)
                raise
            await self._finish(target, taken)
        finally:
            target.close()

    async def _finish(self, target: "_Target", taken: "_Digests") -> None:
        try:
            await trio.to_thread.run_sync(target.finish, limiter=self._threads)
        except Unavailable:
            taken.is_usable = False
            raise

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

    async def digest(self, path: Path, size_bytes: int) -> Received:
        """See `ImageBytes.digest`."""
        taken = _Digests(None, "")
        await self.catch_up(path, taken, size_bytes)
        return taken.received()

    async def convert(self, path: Path, size_bytes: int, disk_format: str, socket: Path) -> None:
        """See `ImageBytes.convert`."""
        async with self._conversions:
            await qemu_img.convert(path, size_bytes, disk_format, socket)

    async def _spread(
        self, pieces: AsyncIterator[bytes], taken: "_Digests", takers: "list[_Taker]", *, last: bool = True
    ) -> None:
        """Give every piece to every taker, on as many threads as it may have, after what was taken before.

        Where the sender fails, all takers have had what it had sent by then. `last` false: a piece that is not full
        at the end is left out, so that what follows begins at the border of one.
        """
        takers = [*taken.takers(), *takers]
        free = _Buffers(PIECES_MAX, len(takers))
        fault: Exception | None = None
        try:
            async with trio.open_nursery() as nursery, AsyncExitStack() as senders:
                channels = []
                for take, threads in takers:
                    sender, receiver = trio.open_memory_channel[_Piece](PIECES_MAX)
                    channels.append(await senders.enter_async_context(sender))
                    for _ in range(threads):
                        nursery.start_soon(self._work, receiver.clone(), take, free)
                    receiver.close()
                gathered = aclosing(_gathered(pieces, free, taken.size_bytes, last=last))
                each = await senders.enter_async_context(gathered)
                while True:
                    try:
                        piece = await anext(each, None)
                    except Exception as sender_fault:  # noqa: BLE001  # raised again when all is taken
                        fault = sender_fault
                        break
                    if piece is None:
                        break
                    for channel in channels:
                        await channel.send(piece)
                    taken.size_bytes += piece.size
        except BaseExceptionGroup as group:
            taken.is_usable = False
            raise _first(group) from None
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
        if fault is not None:
            raise fault

    async def _work(
        self, receiver: "trio.MemoryReceiveChannel[_Piece]", take: "Callable[[_Piece], None]", free: "_Buffers"
    ) -> None:
        async with receiver:
            async for piece in receiver:
                await trio.to_thread.run_sync(take, piece, limiter=self._threads)
                free.taken(piece)


class _Digests:
    """Implements `images.contents.links.Taken`: what was seen of a file so far."""

    def __init__(self, inspection: Inspection | None, algorithm: str) -> None:
        self.size_bytes = 0
        self.is_usable = True
        self._inspection = inspection
        self._md5 = hashlib.md5(usedforsecurity=False)  # what Glance calls `checksum`
        self._sha512 = hashlib.sha512()
        self._further = hashlib.new(algorithm, usedforsecurity=False) if algorithm else None

    def takers(self) -> "list[_Taker]":
        """What is done with each piece, in the pieces' order."""
        takers: list[_Taker] = [
            (lambda piece: self._md5.update(piece.data), 1),
            (lambda piece: self._sha512.update(piece.data), 1),
        ]
        inspection, further = self._inspection, self._further
        if inspection is not None:
            takers.append((lambda piece: inspection.eat(bytes(piece.data)), 1))
        if further is not None:
            takers.append((lambda piece: further.update(piece.data), 1))
        return takers

    def received(self) -> Received:
        """See `Taken.received`."""
        return Received(
            size_bytes=self.size_bytes,
            md5=self._md5.hexdigest(),
            sha512=self._sha512.hexdigest(),
            digest="" if self._further is None else self._further.hexdigest(),
        )


class _Piece:
    """Some bytes of the image, in a buffer that is used again when every taker has had them."""

    __slots__ = ("buffer", "data", "offset", "size", "takers_left")

    def __init__(self, buffer: mmap.mmap, offset: int, size: int, takers: int) -> None:
        self.buffer = buffer
        self.offset = offset
        self.size = size
        self.data = memoryview(buffer)[:size]
        self.takers_left = takers


class _Buffers:
    """The buffers of one transfer, at page borders as O_DIRECT wants them."""

    def __init__(self, count: int, takers: int) -> None:
        self._takers = takers
        self._give, self._receive = trio.open_memory_channel[mmap.mmap](count)
        for _ in range(count):
            self._give.send_nowait(mmap.mmap(-1, PIECE_BYTES))

    async def one(self) -> mmap.mmap:
        """A buffer that nobody needs any more."""
        return await self._receive.receive()

    def piece(self, buffer: mmap.mmap, offset: int, size: int) -> _Piece:
        """What was gathered into it."""
        return _Piece(buffer, offset, size, self._takers)

    def taken(self, piece: _Piece) -> None:
        """One more taker has had the piece."""
        piece.takers_left -= 1
        if not piece.takers_left:
            self._give.send_nowait(piece.buffer)


async def _gathered(
    pieces: AsyncIterator[bytes], free: _Buffers, offset: int, *, last: bool
) -> AsyncGenerator[_Piece, None]:
    """The same bytes in pieces of `PIECE_BYTES` from `offset` on; at the end a smaller one, if it is the last."""
    buffer, filled = await free.one(), 0
    async for came in pieces:
        rest = memoryview(came)
        while rest:
            part = rest[: PIECE_BYTES - filled]
            buffer[filled : filled + len(part)] = part
            filled, rest = filled + len(part), rest[len(part) :]
            if filled == PIECE_BYTES:
                yield free.piece(buffer, offset, filled)
                buffer, filled, offset = await free.one(), 0, offset + PIECE_BYTES
    if filled and last:
        yield free.piece(buffer, offset, filled)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The fault that ended a nursery: the others are only what it took with it."""
    faults = [each for each in group.exceptions if not isinstance(each, trio.Cancelled)] or list(group.exceptions)
    return _first(faults[0]) if isinstance(faults[0], BaseExceptionGroup) else faults[0]


class _Target:
    """The file that is written. Where it is new, zeroes need not be."""

    def __init__(self, path: Path, *, is_new: bool) -> None:
        self._is_new = is_new
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._fd = os.open(path, os.O_RDWR)  # a file system without O_DIRECT
        self._size = os.fstat(self._fd).st_size

    def take(self, piece: _Piece) -> None:
        if piece.offset + piece.size > self._size:
            raise TooLarge(f"The image is larger than the {self._size} bytes that were announced.")
        if self._is_new and piece.data == _ZEROES:
            return
        # Whole blocks: a part of one would have to be read before it is written.
        whole = -(-piece.size // _BLOCK_BYTES) * _BLOCK_BYTES
        piece.buffer[piece.size : whole] = bytes(whole - piece.size)
        with _volume_faults():
            done = 0
            while done < whole:
                done += os.pwrite(self._fd, memoryview(piece.buffer)[done:whole], piece.offset + done)

    def finish(self) -> None:
        with _volume_faults():
            os.fsync(self._fd)

    def close(self) -> None:
        # A volume that has gone says so again here; the write that failed has said it already.
        with suppress(OSError):
            os.close(self._fd)


@contextmanager
def _volume_faults(doing: str = "receives") -> Iterator[None]:
    """The volume's faults, told apart from those of the client's connection, which are OSErrors too."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"The volume that {doing} the image failed: {error.strerror}. Try again.") from error
