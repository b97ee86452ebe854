"""One node of a world: the product's own core, journal, checkpoints, dedup and barriers, moved by events.

It does what `RaftNode`'s loop does, in the same order, without sockets and threads. `Parts` names what a mutant may
replace.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from consensus.host import checkpoint
from consensus.host.applying import Applier, Waiter
from consensus.host.barrier import Barriers
from consensus.host.checkpoint import CheckpointRefused, Header
from consensus.host.checkpointing import Checkpointing
from consensus.host.core import Core, beginning, founding_entries
from consensus.host.journal import Journal
from consensus.host.messages import decode, encode
from consensus.host.seams import Message, Node
from consensus.host.shelf import Shelf
from consensus.incarnation import Incarnation
from consensus.log import StateMachine, StorageFailed
from consensus.room import Shortage, Standing
from tests.simulation.log.registers import Registers, Violation

if TYPE_CHECKING:
    from tests.simulation.log.world import World

CHECKPOINT_S: Final = 0.1
WHO: ContextVar["SimNode | None"] = ContextVar("WHO", default=None)
"""Whose clock runs: of the node that steps, and of the tasks that it started."""


@dataclass(frozen=True)
class Parts:
    """What a node is made of."""

    core: type[Core] = Core
    journal: type[Journal] = Journal
    shelf: type[Shelf] = Shelf
    checkpointing: type[Checkpointing] = Checkpointing
    applier: Callable[[StateMachine], Applier] = Applier
    barriers: type[Barriers] = Barriers
    holds_promises: bool = True  # until what they promise is durable
    obeys_disk: bool = True  # a failed fdatasync ends the process
    reads_by_barrier: bool = True
    founds: bool = True  # its first voters stand in its log
    needs_majority: bool = True  # who leads without one steps down soon
    kernel_s: float | None = None  # it never syncs: the kernel writes what is so old; 0: no crash loses anything
    encode: Callable[[object], bytes] = encode
    decode: Callable[[bytes], Message] = decode


class SimNode:
    """A process that runs; a crash forgets it, except its files."""

    def __init__(self, world: "World", node_id: str) -> None:
        self.world = world
        self.node_id = node_id
        self.parts = world.parts
        self.dice = random.Random(f"{world.seed} {node_id} {world.lives[node_id]}")
        self.is_alive = True
        self.tasks: set[trio.CancelScope] = set()
        self.held: list[tuple[str, bytes]] = []
        self.now: list[tuple[str, bytes]] = []
        self.deferred: list[Callable[[], None]] = []
        self.waiting: list[tuple[int, trio.Event]] = []
        self.writings: dict[bytes, tuple[Waiter, ExitStack, Callable[[], None]]] = {}
        self.planned = inf
        self.synced_at: float | None = None
        self.paused_until = 0.0
        self.slow_until = 0.0
        self.has_quorum_at = world.now
        self._free_at = 0.0  # checkpoints are written and installed one after the other
        self._disk_fault = ""
        self._durable_bytes = 0
        self.applied_index = 0
        self.committed_before = 0  # when it was looked at last
        self._written_at = world.now
        self._open()

    def _open(self) -> None:
        world, parts = self.world, self.parts
        directory = world.directory / self.node_id
        directory.mkdir(exist_ok=True)
        self.journal = parts.journal(directory / "journal", fdatasync=self._fdatasync)
        self.shelf = parts.shelf(directory / "checkpoint")
        if parts.founds and self.node_id in world.founders and not len(self.journal) and not self.shelf.path.exists():
            self._found(world.founders)
        self._durable_bytes = (directory / "journal").stat().st_size
        self.registers = Registers()
        self.applier = parts.applier(self.registers)
        self.checkpointing = parts.checkpointing(self.shelf, self.applier)
        self.checkpointing.load()
        if (header := self.shelf.header()) is not None:
            self.applied_index = header.index
        limit = world.weather.checkpoint_entries
        token = WHO.set(self)
        try:
            self.core = parts.core(self.node_id, self.journal, self.shelf, self, self._apply, checkpoint_entries=limit)
        finally:
            WHO.reset(token)
        self.barriers = parts.barriers(self.core, self._send_now)

    def _found(self, voters: tuple[str, ...]) -> None:
        """As if the first had founded the cluster and each other one had been promoted before the weather began."""
        first, _ = founding_entries(voters[0])
        self.journal.add(*first)
        for index, voter in enumerate(voters, start=2):
            _, (command, _, term) = founding_entries(voter)
            self.journal.add(command, index, term)
        self.journal.add(beginning(Incarnation(1, "simulated")), len(self.journal) + 1, 0)
        self.journal.sync()

    def _apply(self, index: int, content: bytes) -> object:
        self.world.applied(self, index, content)
        return self.applier.apply(index, content)

    # -- the core's outbox

    def post(self, node_id: str, message: object, *, when_durable: bool) -> None:
        (self.held if when_durable and self.parts.holds_promises else self.now).append(
            (node_id, self.parts.encode(message))
        )

    def backlog(self, node_id: str) -> int:
        return self.world.backlog(self.node_id, node_id)

    def _send_now(self, node_id: str, message: object) -> None:
        self.world.send(self, [(node_id, self.parts.encode(message))])

    # -- one turn of the loop

    def step(self) -> None:
        """Finish the sync that was under way, take in what arrived, tick, and start the next sync."""
        if self.synced_at is not None and not self._finish_sync():
            return
        while self.deferred:
            self.deferred.pop(0)()
        for sender, body in self.world.arrived(self):
            self._deliver(sender, self.parts.decode(body))
        self.core.tick()
        self._after_tick()
        self.world.send(self, self.now)
        self.world.check(self)
        if self.journal.is_dirty and self.parts.kernel_s is None:
            slow = 20.0 if self.slow_until > self.world.now else 1.0
            self.synced_at = self.world.now + self.dice.expovariate(1 / (self.world.weather.sync_s * slow))
            self.world.plan(self, self.synced_at)
        else:
            self._let_kernel_write()
            self.world.send(self, self.held)
        due = self.core.due_in_s() / self.world.rates[self.node_id]
        self.world.plan(self, self.world.now + (0.0005 if self.core.must_tick_again or self.deferred else due))

    def _let_kernel_write(self) -> None:
        kernel_s = self.parts.kernel_s
        if kernel_s is not None and self.world.now - self._written_at >= kernel_s:
            self._written_at = self.world.now
            self.journal.sync()

    def _finish_sync(self) -> bool:
        self.synced_at = None
        try:
            self.journal.sync()
        except StorageFailed:
            if self.parts.obeys_disk:
                self.world.crash(self)
                return False
        self._durable_bytes = os.fstat(self.journal._file).st_size
        self.world.send(self, self.held)
        return True

    def _deliver(self, sender: str, message: Message) -> None:
        self.world.counts["messages"] += 1
        self.world.is_stirred |= str(message["type"]).startswith("barrier")
        match message["type"]:
            case "barrier_ask":
                self.world.start(self, self.barriers.answer, sender, message)
            case "barrier_index":
                self.barriers.on_index(message)
            case "barrier_ping":
                self.barriers.on_ping(sender, message)
            case "barrier_pong":
                self.barriers.on_pong(sender, message)
            case _:
                self.core.deliver(sender, message)

    def _after_tick(self) -> None:
        core = self.core
        if core.wants_checkpoint:
            self._write_checkpoint(core.begin_checkpoint())
        while core.installs:
            self._later(partial(self._adopt, core.installs.pop()))
        for index, event in self.waiting:
            if index <= core.applied:
                self.world.is_stirred = True
                event.set()
        self.waiting = [(index, event) for index, event in self.waiting if index > core.applied]
        for waiter, _, settled in list(self.writings.values()):
            if waiter.is_settled:
                settled()

    # -- checkpoints: slow, one after the other, while the loop goes on

    def _later(self, act: Callable[[], None]) -> None:
        """Work in a thread. A crash forgets it."""
        self._free_at = max(self.world.now, self._free_at) + self.dice.expovariate(1 / CHECKPOINT_S)
        self.world.at(self._free_at, lambda: act() if self.is_alive else None)

    def _defer(self, act: Callable[[], None]) -> None:
        self.deferred.append(act)
        self.world.plan(self, self.world.now)

    def _write_checkpoint(self, header: Header) -> None:
        writing = self.checkpointing.capture(header)

        def write() -> None:
            checkpoint.write(self.shelf.path, header, writing._parts(), lambda: None)
            self.world.counts["checkpoints"] += 1
            self._defer(lambda: self.core.end_checkpoint(header))

        self._later(write)

    def _adopt(self, leader: Node) -> None:
        self.world.faults.noticed("at install", self)
        try:
            header = self.shelf.adopt_incoming(self.core.applied)
        except CheckpointRefused as error:
            raise Violation(f"a checkpoint arrived damaged: {error}") from error
        self._later(lambda: self._restore(leader, header))

    def _restore(self, leader: Node, header: Header | None) -> None:
        if header is not None:
            self.checkpointing.load()
            self.world.counts["installs"] += 1
            if header.index < self.applied_index:
                raise Violation(f"{self.node_id} goes back from {self.applied_index} to {header.index}")
            self.applied_index = header.index
        self._defer(lambda: self.core.end_install(leader, header))

    # -- reading

    async def barrier(self) -> None:
        """What `RaftNode.read_barrier` does."""
        if not self.parts.reads_by_barrier:
            return
        while (index := await self.barriers.index()) is None:
            await trio.sleep(0.05)
        if self.core.applied < index:
            event = trio.Event()
            self.waiting.append((index, event))
            self.world.plan(self, self.world.now)
            await event.wait()

    # -- the end

    def fill_disk(self, standing: Standing) -> None:
        """So much room is left."""
        shortage = None if standing is Standing.ENOUGH else Shortage(1, 2)
        self.core.set_room(standing, shortage)

    def fail_disk(self, how: str) -> None:
        """The next sync fails, or the power goes off in the middle of it: the process ends either way."""
        self._disk_fault = how

    def _fdatasync(self, file: int) -> None:
        if not self._disk_fault:
            return
        durable, written = self._durable_bytes, os.fstat(file).st_size
        if written > durable:
            cut = self.dice.randint(durable, written)
            os.ftruncate(file, cut)
            if self.dice.random() < 0.3:  # the size got to the disk, the bytes did not
                os.ftruncate(file, written)
        raise OSError(5, self._disk_fault)

    def die(self) -> None:
        """Nothing more happens here. What was written and not synced is lost."""
        self.is_alive = False
        self.world.end_tasks(self)
        self.journal.close()
        shelf = self.shelf
        if shelf._incoming is not None:
            shelf._incoming.close()  # half a checkpoint stays on the disk
            shelf._incoming = None
        for receiver in list(shelf._sending):
            shelf.stop_sending(receiver)
        for _, _, settled in list(self.writings.values()):
            settled()


def emptied(directory: Path) -> None:
    """Forget what a node had, as an operator does who puts a new disk in."""
    with suppress(FileNotFoundError):
        for file in _files(directory):
            file.unlink()


def _files(directory: Path) -> Iterator[Path]:
    yield from sorted(directory.iterdir())
