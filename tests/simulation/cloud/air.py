"""What lies between the nodes of a simulated cloud? Wires with latency, which are cut and mended, and no sockets.

The log's links run on them as they run on TLS: `WireLinks` is the product's `Links` with another way to dial and to be
dialed. A cut holds bytes back, as TCP does, until it is mended or somebody loses patience. A process that ends closes
its wires; a machine without power is only silent.
"""

import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import trio

from consensus.calls import Unreachable
from consensus.host.frames import FrameReader
from consensus.host.messages import BadMessage, body_length, decode_hello
from consensus.host.raft import RaftNode
from consensus.host.refusals import Refused
from consensus.host.tls import TlsContexts
from consensus.host.transport import _BROKEN, CONNECT_S_MAX, Links
from noded.core.ids import NodeId

FLIGHT_S: Final = 0.0015
WINDOW_BYTES: Final = 512 * 1024
_PORT: Final = 7400

Served = Callable[[NodeId, bytes], Awaitable[bytes]]


class Air:
    """Who is there, and whom a cut keeps apart."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(f"{seed} air")
        self.links: dict[str, WireLinks] = {}
        self.served: dict[str, tuple[trio.Nursery, Mapping[str, Served]]] = {}
        self._cuts: set[tuple[str, str]] = set()
        self._dark: set[str] = set()
        self._pipes: list[Pipe] = []

    def cut(self, sender: str, receiver: str) -> None:
        """Nothing that `sender` says reaches `receiver`."""
        self._cuts.add((sender, receiver))

    def mend(self, sender: str, receiver: str) -> None:
        self._cuts.discard((sender, receiver))
        self._stir()

    def mend_all(self) -> None:
        self._cuts.clear()
        self._dark.clear()
        self._stir()

    def darken(self, node_id: str) -> None:
        """The machine has no power, or does not run for a while: it is silent, and closes nothing."""
        self._dark.add(node_id)

    def lighten(self, node_id: str) -> None:
        self._dark.discard(node_id)
        self._stir()

    def passes(self, sender: str, receiver: str) -> bool:
        return (sender, receiver) not in self._cuts and sender not in self._dark and receiver not in self._dark

    def pipe(self, sender: str, receiver: str) -> "Pipe":
        self._pipes = [pipe for pipe in self._pipes if not pipe.is_closed]
        pipe = Pipe(self, sender, receiver)
        self._pipes.append(pipe)
        return pipe

    def _stir(self) -> None:
        for pipe in self._pipes:
            pipe.stir()

    async def fly(self, sender: str, receiver: str) -> bool:
        """One message's way. False if it is lost."""
        await trio.sleep(self.dice.expovariate(1 / FLIGHT_S))
        return self.passes(sender, receiver)

    async def call(self, caller: str, node_id: NodeId, method: str, payload: bytes) -> bytes:
        """A peer call: its handler runs on the other node, also if the caller goes away meanwhile."""
        if not await self.fly(caller, node_id) or node_id not in self.served:
            await trio.sleep(self.dice.uniform(0.1, 2.0))
            raise Unreachable(node_id, "it does not answer")
        nursery, methods = self.served[node_id]
        answers: list[bytes | Exception] = []
        answered = trio.Event()

        async def serve() -> None:
            try:
                answers.append(await methods[method](NodeId(caller), payload))
            except Exception as error:  # what is refused there is raised here as the same class
                answers.append(error)
            finally:
                answered.set()

        nursery.start_soon(serve)
        with trio.move_on_after(10.0):
            await answered.wait()
        if not answers or not await self.fly(node_id, caller):
            raise Unreachable(node_id, "it does not answer", maybe_done=True)
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]


class Pipe:
    """One direction of one connection: bytes in order, each late by its flight, none while a cut lasts."""

    def __init__(self, air: Air, sender: str, receiver: str) -> None:
        self._air = air
        self._ends = sender, receiver
        self._flying: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._end_arrives: float | None = None
        self._stirred = trio.Event()
        self.is_closed = False

    async def put(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        while self._bytes > WINDOW_BYTES and not self.is_closed:
            await self._wait(trio.current_time() + 3600)
        if self.is_closed or self._end_arrives is not None:
            raise trio.BrokenResourceError("closed")
        arrival = trio.current_time() + self._air.dice.expovariate(1 / FLIGHT_S)
        self._flying.append((max(arrival, self._flying[-1][0]) if self._flying else arrival, data))
        self._bytes += len(data)
        self.stir()

    async def get(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            if self.is_closed:
                raise trio.ClosedResourceError
            now = trio.current_time()
            due = now + 3600.0
            if self._air.passes(*self._ends):
                if self._flying and self._flying[0][0] <= now:
                    data = self._flying.popleft()[1]
                    self._bytes -= len(data)
                    self.stir()
                    return data
                if not self._flying and self._end_arrives is not None:
                    return b""
                due = self._flying[0][0] if self._flying else due
            await self._wait(due)

    def end(self) -> None:
        """The sender says no more."""
        self._end_arrives = trio.current_time()
        self.stir()

    def close(self) -> None:
        """The receiver listens no more."""
        self.is_closed = True
        self._flying.clear()
        self.stir()

    def stir(self) -> None:
        self._stirred.set()

    async def _wait(self, due: float) -> None:
        self._stirred = trio.Event()
        with trio.move_on_at(due):
            await self._stirred.wait()


class Wire(trio.abc.Stream):
    """One end of a connection."""

    def __init__(self, outgoing: Pipe, incoming: Pipe) -> None:
        self._outgoing = outgoing
        self._incoming = incoming

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._outgoing.put(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self._incoming.get()

    async def aclose(self) -> None:
        self._outgoing.end()
        self._incoming.close()
        await trio.lowlevel.checkpoint()


class WireLinks(Links):
    """The log's links on wires."""

    def __init__(self, air: Air, node_id: str, *arguments: object, **hooks: object) -> None:
        super().__init__(node_id, *arguments, **hooks)  # type: ignore[arg-type]
        self._air = air

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._air.links[self._node_id] = self
                self.refresh()
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None
            self._dialers.clear()
            del self._air.links[self._node_id]

    async def _dial(self, peer: str, attempt: int) -> Wire:  # type: ignore[override]
        me, air = self._node_id, self._air
        both_ways = await air.fly(me, peer) and await air.fly(peer, me)
        if not both_ways:
            await trio.sleep(CONNECT_S_MAX)
        accepting = air.links.get(peer)
        if not both_ways or accepting is None or accepting._nursery is None:
            raise OSError(f"node {peer} does not answer")
        there, back = air.pipe(me, peer), air.pipe(peer, me)
        stream = Wire(there, back)
        accepting._nursery.start_soon(accepting._accept, me, Wire(back, there))
        try:
            await stream.send_all(self._hello())
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return stream

    async def _accept(self, peer: str, stream: Wire) -> None:
        try:
            await self._listen_on(peer, stream)
        except _BROKEN:
            pass  # the product says so in its log
        finally:
            await trio.aclose_forcefully(stream)

    async def _listen_on(self, peer: str, stream: Wire) -> None:
        reader = FrameReader(stream, body_length)
        with trio.fail_after(CONNECT_S_MAX):
            hello = decode_hello(await reader.next())
        if peer in self._refused:
            raise BadMessage(f"node {peer} is no member")
        self._seen_at[peer] = (peer, _PORT)
        self.refresh()
        self._compare_lives(peer, hello.incarnation)
        with trio.CancelScope() as scope:
            self._incoming.setdefault(peer, set()).add(scope)
            try:
                await self._hear(peer, stream, reader, hello.incarnation)  # type: ignore[arg-type]
            finally:
                self._incoming.get(peer, set()).discard(scope)


class WiredNode(RaftNode):
    """A node's end of the log, on wires."""

    def __init__(self, air: Air, *arguments: Any, **named: Any) -> None:
        self._air = air
        super().__init__(*arguments, **named)

    def _make_links(self, tls: TlsContexts, listen: tuple[str, int], refused: Refused) -> Links:
        return WireLinks(
            self._air,
            self._core.me,
            tls,
            listen,
            wants=self._wants_link,
            receive=self._receive,
            link_up=self._link_up,
            link_down=self._link_down,
            incarnation=lambda: self._core.incarnation,
            superseded=self._superseded,
            refused=refused,
        )
