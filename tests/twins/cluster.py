"""A cluster in memory: every node shares one log that commits at once, through the real codec and state machine."""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from consensus.clocks.model import ClockSight
from consensus.codec import Codec
from consensus.disks.links import LogEnd
from consensus.history.links import Book, ChainState, Vocabulary, vocabulary_of
from consensus.host.vault import NodeVault
from consensus.incarnation import Incarnation
from consensus.liveness.links import Watch
from consensus.liveness.model import Change, Lost, Outlook, Sight, State
from consensus.machine import Machine
from consensus.proposals import LogCluster
from consensus.room import LogRoom, Shortage, Standing
from consensus.vault.links import VaultAccess
from noded.core.errors import Refused, Unavailable
from noded.core.ids import NodeId, Revision
from noded.core.reconciler import Drivers, Reconciler
from noded.core.service import PeerContext, Service
from tests.twins.history import MemoryBook


class InstantLog:
    """One node's end of the shared log."""

    def __init__(self, shared: "SharedCluster", node_id: str) -> None:
        self._shared = shared
        self.node_id = node_id

    @property
    def leader_id(self) -> str | None:
        return None if self.node_id in self._shared.alone else min(self._shared.majority, default=None)

    @property
    def voters(self) -> frozenset[str]:
        return frozenset(self._shared.handles)

    @property
    def applied_index(self) -> int:
        return int(self._shared.machine.picture.revision)

    @property
    def incarnation(self) -> Incarnation | None:
        return Incarnation(1, "shared")

    @property
    def room(self) -> LogRoom:
        own = self._shared.short.get(self.node_id)
        return LogRoom(
            standing=Standing.LOW if own else Standing.ENOUGH,
            free_bytes=own.free if own else 1 << 40,
            needed_bytes=own.needed if own else 1 << 26,
            reserve_bytes=0,
            checkpoint_fault="",
            stopped_by=self._shared.short,
        )

    async def propose(self, payload: bytes, *, deadline_s: float = 10.0, frees_room: bool = False) -> object:
        return self._shared.commit(payload)

    async def read_barrier(self, *, deadline_s: float = 5.0) -> int:
        return self.applied_index

    def reachable(self) -> frozenset[str]:
        return frozenset[str]() if self.node_id in self._shared.alone else self._shared.majority - {self.node_id}


class Lines:
    """One node's calls to the others."""

    def __init__(self, shared: "SharedCluster", caller: str) -> None:
        self._shared = shared
        self._caller = caller

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes:
        if node_id != self._caller and {node_id, self._caller} & self._shared.alone:
            raise Unavailable(f"node {node_id} can't be reached")
        return await self._shared.call(node_id, method, payload)


class InstantWatch:
    """Implements `Watch` without rounds: whoever can be reached is up."""

    def __init__(self, shared: "SharedCluster", node_id: str) -> None:
        self._shared = shared
        self._node_id = NodeId(node_id)

    def sights(self) -> dict[NodeId, Sight]:
        return {NodeId(node): self._sight(NodeId(node)) for node in sorted(self._shared.handles)}

    def _sight(self, node_id: NodeId) -> Sight:
        majority = {NodeId(node) for node in self._shared.majority}
        others = tuple(sorted(majority - {node_id}))
        if node_id == self._node_id or node_id in majority:
            state = State.UP
        else:
            state = State.SUSPECT if self._node_id in self._shared.alone else State.DOWN
        seen_by, missed_by = (others, ()) if state is State.UP else ((), others)
        return Sight(node_id=node_id, state=state, since_ms=0, seen_by=seen_by, missed_by=missed_by)

    def usable(self) -> frozenset[NodeId]:
        return self._shared.handles[self._node_id].reachable()

    def changes(self, node_id: NodeId) -> Sequence[Change]:
        return ()

    def outlook(self) -> Outlook:
        handle = self._shared.handles[self._node_id]
        heard = handle.reachable()
        return Outlook(
            has_majority=handle.has_majority,
            voters=tuple(NodeId(node) for node in sorted(self._shared.handles)),
            voters_seen=tuple(sorted(heard)),
            lost=tuple(
                Lost(node_id=NodeId(node), name=node, since_ms=0)
                for node in sorted(self._shared.handles)
                if node not in heard
            ),
            minority_since_ms=None if handle.has_majority else 0,
        )


class SharedCluster:
    """Several nodes over one state. `cluster(node)` is a node's handle; `up` is who can be reached.

    Who is `alone` runs, and reaches nobody.
    """

    def __init__(self, services: Iterable[Service], nodes: Iterable[str] = ("node1", "node2", "node3")) -> None:
        self.services = tuple(services)
        self.codec = Codec(
            [command for service in self.services for command in service.commands],
            [record for service in self.services for record in service.records],
        )
        self.book = MemoryBook()
        self.machine = Machine(self.codec, self.book)
        self.entries: list[bytes] = []  # as the log holds them
        self.up: set[str] = set(nodes)
        self.alone: set[str] = set()
        self.refusals: dict[str, Refused] = {}  # what is refused to everyone, by method
        self.refusals_of: dict[tuple[str, str], Refused] = {}  # and by one node alone: node, method
        self.short: dict[str, Shortage] = {}  # whose disks keep the cluster from writing
        self.ends = {node: InstantLog(self, node) for node in sorted(self.up)}
        self.drivers = {node: self.new_drivers(node) for node in self.up}
        self.handles = {
            node: LogCluster(end, self.machine, self.codec, Lines(self, node)) for node, end in self.ends.items()
        }

    def new_drivers(self, node: str) -> Drivers:
        """What the log and the store alone give to a node's services: where a daemon starts, and starts again."""
        drivers = Drivers()
        drivers.add(Watch, InstantWatch(self, node))
        drivers.add(ClockSight, ClockSight())
        drivers.add(LogEnd, self.ends[node])
        drivers.add(Book, self.book)
        drivers.add(ChainState, self.machine)
        commands = [command for service in self.services for command in service.commands]
        records = [record for service in self.services for record in service.records]
        drivers.add(VaultAccess, NodeVault(NodeId(node), sha256(node.encode()).digest()))
        drivers.add(Vocabulary, vocabulary_of(commands, records))
        return drivers

    def cluster(self, node: str = "node1") -> LogCluster:
        return self.handles[node]

    @property
    def majority(self) -> frozenset[str]:
        """Who runs and is reached by the others that do."""
        return frozenset(self.up - self.alone)

    def commit(self, payload: bytes) -> object:
        self.entries.append(payload)
        outcome = self.machine.apply(int(self.machine.picture.revision) + 1, payload)
        for handle in self.handles.values():
            handle.on_applied(int(self.machine.picture.revision))
        return outcome

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes:
        if method in self.refusals:
            raise self.refusals[method]
        if (node_id, method) in self.refusals_of:
            raise self.refusals_of[node_id, method]
        if node_id not in self.up:
            raise Unavailable(f"node {node_id} can't be reached")
        for service in self.services:
            if method in service.peer_calls:
                context = PeerContext(cluster=self.handles[node_id], drivers=self.drivers[node_id])
                return await service.peer_calls[method](context, payload)
        raise AssertionError(f"no peer call {method}")

    async def settle(self, *reconcilers: Reconciler, rounds_max: int = 50) -> None:
        """Run the reconcilers in turn until a whole round changes nothing."""
        for _ in range(rounds_max):
            before = self.machine.picture.revision
            for reconciler in reconcilers:
                await reconciler.reconcile()
            if self.machine.picture.revision == before:
                return
        raise AssertionError(f"not settled after {rounds_max} rounds")


def revision_after(machine: Machine, change: Callable[[], None]) -> Revision:
    change()
    return machine.picture.revision
