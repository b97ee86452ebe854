"""What goes wrong in a world of the log, and what its operator does: changes of voters, handovers, new disks."""

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from consensus.host.seams import EntryKind, Failure, Node
from consensus.room import Standing
from tests.simulation.log.node import SimNode, emptied

if TYPE_CHECKING:
    from tests.simulation.log.world import World

Pair = tuple[str, str]

CHANGE_IS_OVER_S: Final = 7.0  # no proposal of a change is on its way any more


class Faults:
    """The cuts and delays that lie on the wires now, and the dice that make them."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.dice = random.Random(f"{world.seed} faults")
        self._cuts: dict[Pair, float] = {}
        self._mute: dict[Pair, float] = {}
        self._stalled: dict[Pair, float] = {}
        self._lost: set[str] = set()  # whose disk is gone for good, until the voters are told
        self._changed_at = 0.0
        self._armed: set[str] = set()

    def begin(self) -> None:
        weather = self.world.weather
        self._every(weather.fault_rate if weather.faults else 0.0, self._break_something)
        self._every(weather.change_rate, self._change_voters)
        self._every(weather.handover_rate, self._hand_over)
        if "replace" in weather.faults:
            self._every(2.0, self._remove_lost)

    def heal(self) -> None:
        """No more weather: all wires are whole, all nodes run."""
        world = self.world
        for pair in [*self._cuts, *self._mute]:
            world.unlink(*pair)
        self._cuts.clear()
        self._mute.clear()
        self._stalled.clear()
        for node in list(world.running.values()):
            node.paused_until = node.slow_until = 0.0
            node.fail_disk("")
            _make_room(node)
            world.plan(node, world.now)
        for node_id in list(world.ids):
            world.boot(node_id)
        for one in world.ids:
            for other in world.ids:
                world.link(one, other)

    def _every(self, rate: float, act: Callable[[], None]) -> None:
        if rate:
            self.world.after(self.dice.expovariate(rate), partial(self._once, rate, act))

    def _once(self, rate: float, act: Callable[[], None]) -> None:
        if not self.world.is_calm:
            act()
            self._every(rate, act)

    # -- what lies on the wires

    def is_cut(self, pair: Pair) -> bool:
        return self._cuts.get(pair, 0.0) > self.world.now

    def is_mute(self, pair: Pair) -> bool:
        return pair in self._mute

    def stalled_until(self, pair: Pair) -> float:
        return self._stalled.get(pair, 0.0)

    def reaches(self, one: str, other: str) -> bool:
        """Whether what these two say to one another arrives soon."""
        running, links, now = self.world.running, self.world.links, self.world.now
        ways = (one, other), (other, one)
        clear = all(way in links and way not in self._mute and self.stalled_until(way) <= now for way in ways)
        return clear and other in running and running[other].paused_until <= now

    def _cut(self, one: str, other: str, seconds: float) -> None:
        for pair in ((one, other), (other, one)):
            self._cuts[pair] = max(self._cuts.get(pair, 0.0), self.world.now + seconds)
            self.world.unlink(*pair)
            self.world.after(seconds + 0.01, partial(self._relink, pair))

    def _relink(self, pair: Pair) -> None:
        if not self.is_cut(pair):
            self.world.link(*pair)

    def _mute_way(self, pair: Pair, seconds: float) -> None:
        self._mute[pair] = self.world.now + seconds
        self.world.after(seconds, partial(self._unmute, pair))

    def _unmute(self, pair: Pair) -> None:
        if self._mute.pop(pair, None) is not None:
            self.world.unlink(*pair)
            self.world.after(0.05, partial(self._relink, pair))

    def _stall(self, pair: Pair, seconds: float) -> None:
        self._stalled[pair] = self.world.now + seconds

    # -- faults

    def _break_something(self) -> None:
        fault = self.dice.choice(self.world.weather.faults)
        node = self._leader() if fault.endswith("leader") else self._anyone()
        if node is None:
            return
        self.world.counts["faults"] += 1
        match fault:
            case "crash" | "crash leader":
                self.world.crash(node)
            case "power cut":
                for one in list(self.world.running.values()):
                    self.world.crash(one)
            case "torn write" | "disk fails":
                node.fail_disk(fault)
            case "pause" | "pause leader":
                node.paused_until = self.world.now + self.dice.uniform(0.2, 4)
            case "slow disk":
                node.slow_until = self.world.now + self.dice.uniform(0.5, 4)
            case "full disk":
                node.fill_disk(self.dice.choice((Standing.LOW, Standing.FULL, Standing.FULL)))
                self.world.after(self.dice.uniform(0.5, 4), partial(_make_room, node))
            case "at vote" | "at lead" | "at ack" | "at commit" | "at change" | "at install":
                self._armed.add(fault)
            case "wipe":
                self._wipe(node)
            case "replace":
                self._lose_for_good(node)
            case _:
                self._break_wires(fault, node)

    def noticed(self, moment: str, node: SimNode) -> None:
        """Such a moment has come at that node. If something waits for it, it strikes now or very soon."""
        if moment in self._armed and not self.world.is_calm:
            self._armed.discard(moment)
            delay_s = 0.0 if self.dice.random() < 0.5 else self.dice.expovariate(1 / self.world.weather.flight_s)
            self.world.after(delay_s, partial(self._strike, moment, node))

    def _strike(self, moment: str, node: SimNode) -> None:
        if not node.is_alive or self.world.is_calm:
            return
        self.world.counts[f"struck {moment}"] += 1
        match self.dice.choice(("crash", "crash", "power", "isolate", "isolate", "pause", "split")):
            case "crash":
                self.world.crash(node, self.dice.uniform(0.001, 0.2))
            case "power":
                for one in list(self.world.running.values()):
                    self.world.crash(one, self.dice.uniform(0.001, 0.2))
            case "pause":
                node.paused_until = self.world.now + self.dice.uniform(0.5, 4)
            case how:
                self._break_wires(how, node)

    def _break_wires(self, fault: str, node: SimNode) -> None:
        me, others = node.node_id, [other for other in self.world.ids if other != node.node_id]
        if not others:
            return
        self.world.counts["cuts"] += 1
        other = self.dice.choice(others)
        match fault:
            case "cut":
                self._cut(me, other, self.dice.uniform(0.1, 6))
            case "one way":
                self._mute_way(self.dice.choice(((me, other), (other, me))), self.dice.uniform(0.2, 4))
            case "isolate" | "isolate leader":
                seconds = self.dice.uniform(0.5, 6)
                for one in others:
                    self._cut(me, one, seconds)
            case "split":
                seconds = self.dice.uniform(0.5, 6)
                group = [one for one in others if self.dice.random() < 0.5]
                for one in (me, *group):
                    for far in others:
                        if far not in group:
                            self._cut(one, far, seconds)
            case "flap":
                for turn in range(self.dice.randint(3, 15)):
                    self.world.after(0.3 * turn, partial(self._cut, me, other, self.dice.uniform(0.01, 0.25)))
            case "stall":
                self._stall(self.dice.choice(((me, other), (other, me))), self.dice.uniform(0.1, 3))

    def _anyone(self) -> SimNode | None:
        running = self.world.running
        return running[self.dice.choice(sorted(running))] if running else None

    def _leader(self) -> SimNode | None:
        leading = [self.world.running[one] for one in sorted(self.world.running) if self.world.running[one].core.leads]
        return self.dice.choice(leading) if leading else None

    # -- the operator

    def _change_voters(self) -> None:
        """Add or remove somebody, or, as operators should not, several at once and at whatever node."""
        node = self._leader() if self.dice.random() < 0.8 else self._anyone()
        for _ in range(self.dice.choice((1, 1, 1, 2, 3))):
            if node is not None and not self._lost:
                self._propose_some_change(node)

    def _propose_some_change(self, node: SimNode) -> None:
        core = node.core
        other = self.dice.choice(self.world.ids)
        if other in core.voters and len(core.voters) > 1:
            self._propose(node, "rem", other)
        elif other not in core.voters and core.match_index.get(Node(other), 0) > core.last_index() - 50:
            self._propose(node, "add", other)

    def _propose(self, node: SimNode, kind: str, node_id: str) -> None:
        counts = self.world.counts
        self._changed_at = self.world.now

        def done(_result: object, failure: int) -> None:
            counts["changes of voters" if failure == Failure.SUCCESS else "changes refused"] += 1

        self.world.as_node(node, lambda one: one.core.propose_change(kind, node_id, done))
        self.world.at(self.world.now, partial(self.noticed, "at change", node))

    def _hand_over(self) -> None:
        leader = self._leader()
        others = sorted(leader.core.voters - {leader.node_id}) if leader is not None else []
        if leader is not None and others:
            self.world.counts["handovers"] += 1
            successor = self.dice.choice(others)
            self.world.as_node(leader, lambda one: one.core.hand_over(successor, lambda _result, _failure: None))

    def _settled_voters(self) -> frozenset[str] | None:
        """Who votes, when all running nodes agree on that and nobody is changing it."""
        if self.world.now - self._changed_at < CHANGE_IS_OVER_S:
            return None
        views = {frozenset(node.core.voters) for node in self.world.running.values() if node.core.voters}
        pending = any(
            entry[0][0] == EntryKind.MEMBERSHIP
            for node in self.world.running.values()
            for entry in node.journal.since(node.core.committed + 1)
        )
        return views.pop() if len(views) == 1 and not pending else None

    def _wipe(self, node: SimNode) -> None:
        """Empty a node that everybody knows to have no vote; it joins again under its old name."""
        voters = self._settled_voters()
        if voters is not None and node.node_id not in voters and node.node_id not in self.world.founders:
            self.world.counts["wiped"] += 1
            self.world.crash(node, self.dice.uniform(0.05, 1))
            emptied(self.world.directory / node.node_id)

    def _lose_for_good(self, node: SimNode) -> None:
        """A disk dies. The operator lets a fresh node join, and tells the voters that the old one is gone."""
        world, voters = self.world, self._settled_voters()
        if voters is None or node.node_id not in voters or self._lost or len(voters) < 3:
            return
        if len(voters & set(world.running)) - 1 <= len(voters) / 2:
            return
        world.counts["replaced"] += 1
        self._lost.add(node.node_id)
        world.ids.remove(node.node_id)
        world.crash(node)
        fresh = f"m{world.counts['replaced']}"
        world.ids.append(fresh)
        world.boot(fresh)

    def _remove_lost(self) -> None:
        leader = self._leader()
        if leader is None:
            return
        for node_id in sorted(self._lost):
            if node_id in leader.core.voters:
                self._propose(leader, "rem", node_id)
            elif self._settled_voters() is not None:
                self._lost.discard(node_id)


def _make_room(node: SimNode) -> None:
    if node.is_alive:
        node.fill_disk(Standing.ENOUGH)
