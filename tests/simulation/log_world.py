"""A cluster of real cores in one thread, under a virtual clock, with faults drawn from a seed.

Everything but sockets and threads is the product's own: core, journal, checkpoints. A world ends in `Violation` when
two nodes apply different entries at one index, two lead in one term, or an acknowledged entry is gone at the end.
"""

import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from consensus.host import checkpoint
from consensus.host.checkpoint import CheckpointRefused, Header, Part
from consensus.host.core import Core, founding_entries
from consensus.host.journal import Journal
from consensus.host.messages import decode, encode
from consensus.host.seams import EntryKind, Failure, Node
from consensus.host.shelf import Shelf

Pair = tuple[str, str]


class Violation(Exception):
    """The log broke a promise."""


@dataclass(frozen=True)
class Weather:
    """How hard a world is. Probabilities are per step of one node; a step takes about `step_s`."""

    nodes: int = 5
    seconds: float = 40.0
    settle_s: float = 30.0
    step_s: float = 0.012
    write: float = 0.06
    sizes: tuple[int, ...] = (1, 60, 3000)
    change: float = 0.01
    fault: float = 0.005
    sync_s: float = 0.004
    checkpoint_entries: int = 60
    faults: tuple[str, ...] = ("cut", "cut", "crash", "crash leader", "crash leader", "pause", "stall", "stall")


@dataclass
class Machine:
    """One node as it runs now; a crash forgets it, except the files."""

    core: Core
    journal: Journal
    shelf: Shelf
    outbox: "Outbox"
    entries: list[tuple[int, bytes]] = field(default_factory=list)
    later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    paused_until: float = 0.0
    checkpoint_free_at: float = 0.0  # checkpoints are written and installed one after the other
    synced_at: float | None = None  # when the sync that is under way will be done


class Outbox:
    """Collects what a core says during one step."""

    def __init__(self, world: "World", node_id: str) -> None:
        self._world = world
        self._node_id = node_id
        self.now: list[tuple[str, bytes]] = []
        self.held: list[tuple[str, bytes]] = []

    def post(self, node_id: str, message: object, *, when_durable: bool) -> None:
        (self.held if when_durable else self.now).append((node_id, encode(message)))

    def backlog(self, node_id: str) -> int:
        return sum(len(body) for _, body in self._world.wires[self._node_id, node_id])


class World:
    """All nodes, the wires between them, and what must hold."""

    def __init__(self, seed: int, directory: Path, weather: Weather) -> None:
        self.dice = random.Random(seed)
        random.seed(seed)  # pysyncobj draws its timeouts from there
        self.weather = weather
        self.directory = directory
        self.now = 1000.0
        self.ids = [f"n{number}" for number in range(weather.nodes)]
        self.running: dict[str, Machine] = {}
        self.restart_at = dict.fromkeys(self.ids, 0.0)
        self.wires: defaultdict[Pair, deque[tuple[float, bytes]]] = defaultdict(deque)
        self.stalled: dict[Pair, float] = {}
        self.cuts: dict[Pair, float] = {}
        self.committed: dict[int, bytes] = {}
        self.acknowledged: dict[bytes, int] = {}
        self.leaders: dict[int, str] = {}
        self.counts: Counter[str] = Counter()
        self.is_calm = False

    def clock(self) -> float:
        """Moves a little whenever somebody looks."""
        self.now += 1e-6
        return self.now

    def run(self) -> None:
        """Live through the weather, then heal, and check that everybody agrees. Raises Violation."""
        self._live_until(self.now + self.weather.seconds)
        self.is_calm = True
        self.cuts.clear()
        self.stalled.clear()
        self.restart_at = dict.fromkeys(self.ids, 0.0)
        self._live_until(self.now + self.weather.settle_s)
        self._check_end()

    def close(self) -> None:
        for node_id in list(self.running):
            self._crash(node_id, down_s=0.0)

    # -- time

    def _live_until(self, end: float) -> None:
        due = dict.fromkeys(self.ids, self.now)
        while self.now < end:
            node_id = min(due, key=lambda one: (due[one], one))
            self.now = max(self.now, due[node_id])
            due[node_id] = self.now + self.dice.expovariate(1 / self.weather.step_s)
            self._mend()
            if node_id not in self.running:
                if self.restart_at[node_id] <= self.now:
                    self._boot(node_id)
            elif self._is_ready(node_id, self.running[node_id]):
                self._step(node_id)

    def _step(self, node_id: str) -> None:
        machine = self.running[node_id]
        for act in [act for at, act in machine.later if at <= self.now]:
            act()
        machine.later = [(at, act) for at, act in machine.later if at > self.now]
        self._deliver_to(node_id, machine.core)
        if not self.is_calm:
            self._act(node_id, machine.core)
            if self.running.get(node_id) is not machine:
                return  # the fault that it drew was its own
        machine.core.tick()
        self._after_tick(node_id, machine)
        self._send(node_id, machine.outbox.now)
        machine.synced_at = self.now + self.dice.expovariate(1 / self.weather.sync_s)

    def _is_ready(self, node_id: str, machine: Machine) -> bool:
        """Finish the last step when its sync is done. A crash before loses it, but not what was said."""
        if machine.paused_until > self.now and not self.is_calm:
            return False
        if machine.synced_at is not None and machine.synced_at > self.now:
            return False
        if machine.synced_at is not None:
            machine.journal.sync()
            machine.synced_at = None
            self._send(node_id, machine.outbox.held)
            self._check(node_id, machine.core)
        return True

    def _after_tick(self, node_id: str, machine: Machine) -> None:
        core = machine.core
        if core.wants_checkpoint:
            header, entries = core.begin_checkpoint(), list(machine.entries)
            machine.later.append((self._soon(machine), partial(self._write, machine, header, entries)))
        while core.installs:
            machine.later.append((self._soon(machine), partial(self._install, machine, core.installs.pop())))

    def _soon(self, machine: Machine) -> float:
        start = max(self.now, machine.checkpoint_free_at)
        machine.checkpoint_free_at = start + self.dice.expovariate(1 / 0.1)
        return machine.checkpoint_free_at

    def _write(self, machine: Machine, header: Header, entries: list[tuple[int, bytes]]) -> None:
        checkpoint.write(machine.shelf.path, header, [(Part.STATE, msgspec.msgpack.encode(entries))], lambda: None)
        self.counts["checkpoints"] += 1
        machine.core.end_checkpoint(header)

    def _install(self, machine: Machine, leader: Node) -> None:
        try:
            header = machine.shelf.adopt_incoming(machine.core.applied)
        except CheckpointRefused as error:
            raise Violation(f"a checkpoint arrived damaged: {error}") from error
        if header is not None:
            machine.entries[:] = read_entries(machine.shelf)
            self.counts["installs"] += 1
        machine.core.end_install(leader, header)

    # -- life and death

    def _boot(self, node_id: str) -> None:
        directory = self.directory / node_id
        directory.mkdir(exist_ok=True)
        journal = Journal(directory / "journal", fdatasync=lambda _file: None)
        shelf = Shelf(directory / "checkpoint")
        if node_id == self.ids[0] and not len(journal) and not shelf.path.exists():
            first, _ = founding_entries(node_id)
            journal.add(*first)
            for index, voter in enumerate(self.ids, start=2):
                _, (command, _, term) = founding_entries(voter)
                journal.add(command, index, term)  # as if each had been promoted before the weather began
            journal.sync()
        outbox = Outbox(self, node_id)
        entries = read_entries(shelf) if shelf.path.exists() else []

        def apply(index: int, content: bytes) -> object:
            self._applied(node_id, index, content, entries)
            return index

        limit = self.weather.checkpoint_entries
        core = Core(node_id, journal, shelf, outbox, apply, checkpoint_entries=limit)
        self.running[node_id] = Machine(core, journal, shelf, outbox, entries)
        for other in self.ids:
            if other in self.running and other != node_id and pair(node_id, other) not in self.cuts:
                self._link(node_id, other)

    def _crash(self, node_id: str, down_s: float) -> None:
        machine = self.running.pop(node_id)
        machine.journal.close()
        machine.shelf.close()
        self.restart_at[node_id] = self.now + down_s
        self.counts["crashes"] += 1
        for other in self.ids:
            self._unlink(node_id, other)

    def _link(self, one: str, other: str) -> None:
        for me, peer in ((one, other), (other, one)):
            self.running[me].core.link_up(peer)

    def _unlink(self, one: str, other: str) -> None:
        for me, peer in ((one, other), (other, one)):
            self.wires[me, peer].clear()
            self.stalled.pop((me, peer), None)
            if me in self.running and Node(peer) in self.running[me].core.linked_nodes:
                self.running[me].core.link_down(peer)

    def _mend(self) -> None:
        for ends in [ends for ends, until in self.cuts.items() if until <= self.now]:
            del self.cuts[ends]
        for one in self.running:
            for other in self.running:
                is_linked = Node(other) in self.running[one].core.linked_nodes
                if one < other and not is_linked and (one, other) not in self.cuts:
                    self._link(one, other)

    # -- messages

    def _send(self, sender: str, messages: list[tuple[str, bytes]]) -> None:
        # Sorted by receiver: the order within pysyncobj's sets differs from process to process.
        for receiver, body in sorted(messages, key=lambda message: message[0]):
            if sender in self.running and Node(receiver) in self.running[sender].core.linked_nodes:
                wire = self.wires[sender, receiver]
                arrival = self.now + self.dice.expovariate(1 / 0.004)
                wire.append((max(arrival, wire[-1][0]) if wire else arrival, body))
        messages.clear()

    def _deliver_to(self, receiver: str, core: Core) -> None:
        senders = [sender for sender in self.ids if self.wires[sender, receiver]]
        self.dice.shuffle(senders)
        for sender in senders:
            wire = self.wires[sender, receiver]
            while wire and wire[0][0] <= self.now and self.stalled.get((sender, receiver), 0.0) <= self.now:
                core.deliver(sender, decode(wire.popleft()[1]))
                self.counts["messages"] += 1

    # -- what happens

    def _act(self, node_id: str, core: Core) -> None:
        weather = self.weather
        if self.dice.random() < weather.write:
            for _ in range(self.dice.choice((1, 1, 3, 20))):
                self._propose(core)
        if core.leads and self.dice.random() < weather.change:
            self._change_voters(core)
        if self.dice.random() < weather.fault:
            self._break_something()

    def _propose(self, core: Core) -> None:
        self.counts["writes"] += 1
        content = b"%d." % self.counts["writes"] + b"." * self.dice.choice(self.weather.sizes)

        def done(index: object, failure: int) -> None:
            if failure == Failure.SUCCESS:
                assert isinstance(index, int)
                self.acknowledged[content] = index

        core.submit(EntryKind.REQUEST, content, done)

    def _change_voters(self, core: Core) -> None:
        other = self.dice.choice(self.ids)
        if other in core.voters and len(core.voters) > 1 and other != core.me:
            core.propose_change("rem", other, self._count_change)
        elif other not in core.voters and core.match_index.get(Node(other), 0) > core.last_index() - 200:
            core.propose_change("add", other, self._count_change)
        elif self.dice.random() < 0.2:
            core.hand_over(None, lambda _result, _failure: None)

    def _count_change(self, _result: object, failure: int) -> None:
        self.counts["changes" if failure == Failure.SUCCESS else "changes refused"] += 1

    def _break_something(self) -> None:
        one, other = self.dice.sample(self.ids, 2)
        self.counts["faults"] += 1
        match self.dice.choice(self.weather.faults):
            case "cut":
                self.cuts[pair(one, other)] = self.now + self.dice.uniform(0.1, 6)
                self._unlink(one, other)
            case "crash" if one in self.running and self._may_crash():
                self._crash(one, self.dice.uniform(0.05, 3))
            case "crash leader" if self._may_crash():
                for node_id in [node_id for node_id in sorted(self.running) if self.running[node_id].core.leads][:1]:
                    self._crash(node_id, self.dice.uniform(0.05, 3))
            case "power cut":
                for node_id in list(self.running):
                    self._crash(node_id, self.dice.uniform(0.05, 1))
            case "pause" if one in self.running:
                self.running[one].paused_until = self.now + self.dice.uniform(0.2, 3)
            case "stall":
                self.stalled[one, other] = self.now + self.dice.uniform(0.1, 3)

    def _may_crash(self) -> bool:
        down = len(self.ids) - len(self.running)
        return down < (len(self.ids) - 1) // 2

    # -- what must hold

    def _applied(self, node_id: str, index: int, content: bytes, entries: list[tuple[int, bytes]]) -> None:
        if entries and index <= entries[-1][0]:
            raise Violation(f"{node_id} applies {index} after {entries[-1][0]}")
        if self.committed.setdefault(index, content) != content:
            raise Violation(f"{node_id} applies another entry at {index}: {content[:20]!r}")
        entries.append((index, content))

    def _check(self, node_id: str, core: Core) -> None:
        if core.leads and self.leaders.setdefault(core.current_term, node_id) != node_id:
            raise Violation(f"{node_id} and {self.leaders[core.current_term]} lead in term {core.current_term}")

    def _check_end(self) -> None:
        machines = self.running.values()
        if len(machines) != len(self.ids) or not any(machine.core.leads for machine in machines):
            raise Violation("nobody leads after everything is healed")
        applied = {node_id: self.running[node_id].core.applied for node_id in self.ids}
        if len(set(applied.values())) != 1:
            raise Violation(f"nodes lag after everything is healed: {applied}")
        expected = sorted(self.committed.items())
        for node_id in self.ids:
            if self.running[node_id].entries != expected:
                raise Violation(f"{node_id} holds other entries than were committed")
        lost = [content for content, index in self.acknowledged.items() if self.committed.get(index) != content]
        if lost:
            raise Violation(f"{len(lost)} acknowledged writes are lost: {lost[:3]}")
        if len({frozenset(self.running[node_id].core.voters) for node_id in self.ids}) != 1:
            raise Violation("nodes disagree about who votes")


def pair(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


def read_entries(shelf: Shelf) -> list[tuple[int, bytes]]:
    """The state in a checkpoint."""
    [(_, content)] = checkpoint.read(shelf.path)
    return msgspec.msgpack.decode(content, type=list[tuple[int, bytes]])
