"""What may a node of a fault test be asked, and what does it answer? JSON lines on a unix socket that no fault cuts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import trio

from tests.faults.log.registers import History

LINE_BYTES_MAX = 64 << 20


class Job(msgspec.Struct, kw_only=True):
    """Which node to be. `build` names what is broken in it, on purpose."""

    node_id: str
    state: str
    listen: tuple[str, int]
    socket: str
    founds: bool
    peers: dict[str, tuple[str, int]]
    build: str


class Ask(msgspec.Struct, tag=True):
    """Any request."""


class Set(Ask):
    """Change a register if it has the version `expected`."""

    register: str
    epoch: int
    expected: int
    value: str
    within_s: float


class Get(Ask):
    """Read a register; nothing acknowledged before may be missed."""

    register: str
    within_s: float


class Drop(Ask):
    """Forget an epoch."""

    epoch: int


class Tell(Ask):
    """All that an epoch's registers held. `anyhow`: what this node knows, where no majority can be asked."""

    epoch: int
    anyhow: bool


class Look(Ask):
    """How the log stands here."""


class Meet(Ask):
    """Where peers are now, and who is none any more."""

    peers: dict[str, tuple[str, int]]
    gone: list[str]


class Promote(Ask):
    """Make a learner a voter."""

    node_id: str


class Demote(Ask):
    """Make a voter a learner."""

    node_id: str


class HandOver(Ask):
    """Let another voter lead."""


class Answer(msgspec.Struct, tag=True):
    """Any answer."""


class Done(Answer):
    """It was done."""


class Held(Answer):
    """A register has this version and value; 0 and "" before its first change."""

    version: int
    value: str


class No(Answer):
    """Refused, with no effect. `version`: what the register had instead, if that is why."""

    why: str
    version: int | None = None


class Unclear(Answer):
    """It may or may not have happened."""

    why: str


class Told(Answer):
    """The answer to `Tell`."""

    history: History


class Standing(Answer):
    """The answer to `Look`."""

    term: int
    leads: bool
    leader_id: str | None
    voters: list[str]
    applied: int


_ASKS = Set | Get | Drop | Tell | Look | Meet | Promote | Demote | HandOver
_ANSWERS = Done | Held | No | Unclear | Told | Standing
decode_ask = msgspec.json.Decoder(_ASKS).decode
decode_answer = msgspec.json.Decoder(_ANSWERS).decode
encode = msgspec.json.Encoder().encode


class Gone(Exception):
    """The node can't be asked; `sent`: it may have heard the request."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__("the node is gone")
        self.sent = sent


class Lines:
    """The lines of one stream."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def next(self) -> bytes:
        """The next whole line; empty at the end of the stream."""
        while (end := self._buffer.find(b"\n")) < 0:
            piece = await self._stream.receive_some(1 << 16)
            if not piece:
                return b""
            self._buffer += piece
            assert len(self._buffer) < LINE_BYTES_MAX
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    async def send(self, body: Mapping[str, Any] | Ask | Answer) -> None:
        await self._stream.send_all(encode(body) + b"\n")


class Caller:
    """One client's connections to the nodes' sockets. A connection that failed is made anew at the next call."""

    def __init__(self) -> None:
        self._streams: dict[Path, tuple[trio.SocketStream, Lines]] = {}

    async def ask(self, socket: Path, request: Ask, within_s: float) -> Answer:
        """The answer; raises Gone."""
        sent = answered = False
        try:
            with trio.move_on_after(within_s):
                if socket not in self._streams:
                    stream = await trio.open_unix_socket(str(socket))
                    self._streams[socket] = stream, Lines(stream)
                _, lines = self._streams[socket]
                sent = True
                await lines.send(request)
                if line := await lines.next():
                    answered = True
                    answer: Answer = decode_answer(line)
                    return answer
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            raise Gone(sent=sent) from None
        finally:
            if not answered:
                await self._hang_up(socket)
        raise Gone(sent=sent)

    async def close(self) -> None:
        """Hang up everywhere."""
        for socket in list(self._streams):
            await self._hang_up(socket)

    async def _hang_up(self, socket: Path) -> None:
        if socket in self._streams:
            stream, _ = self._streams.pop(socket)
            await trio.aclose_forcefully(stream)
