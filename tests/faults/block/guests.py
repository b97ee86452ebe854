"""Who uses the volume while its replicas break, and what do they note? Guests over NBD, and one through the file.

A guest asks one thing at a time, and asks again on a new connection until it is answered, as QEMU does. It writes the
blocks of its own groups, and reads all.
"""

import contextlib
import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import trio

from noded.core.errors import Refused
from storage.host.volume_control import ask
from tests.faults.block.file_guest import ANSWER, REQUEST
from tests.faults.block.judge import BLOCK_BYTES, Register, content_of
from tests.faults.nbd_guest import READ, TRIM, WRITE

GUESTS: Final = 6  # over NBD
GROUP_BLOCKS: Final = 8  # side by side
GROUP_EVERY: Final = 16
AGAIN_S: Final = 0.05
THINK_S: Final = 0.004
VOID: Final = 1 << 40  # versions from here on are never written by anyone who may
_REQUEST: Final = struct.Struct(">IHHQQI")
_REPLY: Final = struct.Struct(">IIQ")


class Broken(Exception):
    """The way to the volume is broken: ask again on another."""


class Failed(Exception):
    """The guest was told that its disk can't do it."""


class Way(Protocol):
    """How a guest reaches the volume."""

    name: str

    async def ask(self, kind: int, block: int, count: int, content: bytes) -> bytes:
        """Carry it out. Raises Broken, Failed."""

    async def close(self) -> None: ...


class NbdWay:
    """A connection to the NBD socket."""

    name = "NBD"

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._stream: trio.SocketStream | None = None

    async def ask(self, kind: int, block: int, count: int, content: bytes) -> bytes:
        try:
            if self._stream is None:
                self._stream = await trio.open_unix_socket(self._socket)
                await self._shake_hands()
            length = count * BLOCK_BYTES
            await self._stream.send_all(_REQUEST.pack(0x25609513, 0, kind, 7, block * BLOCK_BYTES, length) + content)
            magic, error, handle = _REPLY.unpack(await taken(self._stream, _REPLY.size))
            assert (magic, handle) == (0x67446698, 7), "no NBD is spoken here"
            if error:
                raise Failed(f"error {error}")
            return await taken(self._stream, length) if kind == READ else b""
        except (OSError, EOFError, trio.BrokenResourceError) as error:
            raise Broken(str(error)) from error

    async def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await trio.aclose_forcefully(stream)

    async def _shake_hands(self) -> None:
        assert self._stream is not None
        await taken(self._stream, 18)
        await self._stream.send_all(struct.pack(">I", 3) + struct.pack(">8sII", b"IHAVEOPT", 1, 0))
        await taken(self._stream, 10)


class FileWay:
    """The volume as a file, which its server is asked for; another process has it open."""

    name = "the file"

    def __init__(self, control: Path, path: Path) -> None:
        self._control = control
        self._path = path
        self._program: trio.Process | None = None

    async def ask(self, kind: int, block: int, count: int, content: bytes) -> bytes:
        length = count * BLOCK_BYTES
        try:
            program = await self._opened()
            assert program.stdin is not None
            assert program.stdout is not None
            await program.stdin.send_all(REQUEST.pack(kind == WRITE, block * BLOCK_BYTES, length) + content)
            error, size = ANSWER.unpack(await taken(program.stdout, ANSWER.size))
            got = await taken(program.stdout, size)
        except (OSError, EOFError, Refused, trio.BrokenResourceError) as fault:
            raise Broken(str(fault)) from fault
        if error or (kind == READ and size < length):
            raise Broken(f"error {error}, {size} bytes")  # its server may be gone: that looks like any other error
        return got

    async def _opened(self) -> trio.Process:
        if self._program is None:
            await ask(self._control, "export")
            command = [sys.executable, "-m", "tests.faults.block.file_guest", str(self._path)]
            with contextlib.ExitStack() as quiet:
                nowhere = quiet.enter_context(Path(os.devnull).open("wb"))  # it ends in many ways
                self._program = await trio.lowlevel.open_process(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=nowhere
                )
        return self._program

    async def close(self) -> None:
        """Not waited for: it may hang in the file."""
        program, self._program = self._program, None
        if program is not None:
            program.kill()
            for pipe in (program.stdin, program.stdout):
                assert pipe is not None
                await trio.aclose_forcefully(pipe)


async def taken(stream: trio.abc.ReceiveStream, size: int) -> bytes:
    """So many bytes. Raises EOFError."""
    content = b""
    while len(content) < size:
        piece = await stream.receive_some(size - len(content))
        if not piece:
            raise EOFError("the other side ended")
        content += piece
    return content


class Disk:
    """The blocks that the guests use, and what they noted of them."""

    def __init__(self, blocks: int) -> None:
        self.groups = range(blocks // GROUP_EVERY)
        self.registers = {
            block: Register(block)
            for group in self.groups
            for block in range(group * GROUP_EVERY, group * GROUP_EVERY + GROUP_BLOCKS)
        }
        self.acknowledged_at: list[float] = []
        self.reads = 0
        self.errors: list[str] = []
        self.voids = 0


class Guest:
    """One of them. A *ghost* is one whose disk was given to an heir, and that does not know it."""

    def __init__(self, disk: Disk, number: int, of: int, seed: str) -> None:
        self._disk = disk
        self._place = (number, of)
        self._seed = seed
        self._mine = [group for group in disk.groups if group % of == number]
        self._dice = random.Random(seed)
        self._served_at: int | None = None  # a ghost's: how much was acknowledged when its heir began
        self.is_busy = False

    def heir(self) -> "Guest":
        """Who takes its place. This one is a ghost from now on: what it begins to write must never be seen."""
        self._served_at = len(self._disk.acknowledged_at)
        return Guest(self._disk, *self._place, f"{self._seed}+")

    async def work(self, way: Way, may_begin: Callable[[], bool]) -> None:
        """Until cancelled. What was under way then is nobody's: it may have been done."""
        try:
            while True:
                if may_begin():
                    self.is_busy = True
                    await self._act(way)
                    self.is_busy = False
                await trio.sleep(THINK_S)
        finally:
            self.is_busy = False
            with trio.CancelScope(shield=True):
                await way.close()

    async def _act(self, way: Way) -> None:
        dice = self._dice
        if self._served_at is not None:
            await self._haunt(way)
            return
        chance = dice.random()
        group = dice.choice(self._mine if chance < 0.6 else self._disk.groups)
        count = dice.choice((1, 1, 1, 2, GROUP_BLOCKS))
        block = group * GROUP_EVERY + dice.randrange(GROUP_BLOCKS - count + 1)
        if chance < 0.6:
            await self.write(way, block, count, zeroes=chance < 0.06)
        else:
            await self.read(way, block, count)

    async def write(self, way: Way, block: int, count: int, *, zeroes: bool) -> None:
        """Write or trim, and note when it was acknowledged."""
        start = time.monotonic()
        registers = [self._disk.registers[block + at] for at in range(count)]
        writes = [register.write(start, zeroes=zeroes) for register in registers]
        content = b"".join(
            bytes(BLOCK_BYTES) if zeroes else content_of(register.block, write.version)
            for register, write in zip(registers, writes, strict=True)
        )
        trims = zeroes and isinstance(way, NbdWay)
        done = await self._insist(way, TRIM if trims else WRITE, block, count, b"" if trims else content)
        if done is not None:
            end = time.monotonic()
            for write in writes:
                write.end = end
            if self._served_at is None:
                self._disk.acknowledged_at.append(end)

    async def _haunt(self, way: Way) -> None:
        """Write what may not be there, once the heirs are served: from then on the old owner must do nothing more.

        Every other ghost only reads, and what it is shown is judged as if the disk were still its own.
        """
        assert self._served_at is not None
        if self._place[0] % 2 == 0:
            await self.read(way, self._dice.choice(self._disk.groups) * GROUP_EVERY, 1)
            return
        if len(self._disk.acknowledged_at) <= self._served_at:
            return
        self._disk.voids += 1
        block = self._dice.choice(self._mine) * GROUP_EVERY + self._dice.randrange(GROUP_BLOCKS)
        done = await self._insist(way, WRITE, block, 1, content_of(block, VOID + self._disk.voids))
        if done is not None:
            self._disk.errors.append(f"a write of block {block} was acknowledged to a guest whose disk was given away")

    async def read(self, way: Way, block: int, count: int) -> None:
        """Read, and note what the blocks show."""
        start = time.monotonic()
        content = await self._insist(way, READ, block, count, b"")
        if content is not None:
            end = time.monotonic()
            for at in range(count):
                piece = content[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES]
                self._disk.registers[block + at].read(piece, start, end, way.name)
            self._disk.reads += 1

    async def _insist(self, way: Way, kind: int, block: int, count: int, content: bytes) -> bytes | None:
        """The answer, however long it takes; None if it was an error."""
        while True:
            try:
                return await way.ask(kind, block, count, content)
            except Broken:
                await way.close()
                await trio.sleep(AGAIN_S)
            except Failed as failed:
                self._disk.errors.append(f"{('read', 'write')[kind == WRITE]} of block {block}: {failed}")
                return None


async def read_all(disk: Disk, way: Way) -> None:
    """Look at every block once."""
    reader = Guest(disk, 0, 1, "reader")
    try:
        for group in disk.groups:
            await reader.read(way, group * GROUP_EVERY, GROUP_BLOCKS)
    finally:
        await way.close()


def is_idle(guests: Sequence[Guest]) -> bool:
    """Whether nothing is under way."""
    return not any(guest.is_busy for guest in guests)
