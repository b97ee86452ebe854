"""Who uses a world's log? Clients that write, read, lose patience, and ask again elsewhere when they heard nothing."""

import random
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from consensus.host.applying import Waiter
from consensus.host.requests import seal
from consensus.host.seams import EntryKind, Failure
from tests.simulation.log.node import SimNode
from tests.simulation.log.registers import Answer, Call, Outcome, Write

if TYPE_CHECKING:
    from tests.simulation.log.world import World

ATTEMPT_S: Final = 2.5


class Client:
    """One call after the other, at nodes as it likes."""

    def __init__(self, world: "World", number: int) -> None:
        self.world = world
        self.dice = random.Random(f"{world.seed} client {number}")
        self.number = number
        self._known = dict.fromkeys((f"k{key}" for key in range(world.weather.keys)), 0)
        self._calls = 0
        self.is_unfinished = False

    def go_on(self) -> None:
        """Think, then call."""
        if not self.world.is_calm:
            self.world.after(self.dice.expovariate(1 / self.world.weather.think_s), self.call)

    def call(self) -> None:
        """Start the next call."""
        if self.world.is_calm:
            return
        node = self._somewhere()
        if node is None:
            self.go_on()
            return
        key = self.dice.choice(list(self._known))
        if self.dice.random() < self.world.weather.reads:
            self._read(node, key)
        else:
            self._calls += 1
            ballast = bytes(self.dice.choice(self.world.weather.ballast))
            write = Write(key, self._known[key], self.number + 1000 * self._calls, ballast)
            _Writing(self, node, write)

    def finish(self, node: SimNode) -> None:
        """Write, then read, and do no more."""
        self.is_unfinished = True
        call = Call("final", self.world.now)

        async def read() -> None:
            await node.barrier()
            call.end(self.world.now, Outcome.READ, node.registers.read(call.key))
            self.is_unfinished = False

        def written() -> None:
            call.began = self.world.now
            self.world.history.append(call)
            self.world.start(node, read)

        _Writing(self, node, Write("final", 0, self.number), patience_s=20.0, then=written)

    def _somewhere(self) -> SimNode | None:
        nodes = [self.world.running[node_id] for node_id in sorted(self.world.running)]
        return self.dice.choice(nodes) if nodes else None

    def _read(self, node: SimNode, key: str) -> None:
        call = Call(key, self.world.now)
        patience_s = self.dice.uniform(0.5, 5.0)

        async def read() -> None:
            try:
                with trio.move_on_after(patience_s):
                    await node.barrier()
                    call.end(self.world.now, Outcome.READ, node.registers.read(key))
                    self.learned(call)
            finally:
                self.go_on()

        self.world.history.append(call)
        self.world.start(node, read)

    def learned(self, call: Call) -> None:
        """It takes what it saw for the present, until it sees more."""
        if call.outcome is not Outcome.UNKNOWN:
            self.world.counts[call.outcome.name.lower()] += 1
            self._known[call.key] = call.seen.version


class _Writing:
    """One write on its way, under one request id, as `RaftNode.propose` does it."""

    def __init__(
        self,
        client: Client,
        node: SimNode,
        write: Write,
        *,
        patience_s: float = 0.0,
        then: Callable[[], None] | None = None,
    ) -> None:
        self.client = client
        self._patience_s = patience_s
        self._then = then or client.go_on
        self.world = client.world
        self.dice = client.dice
        self.node = node
        self.request_id = self.dice.randbytes(12)
        self.content = seal(self.request_id, node.core.applied, msgspec.msgpack.encode(write))
        self.record = Call(write.key, self.world.now, write)
        self.world.history.append(self.record)
        self.moves = 0
        self.attempts = 0
        self._begin()

    def _begin(self) -> None:
        stack = ExitStack()
        waiter = stack.enter_context(self.node.applier.waiting(self.request_id))
        self.node.writings[self.request_id] = (waiter, stack, self.settle)
        patience_s = self._patience_s or self.dice.uniform(0.3, 6.0)
        self.world.after(patience_s, partial(self._lose_patience, self.moves))
        self._attempt()

    @property
    def _waiter(self) -> Waiter | None:
        found = self.node.writings.get(self.request_id)
        return found[0] if found is not None else None

    def _attempt(self) -> None:
        if self._waiter is None or not self.node.is_alive:
            return
        self.attempts += 1
        attempt = self.attempts

        def done(_result: object, failure: int) -> None:
            if failure != Failure.SUCCESS and attempt == self.attempts:
                self.world.after(self.dice.uniform(0.02, 0.1), self._attempt)

        self.world.as_node(self.node, lambda one: one.core.submit(EntryKind.REQUEST, self.content, done))
        self.world.after(ATTEMPT_S, lambda: self._attempt() if attempt == self.attempts else None)

    def settle(self) -> None:
        """It is applied at its node, or its result can't be learned there."""
        waiter, stack, _ = self.node.writings.pop(self.request_id)
        stack.close()
        if waiter.is_applied:
            answer = waiter.result
            assert isinstance(answer, Answer)
            self.record.end(self.world.now, Outcome.WRITTEN if answer.done else Outcome.REFUSED, answer.seen)
            self.client.learned(self.record)
            self.world.faults.noticed("at ack", self.node)
            self._then()
        else:
            self._ask_elsewhere()

    def _lose_patience(self, moves: int) -> None:
        if moves == self.moves and self._waiter is not None:
            self.settle()

    def _ask_elsewhere(self) -> None:
        """The outcome is unclear: half of the time the same request is made again, at another node."""
        node = self.client._somewhere()
        if self.dice.random() < 0.5 and self.moves < 3 and node is not None and not self.world.is_calm:
            self.moves += 1
            self.world.counts["asked again"] += 1
            self.node = node
            self._begin()
        else:
            self.world.counts["unclear"] += 1
            self._then()
