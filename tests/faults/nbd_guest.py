"""A guest's disk driver, for tests: reads and writes numbered blocks over NBD, and connects again as QEMU does."""

import random
import struct
from collections.abc import Callable
from pathlib import Path

import trio

BLOCK_BYTES = 4096
_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")
READ, WRITE, TRIM = 0, 1, 4


class NbdGuest:
    """One connection with one request at a time; it writes and reads the blocks `first`, `first + step`, and so on."""

    def __init__(self, socket: Path, first: int, step: int, blocks: int, seed: int) -> None:
        self.socket = socket
        self.dice = random.Random(seed)
        self.blocks = range(first, blocks, step)
        self.numbers = dict.fromkeys(self.blocks, 0)
        self.count = 0
        self.reconnections = 0
        self._stream: trio.SocketStream | None = None

    async def run(self, until: Callable[[], bool]) -> None:
        """Write, read, trim and check, until told to stop; then check every block."""
        try:
            await self._work(until)
        finally:
            await self._hang_up()

    async def _work(self, until: Callable[[], bool]) -> None:
        while not until():
            block = self.dice.choice(self.blocks)
            chance = self.dice.random()
            if chance < 0.5:
                self.count += 1
                number = self.blocks.start << 32 | self.count
                await self._insist(WRITE, block, content_of(number))
                self.numbers[block] = number
            elif chance < 0.55:
                await self._insist(TRIM, block)
                self.numbers[block] = 0
            else:
                await self.check(block)
        for block in self.blocks:
            await self.check(block)

    async def check(self, block: int) -> None:
        """The block must hold what was written last."""
        content = await self._insist(READ, block)
        assert content == content_of(self.numbers[block]), (
            f"block {block} has {number_of(content):x}, not {self.numbers[block]:x}"
        )

    async def _insist(self, kind: int, block: int, content: bytes = b"") -> bytes:
        """Ask, on a new connection if need be, until there is an answer. An error is one that the guest would see."""
        while True:
            try:
                return await self._ask(kind, block, content)
            except (OSError, EOFError, trio.BrokenResourceError):
                await self._hang_up()
                self.reconnections += 1
                await trio.sleep(0.05)

    async def _ask(self, kind: int, block: int, content: bytes) -> bytes:
        if self._stream is None:
            self._stream = await trio.open_unix_socket(self.socket)
            await self._shake_hands()
        await self._stream.send_all(_REQUEST.pack(0x25609513, 0, kind, 7, block * BLOCK_BYTES, BLOCK_BYTES) + content)
        magic, error, handle = _REPLY.unpack(await self._take(_REPLY.size))
        assert (magic, error, handle) == (0x67446698, 0, 7), f"the guest sees an error: {error}"
        return await self._take(BLOCK_BYTES) if kind == READ else b""

    async def _hang_up(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await trio.aclose_forcefully(stream)

    async def _shake_hands(self) -> None:
        assert self._stream is not None
        await self._take(18)
        await self._stream.send_all(struct.pack(">I", 3) + struct.pack(">8sII", b"IHAVEOPT", 1, 0))
        await self._take(10)

    async def _take(self, size: int) -> bytes:
        assert self._stream is not None
        content = b""
        while len(content) < size:
            piece = await self._stream.receive_some(size - len(content))
            if not piece:
                raise EOFError
            content += piece
        return content


def content_of(number: int) -> bytes:
    return struct.pack("<Q", number) * (BLOCK_BYTES // 8)


def number_of(content: bytes) -> int:
    number: int = struct.unpack_from("<Q", content)[0]
    assert content == content_of(number), "a block is torn"
    return number
