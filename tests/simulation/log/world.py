"""A cluster of real cores in one thread, under a virtual clock, in weather that a seed draws.

Everything but sockets and threads is the product's own. A world ends in `Violation` when two nodes apply different
entries at one index, two lead in one term, a leader lacks what was committed, a leader goes on without a majority,
what clients saw is not linearizable, or the cluster does not come together once everything is healed.
"""

import heapq
import itertools
import random
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from pathlib import Path
from typing import Final

import trio
import trio.testing

from consensus.host.seams import set_clock
from tests.simulation.log.clients import Client
from tests.simulation.log.faults import Faults
from tests.simulation.log.node import WHO, Parts, SimNode
from tests.simulation.log.registers import Call, Outcome, Violation, check_linearizable
from tests.simulation.log.weather import Weather
from tests.simulation.schedule import WorldClock, seeded_scheduler

Pair = tuple[str, str]

SETTLE_S: Final = 60.0  # after everything is healed: several elections, the largest checkpoint, and then some
LOOK_S: Final = 0.02  # how late a task may hear that its deadline has passed
QUORUM_LOST_S: Final = 4.0  # leaderFallbackTimeout, and a slow disk


class World:
    """All nodes, the wires between them, and what must hold."""

    def __init__(self, seed: int, directory: Path, weather: Weather, parts: Parts | None = None) -> None:
        self.seed = seed
        self.weather = weather
        self.directory = directory
        self.parts = parts or Parts()
        self.dice = random.Random(f"{seed} world")
        self.now = 1000.0
        self.founders = tuple(f"n{number}" for number in range(weather.voters))
        self.ids = [f"n{number}" for number in range(weather.voters + weather.learners)]
        self.rates: defaultdict[str, float] = defaultdict(self._draw_rate)
        self.running: dict[str, SimNode] = {}
        self.lives: Counter[str] = Counter()
        self.links: set[Pair] = set()
        self.wires: defaultdict[Pair, deque[tuple[float, bytes]]] = defaultdict(deque)
        self.wire_dice: dict[Pair, random.Random] = {}
        self.faults = Faults(self)
        self.committed: dict[int, tuple[int, bytes]] = {}
        self.newest_committed = 0
        self.leaders: dict[int, str] = {}
        self.history: list[Call] = []
        self.counts: Counter[str] = Counter()
        self.is_calm = False
        self.trace = 0  # equal seeds give equal traces
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._nursery: trio.Nursery | None = None
        self.is_stirred = False  # a task may have something to do now
        self._look_at = 0.0

    def _draw_rate(self) -> float:
        return 1.0 + self.dice.uniform(-self.weather.skew, self.weather.skew)

    def run(self) -> None:
        """Live through the weather, then heal, and check that everybody agrees. Raises Violation."""
        random.seed(self.seed)  # pysyncobj draws its timeouts from there
        before = set_clock(self._clock)
        try:
            with seeded_scheduler(self.seed):
                trio.run(self._run, clock=WorldClock(lambda: self.now))
        finally:
            self._nursery = None
            for node in self.running.values():
                node.die()
            set_clock(before)

    def _clock(self) -> float:
        """What the node that asks believes. Moves a little whenever somebody looks."""
        self.now += 1e-7
        node = WHO.get()
        return self.now * (self.rates[node.node_id] if node is not None else 1.0)

    # -- time

    def at(self, when: float, act: Callable[[], object]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), act))

    def after(self, delay_s: float, act: Callable[[], object]) -> None:
        self.at(self.now + delay_s, act)

    def plan(self, node: SimNode, when: float) -> None:
        """Let a node step then, or earlier."""
        if when < node.planned:
            node.planned = when
            self.at(when, partial(self._visit, node, when))

    def start(self, node: SimNode, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run a task of that node until it ends or the node dies."""
        nursery = self._nursery
        if nursery is None:
            return  # the world has ended
        self.is_stirred = True

        async def scoped() -> None:
            with trio.CancelScope() as scope:
                node.tasks.add(scope)
                try:
                    await work(*arguments)
                finally:
                    node.tasks.discard(scope)

        token = WHO.set(node)
        try:
            nursery.start_soon(scoped)
        finally:
            WHO.reset(token)

    def end_tasks(self, node: SimNode) -> None:
        """Its process ends."""
        if self._nursery is not None:
            self.is_stirred = True
            for scope in node.tasks:
                scope.cancel()

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for node_id in self.ids:
                self.boot(node_id)
            for number in range(self.weather.clients):
                Client(self, number).go_on()
            self.faults.begin()
            await self._live_until(self.now + self.weather.seconds)
            self.is_calm = True
            self.faults.heal()
            await self._settle()
            await self._check_end()
            nursery.cancel_scope.cancel()

    async def _live_until(self, end: float) -> None:
        assert self._nursery is not None
        while self._events and self._events[0][0] <= end:
            when, _, act = heapq.heappop(self._events)
            self.now = max(self.now, when)
            act()
            if self._nursery.child_tasks and (self.is_stirred or self.now >= self._look_at):
                self.is_stirred = False
                self._look_at = self.now + LOOK_S
                await trio.testing.wait_all_tasks_blocked()
        self.now = max(self.now, end)

    def _visit(self, node: SimNode, when: float) -> None:
        if not node.is_alive or node.planned != when:
            return
        node.planned = inf
        busy_until = max(node.paused_until, node.synced_at or 0.0)
        if busy_until > self.now:
            self.plan(node, busy_until)
            return
        token = WHO.set(node)
        try:
            node.step()
        finally:
            WHO.reset(token)
        self.trace = zlib.crc32(f"{self.now:.5f} {node.node_id} {node.core.applied}".encode(), self.trace)
        if node.is_alive:
            self._plan_arrivals(node)

    # -- life and death

    def boot(self, node_id: str) -> None:
        if node_id in self.running or node_id not in self.ids:
            return
        self.lives[node_id] += 1
        node = self.running[node_id] = SimNode(self, node_id)
        if self.lives[node_id] == 1:  # as if it had waited for a while already
            self.as_node(node, self._hasten_election)
        for other in sorted(self.running):
            self.link(node_id, other)
            self.link(other, node_id)
        self.plan(node, self.now)

    def _hasten_election(self, node: SimNode) -> None:
        node.core.election_deadline = self._clock() + self.dice.uniform(0.0, 0.5)

    def crash(self, node: SimNode, down_s: float | None = None) -> None:
        """The process ends; it starts again after a while."""
        if not node.is_alive:
            return
        self.counts["crashes"] += 1
        del self.running[node.node_id]
        for other in sorted({*self.ids, *self.running}):
            self.unlink(node.node_id, other)
            self.unlink(other, node.node_id)
            self.wires[other, node.node_id].clear()
        node.die()
        self.after(
            self.dice.uniform(0.01, self.weather.down_s) if down_s is None else down_s, partial(self.boot, node.node_id)
        )

    def link(self, sender: str, receiver: str) -> None:
        """What `sender` says arrives from now on, unless a cut is in the way."""
        pair = (sender, receiver)
        both_up = sender in self.running and receiver in self.running and sender != receiver
        if both_up and pair not in self.links and not self.faults.is_cut(pair):
            self.links.add(pair)
            self.as_node(self.running[sender], lambda node: node.core.link_up(receiver))

    def unlink(self, sender: str, receiver: str) -> None:
        """The connection breaks: of what was on its way, only a first part still arrives, or nothing."""
        if (sender, receiver) in self.links:
            self.links.discard((sender, receiver))
            wire = self.wires[sender, receiver]
            kept = self.dice.randint(0, len(wire)) if receiver in self.running and self.dice.random() < 0.5 else 0
            while len(wire) > kept:
                wire.pop()
            if sender in self.running:
                self.as_node(self.running[sender], lambda node: node.core.link_down(receiver))

    def as_node(self, node: SimNode, act: Callable[[SimNode], object]) -> None:
        """Do something in that node's process: by its clock."""
        token = WHO.set(node)
        try:
            act(node)
        finally:
            WHO.reset(token)
        self.plan(node, self.now)

    # -- messages

    def send(self, node: SimNode, messages: list[tuple[str, bytes]]) -> None:
        # Sorted by receiver: the order within pysyncobj's sets differs from process to process.
        for receiver, body in sorted(messages, key=lambda message: message[0]):
            pair = (node.node_id, receiver)
            if pair not in self.links or self.faults.is_mute(pair):
                continue
            dice = self.wire_dice.get(pair)
            if dice is None:
                dice = self.wire_dice[pair] = random.Random(f"{self.seed} {pair}")
            if len(body) < 60 and b"response_vote" in body:
                self.faults.noticed("at vote", node)
            wire = self.wires[pair]
            arrival = self.now + dice.expovariate(1 / self.weather.flight_s)
            wire.append((max(arrival, wire[-1][0]) if wire else arrival, body))
            self.plan(self.running[receiver], max(wire[0][0], self.faults.stalled_until(pair)))
        messages.clear()

    def backlog(self, sender: str, receiver: str) -> int:
        return sum(len(body) for _, body in self.wires[sender, receiver])

    def arrived(self, node: SimNode) -> list[tuple[str, bytes]]:
        """What reached that node by now, from each sender in order."""
        found: list[tuple[str, bytes]] = []
        for sender in self.ids:
            wire = self.wires.get((sender, node.node_id))
            if wire and self.faults.stalled_until((sender, node.node_id)) <= self.now:
                while wire and wire[0][0] <= self.now:
                    found.append((sender, wire.popleft()[1]))
        return found

    def _plan_arrivals(self, node: SimNode) -> None:
        for sender in self.ids:
            pair = (sender, node.node_id)
            if wire := self.wires.get(pair):
                self.plan(node, max(wire[0][0], self.faults.stalled_until(pair)))

    # -- what must hold

    def applied(self, node: SimNode, index: int, content: bytes) -> None:
        if index <= node.applied_index:
            raise Violation(f"{node.node_id} applies {index} after {node.applied_index}")
        node.applied_index = index
        entry = node.journal.at(index)
        term = entry[2] if entry is not None else -1
        known_term, known = self.committed.setdefault(index, (term, content))
        if known != content or known_term != term:
            raise Violation(f"{node.node_id} applies another entry at {index}, of term {term} and not {known_term}")
        self.newest_committed = max(self.newest_committed, index)

    def check(self, node: SimNode) -> None:
        """Called after each tick."""
        core = node.core
        if not core.leads:
            node.has_quorum_at = self.now
            return
        if core.current_term not in self.leaders:
            self._check_complete(node)
            self.faults.noticed("at lead", node)
        if self.leaders.setdefault(core.current_term, node.node_id) != node.node_id:
            raise Violation(f"{node.node_id} and {self.leaders[core.current_term]} lead in term {core.current_term}")
        if core.committed > node.committed_before:
            node.committed_before = core.committed
            self.faults.noticed("at commit", node)
        if self.parts.needs_majority:
            self._check_quorum(node)

    def _check_complete(self, node: SimNode) -> None:
        """A new leader holds everything that was ever committed (Raft, section 5.4)."""
        index = self.newest_committed
        if index and node.core.last_index() < index:
            raise Violation(f"{node.node_id} leads without entry {index}, which was committed")
        held = node.journal.at(index)
        if index and held is not None and held[2] != self.committed[index][0]:
            raise Violation(f"{node.node_id} leads with another entry at {index} than was committed")

    def _check_quorum(self, node: SimNode) -> None:
        others = sorted(node.core.voters - {node.node_id})
        reached = sum(self.faults.reaches(node.node_id, other) for other in others)
        if node.paused_until > self.now - 1.0 or reached + 1 > (len(others) + 1) / 2:
            node.has_quorum_at = self.now
        elif self.now - node.has_quorum_at > QUORUM_LOST_S + 30 * self.weather.sync_s:
            raise Violation(f"{node.node_id} still leads {QUORUM_LOST_S} s after it lost its majority")

    async def _settle(self) -> None:
        end = self.now + SETTLE_S
        while not self._agrees():
            if self.now > end:
                raise Violation(f"no agreement {SETTLE_S} s after everything was healed: {self._positions()}")
            await self._live_until(self.now + 0.25)

    def _agrees(self) -> bool:
        cores = [node.core for node in self.running.values()]
        same = len({(core.applied, core.last_index(), frozenset(core.voters)) for core in cores}) == 1
        leads = [core for core in cores if core.leads]
        return len(cores) == len(self.ids) and same and len(leads) == 1 and not leads[0].installs

    def _positions(self) -> list[str]:
        cores = [self.running[node_id].core for node_id in sorted(self.running)]
        return [f"{core.me}: role {core.role} term {core.current_term} applied {core.applied}" for core in cores]

    async def _check_end(self) -> None:
        await self._write_once_more()
        await self._settle()
        check_linearizable(self.history)
        first, *others = (self.running[node_id] for node_id in self.ids)
        for node in others:
            if node.registers.cells != first.registers.cells:
                raise Violation(f"{node.node_id} holds another state than {first.node_id}")
            if node.applier.requests.capture() != first.applier.requests.capture():
                raise Violation(f"{node.node_id} remembers other requests than {first.node_id}")

    async def _write_once_more(self) -> None:
        """Everything is healed, so a write goes through at each node, and a read sees it."""
        self.is_calm = False
        finals = [Client(self, 900 + number) for number in range(len(self.ids))]
        for client, node_id in zip(finals, self.ids, strict=True):
            client.finish(self.running[node_id])
        self.is_calm = True
        end = self.now + 20.0
        while any(client.is_unfinished for client in finals):
            if self.now > end:
                raise Violation(f"reads or writes hang after everything was healed: {self._positions()}")
            await self._live_until(self.now + 0.1)

    def tally(self) -> Counter[str]:
        """What happened, in numbers."""
        answers = Counter(call.outcome for call in self.history)
        self.counts["terms"] = len(self.leaders)
        self.counts["writes acknowledged"] = answers[Outcome.WRITTEN]
        self.counts["reads checked"] = answers[Outcome.READ]
        return self.counts
