"""The log's simulated twin: all nodes of a cluster in memory, with links to cut, and no time of its own.

It keeps the promises of `consensus/log.py` by simpler means: one list of entries, in which a leader that reaches a
majority of the voters writes. Leadership moves at once when the leader is lost; a node that is cut off, held or down
applies nothing and catches up later. Nothing here is random, so equal calls give equal histories.
"""

from collections.abc import Callable
from itertools import combinations
from typing import Final

import trio

from consensus.incarnation import Incarnation
from consensus.log import MembershipRefused, NoRoom, NotLeader, OutcomeUnknown, StateMachine
from consensus.room import Limits, LogRoom, Shortage, Standing, shortages_that_stop

_FIRST_INDEX: Final = 4  # as in the real log, three founding entries and the first leader's own stand before


class SimulatedCluster:
    """What the nodes share: the entries, who votes, who leads, and who can talk to whom."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []  # committed; the index of the first is `_FIRST_INDEX + 1`
        self.voters: set[str] = set()
        self.incarnation = Incarnation(1, "simulated")
        self.short: dict[str, Shortage] = {}  # nodes whose disks have too little room
        self.leader_id: str | None = None
        self.term = 0
        self._up: dict[str, SimulatedLog] = {}
        self._cut: set[frozenset[str]] = set()
        self._held: set[str] = set()
        self._changed = trio.Event()

    # -- faults

    def cut(self, one: str, other: str) -> None:
        """No message passes between these two."""
        self._cut.add(frozenset((one, other)))
        self.settle()

    def isolate(self, node_id: str) -> None:
        """No message passes between this node and any other."""
        self._cut |= {frozenset(pair) for pair in combinations(self._up, 2) if node_id in pair}
        self.settle()

    def heal(self) -> None:
        """Every message passes again."""
        self._cut.clear()
        self.settle()

    def hold(self, node_id: str) -> None:
        """This node hears of no commit until it is released: it lags."""
        self._held.add(node_id)

    def release(self, node_id: str) -> None:
        """Let it catch up."""
        self._held.discard(node_id)
        self.settle()

    # -- what the nodes do

    @property
    def commit_index(self) -> int:
        """The index of the newest entry."""
        return _FIRST_INDEX + len(self.entries)

    def start(self, node: "SimulatedLog", *, found: bool) -> None:
        """A node is up. The first that may found names itself the first voter."""
        if found and not self.voters:
            self.voters.add(node.node_id)
        self._up[node.node_id] = node
        self.settle()

    def stop(self, node: "SimulatedLog") -> None:
        """A node is down."""
        del self._up[node.node_id]
        self.settle()

    def reaches(self, one: str, other: str) -> bool:
        """Whether both are up and no cut lies between them."""
        both_up = one in self._up and other in self._up
        return both_up and (one == other or frozenset((one, other)) not in self._cut)

    def peers_of(self, node_id: str) -> frozenset[str]:
        """Whom this node has a link to: learners have none among themselves."""
        linked = (other for other in self._up if node_id in self.voters or other in self.voters)
        return frozenset(other for other in linked if other != node_id and self.reaches(node_id, other))

    def stopped_by(self) -> dict[str, Shortage]:
        """Whose disks keep the cluster from taking writes."""
        leader = self.leader_id
        return {} if leader is None else shortages_that_stop(leader, self.voters, self.peers_of(leader), self.short)

    def lack_room(self, node_id: str, shortage: Shortage | None) -> None:
        """A node's disk has too little room from now on, or (None) enough again."""
        self.short.pop(node_id, None)
        if shortage is not None:
            self.short[node_id] = shortage
        self.settle()

    def leader_for(self, node_id: str) -> str | None:
        """The leader, if there is one that this node reaches."""
        leader = self.leader_id
        return leader if leader is not None and self.reaches(node_id, leader) else None

    def commit(self, entry: bytes) -> None:
        """Append an entry; every node that hears of it applies it. Only for a node that reaches the leader."""
        self.entries.append(entry)
        self._spread()
        self._announce()

    def lead(self, node_id: str | None) -> None:
        """Somebody leads, or nobody does."""
        if node_id is not None and node_id != self.leader_id:
            self.term += 1
        self.leader_id = node_id
        self._announce()

    def settle(self) -> None:
        """Links, nodes or voters changed: elect, if the leader has lost its majority, and catch up."""
        if self.leader_id is None or not self._has_majority(self.leader_id) or self.leader_id in self.short:
            # Who leads stays in front of others who are no better off.
            order = sorted(self.voters, key=lambda voter: (voter in self.short, voter != self.leader_id, voter))
            self.lead(next(filter(self._has_majority, order), None))
        self._spread()
        self._announce()

    async def wait_for_change(self) -> None:
        """Until links, nodes, voters, the leader or what somebody has applied changed."""
        await self._changed.wait()

    def _has_majority(self, node_id: str) -> bool:
        votes = sum(self.reaches(node_id, voter) for voter in self.voters)
        return node_id in self.voters and votes > len(self.voters) / 2

    def _spread(self) -> None:
        for node_id in sorted(self._up):
            if self.leader_for(node_id) is not None and node_id not in self._held:
                self._up[node_id].catch_up()

    def _announce(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()


class SimulatedLog:
    """One node's end of the simulated log; the same surface as `RaftNode`."""

    def __init__(
        self,
        node_id: str,
        cluster: SimulatedCluster,
        machine: StateMachine,
        *,
        found: bool,
        on_applied: Callable[[int], None],
    ) -> None:
        """A node that starts again brings a fresh state machine, which `run` fills from the log."""
        self._node_id = node_id
        self._cluster = cluster
        self._machine = machine
        self._found = found
        self._on_applied = on_applied
        self._applied = 0
        self._results: dict[int, object] = {}  # of the entries that somebody waits for here

    @property
    def node_id(self) -> str:
        return self._node_id

    @property
    def is_leader(self) -> bool:
        return self._cluster.leader_id == self._node_id

    @property
    def leader_id(self) -> str | None:
        return self._cluster.leader_for(self._node_id)

    @property
    def term(self) -> int:
        return self._cluster.term

    @property
    def voters(self) -> frozenset[str]:
        """Who votes."""
        return frozenset(self._cluster.voters)

    @property
    def learners(self) -> frozenset[str]:
        """Nodes with a link to this one and without a vote."""
        return self._cluster.peers_of(self._node_id) - self.voters

    @property
    def applied_index(self) -> int:
        return _FIRST_INDEX + self._applied

    @property
    def commit_index(self) -> int:
        return self._cluster.commit_index

    @property
    def incarnation(self) -> Incarnation | None:
        """That of the cluster, once somebody has founded it."""
        return self._cluster.incarnation if self._cluster.voters else None

    @property
    def room(self) -> LogRoom:
        """What the cluster was told of this node's disk."""
        shortage = self._cluster.short.get(self._node_id)
        return LogRoom(
            standing=Standing.ENOUGH if shortage is None else Standing.LOW,
            free_bytes=shortage.free if shortage else 1 << 40,
            needed_bytes=shortage.needed if shortage else Limits().low,
            reserve_bytes=Limits().reserve,
            checkpoint_fault="",
            stopped_by=self._cluster.stopped_by(),
        )

    def reachable(self) -> frozenset[str]:
        """Peers with a link to this node; a learner knows of other learners from the leader."""
        linked, leader = self._cluster.peers_of(self._node_id), self.leader_id
        if leader is None or self._node_id in self._cluster.voters:
            return linked
        return linked | (self._cluster.peers_of(leader) - self._cluster.voters - {self._node_id})

    def set_peer(self, node_id: str, address: tuple[str, int]) -> None:
        """Here everybody finds everybody."""

    def record_peer(self, node_id: str, address: tuple[str, int]) -> None:
        """The same."""

    def drop_peer(self, node_id: str) -> None:
        """As `SimulatedCluster.cut`."""
        self._cluster.cut(self._node_id, node_id)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be up until cancelled."""
        self._cluster.start(self, found=self._found)
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            self._cluster.stop(self)

    def catch_up(self) -> None:
        """Apply what was committed."""
        before = self._applied
        for payload in self._cluster.entries[before:]:
            result = self._machine.apply(self.applied_index + 1, payload)
            self._applied += 1
            if self.applied_index in self._results:
                self._results[self.applied_index] = result
        if self._applied > before:
            self._on_applied(self.applied_index)

    async def propose(self, payload: bytes, *, deadline_s: float = 10.0, frees_room: bool = False) -> object:
        """Commit the payload and return what `apply` answered here. Raises OutcomeUnknown, NoRoom."""
        await trio.lowlevel.checkpoint()
        if (shortages := self._cluster.stopped_by()) and not frees_room:
            raise NoRoom(shortages)
        with trio.move_on_after(deadline_s):
            while self.leader_id is None:
                await self._cluster.wait_for_change()
            return await self._commit(payload)
        raise OutcomeUnknown(f"not applied on this node within {deadline_s} s")

    async def _commit(self, payload: bytes) -> object:
        index = self._cluster.commit_index + 1
        self._results[index] = None
        try:
            self._cluster.commit(payload)
            await self._wait_applied(index)
            return self._results[index]
        finally:
            del self._results[index]

    async def read_barrier(self, *, deadline_s: float = 5.0) -> int:
        """Wait until everything committed before the call is applied here. Raises OutcomeUnknown."""
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(deadline_s):
            while self.leader_id is None:
                await self._cluster.wait_for_change()
            index = self._cluster.commit_index
            await self._wait_applied(index)
            return index
        raise OutcomeUnknown(f"no majority confirmed the read within {deadline_s} s")

    async def _wait_applied(self, index: int) -> None:
        while self.applied_index < index:
            await self._cluster.wait_for_change()

    async def promote(self, node_id: str) -> None:
        """Make a learner a voter. Raises NotLeader, MembershipRefused."""
        self._check_leads()
        await trio.lowlevel.checkpoint()
        if not self._cluster.reaches(self._node_id, node_id):
            raise MembershipRefused(f"node {node_id} has not caught up: it can't be reached")
        self._cluster.voters.add(node_id)
        self._cluster.settle()

    async def demote(self, node_id: str) -> None:
        """Make a voter a learner. Raises NotLeader, MembershipRefused."""
        self._check_leads()
        await trio.lowlevel.checkpoint()
        if node_id == self._node_id:
            raise MembershipRefused("the leader can't demote itself: transfer the leadership first")
        self._cluster.voters.discard(node_id)
        self._cluster.settle()

    async def transfer_leadership(self, node_id: str | None) -> None:
        """Hand over to a voter (None: the first other one). Raises NotLeader, MembershipRefused."""
        self._check_leads()
        await trio.lowlevel.checkpoint()
        others = sorted(self.voters - {self._node_id}) if node_id is None else [node_id]
        for other in others:
            if other in self.voters and self._cluster.reaches(self._node_id, other):
                self._cluster.lead(other)
                self._cluster.settle()
                return
        raise MembershipRefused(f"no voter took over: is {node_id or 'any'} reachable?")

    def _check_leads(self) -> None:
        if not self.is_leader:
            raise NotLeader(f"node {self._node_id} does not lead; the leader known here is {self.leader_id}")
