"""How this node's handlers and reconcilers reach the log: the `Cluster` handle."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec
import trio

from consensus.codec import Codec
from consensus.levels.plan import why_not_yet
from consensus.log import Log, NoRoom, OutcomeUnknown
from consensus.machine import Applied, Declined, Machine
from consensus.majority import Ballot, Patience, why_not
from consensus.members.model import Node
from consensus.room import Shortage, Standing
from noded.core import errors
from noded.core.clock import now_ms
from noded.core.command import Command
from noded.core.ids import NodeId, Revision
from noded.core.origin import Origin, of_node
from noded.core.record import Record, table_of
from noded.core.store import View
from noded.core.units import MIB
from noded.core.watch import Watched

PROPOSE_S_MAX = 10.0  # how long a change may wait for a majority before its outcome is called unknown
BARRIER_S_MAX = 5.0
LOOK_S = 0.05  # between two looks whether a leader is there again


class Peers(Protocol):
    """Asks other nodes; `consensus/host/peers.py`."""

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes:
        """The answer of that node; raises what it refused, or `Unavailable`."""


class LogCluster:
    """Implements `noded.core.cluster.Cluster` over one node's log, state machine and peer calls."""

    def __init__(self, log: Log, machine: Machine, codec: Codec, peers: Peers) -> None:
        self._log = log
        self._machine = machine
        self._codec = codec
        self._peers = peers
        self._waiters: dict[trio.Event, tuple[frozenset[str], int]] = {}
        self._patience = Patience()

    @property
    def node_id(self) -> NodeId:
        return NodeId(self._log.node_id)

    @property
    def leader_id(self) -> NodeId | None:
        leader = self._log.leader_id
        return None if leader is None else NodeId(leader)

    @property
    def has_majority(self) -> bool:
        ballot = self._ballot()
        self._patience.is_over(ballot, trio.current_time())  # however seldom a change is asked for
        return ballot.has_majority

    def view(self) -> View:
        return self._machine.picture

    @property
    def origin(self) -> Origin:
        return of_node(self.node_id, now_ms())

    def acting_for(self, origin: Origin) -> "ActingCluster":
        return ActingCluster(self, origin)

    async def propose(self, *commands: Command) -> Revision:
        return await self.propose_as(self.origin, commands)

    async def propose_as(self, origin: Origin, commands: Sequence[Command]) -> Revision:
        """What `propose` promises, on behalf of `origin`."""
        await trio.lowlevel.checkpoint()  # also before a refusal: whoever asks again and again must let the log go on
        if reason := why_not_yet(self._machine.picture, commands):
            raise errors.Unavailable(reason, code="LevelTooLow")
        frees_room = all(command.FREES_ROOM for command in commands)
        # Asked first: where the disks are the reason, there may be no leader to wait for either.
        if (stopped_by := self._log.room.stopped_by) and not frees_room:
            raise errors.Unavailable(self._told(stopped_by))
        self._expect_news()
        await self._expect_leader()
        entry = self._codec.encode_entry(origin, commands)
        try:
            outcome = await self._log.propose(entry, deadline_s=PROPOSE_S_MAX, frees_room=frees_room)
        except NoRoom as lack:
            raise errors.Unavailable(self._told(lack.shortages)) from None
        except OutcomeUnknown:
            raise errors.OutcomeUnknown(
                "The cluster did not confirm the change in time: it may or may not have been made. Look before you"
                " repeat it. A majority of the nodes must be up and reachable; `noded status` shows which are."
            ) from None
        if isinstance(outcome, Declined):
            raise outcome.refusal()
        assert isinstance(outcome, Applied)
        return outcome.revision

    def _told(self, shortages: Mapping[str, Shortage]) -> str:
        each = []
        for node_id, shortage in sorted(shortages.items()):
            node = self._machine.picture.get(Node, node_id)
            name, free, needed = node.name if node else node_id, shortage.free // MIB, -(-shortage.needed // MIB)
            each.append(f"The log's disk on node {name} has {free} MiB free, {needed} are needed.")
        return (
            f"Nothing can be changed now. {' '.join(each)} Make room there, or delete what is not needed: reading and"
            " deleting go on."
        )

    def _expect_news(self) -> None:
        """Raises `Unavailable` where a full disk takes no entries: this node hears of no change, not even its own."""
        room = self._log.room
        if room.standing is Standing.FULL and not room.stopped_by and self._log.leader_id not in {None, self.node_id}:
            free, needed = room.free_bytes // MIB, -(-room.needed_bytes // MIB)
            raise errors.Unavailable(
                f"The log's disk on this node has {free} MiB free, {needed} are needed, so it does not hear what is"
                " changed. Ask another node, or make room here."
            )

    async def fresh_view(self) -> View:
        self._expect_news()
        await self._expect_leader()
        try:
            await self._log.read_barrier(deadline_s=BARRIER_S_MAX)
        except OutcomeUnknown:
            raise errors.Unavailable(
                "No majority of the cluster's nodes can be reached; `noded status` shows which are up."
            ) from None
        return self._machine.picture

    def _ballot(self) -> Ballot:
        return Ballot(self.node_id, self._log.voters, self._log.reachable(), self._log.leader_id)

    async def _expect_leader(self) -> None:
        """Wait while a leader may be back any moment; raises `Unavailable` where that is in vain."""
        while (ballot := self._ballot()).leader is None:
            is_in_vain = self._patience.is_over(ballot, trio.current_time())
            # Also before it refuses: whoever asks again and again must let the log go on.
            await trio.sleep(LOOK_S)
            if is_in_vain and self._ballot().leader is None:
                raise errors.Unavailable(why_not(ballot, self._machine.picture))
        self._patience.is_over(ballot, trio.current_time())

    async def changed(self, kinds: Collection[type[Record]], after: Revision) -> Revision:
        tables = frozenset(table_of(kind) for kind in kinds)
        if self._machine.picture.changed_at(tables) <= after:
            event = trio.Event()
            self._waiters[event] = (tables, after)
            try:
                await event.wait()
            finally:
                self._waiters.pop(event, None)
        return self._machine.picture.revision

    async def watch(self, kinds: Collection[type[Record]], after: Revision) -> Watched:
        await self.changed(kinds, after)
        return self._machine.changes_after(after, {table_of(kind) for kind in kinds})

    def reachable(self) -> frozenset[NodeId]:
        return frozenset(NodeId(peer) for peer in self._log.reachable()) | {self.node_id}

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes:
        return await self._peers.call(node_id, method, payload)

    def on_applied(self, index: int) -> None:  # noqa: ARG002  # the log says how far; what changed is in the picture
        """Wake who waits for what just changed. The log calls this after each batch that it applied."""
        picture = self._machine.picture
        for event, (tables, after) in list(self._waiters.items()):
            if picture.changed_at(tables) > after:
                del self._waiters[event]
                event.set()


class ActingCluster:
    """A node's handle in the name of one origin: only what it proposes differs."""

    def __init__(self, cluster: LogCluster, origin: Origin) -> None:
        self._cluster = cluster
        self._origin = origin

    @property
    def node_id(self) -> NodeId:
        return self._cluster.node_id

    @property
    def leader_id(self) -> NodeId | None:
        return self._cluster.leader_id

    @property
    def has_majority(self) -> bool:
        return self._cluster.has_majority

    @property
    def origin(self) -> Origin:
        # A request may take long, such as an upload: its time is when it changes something.
        return msgspec.structs.replace(self._origin, at_ms=now_ms())

    def acting_for(self, origin: Origin) -> "ActingCluster":
        return ActingCluster(self._cluster, origin)

    def view(self) -> View:
        return self._cluster.view()

    async def propose(self, *commands: Command) -> Revision:
        return await self._cluster.propose_as(self.origin, commands)

    async def fresh_view(self) -> View:
        return await self._cluster.fresh_view()

    async def changed(self, kinds: Collection[type[Record]], after: Revision) -> Revision:
        return await self._cluster.changed(kinds, after)

    async def watch(self, kinds: Collection[type[Record]], after: Revision) -> Watched:
        return await self._cluster.watch(kinds, after)

    def reachable(self) -> frozenset[NodeId]:
        return self._cluster.reachable()

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes:
        return await self._cluster.call(node_id, method, payload)
