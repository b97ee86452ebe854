"""What keeps the log's address book, its voters, and this node's record as the records say."""

from collections.abc import Collection, Iterable

import structlog
import trio

from consensus.links import Discovery
from consensus.log import MembershipRefused, NotLeader, OutcomeUnknown
from consensus.members.commands import ReportNode
from consensus.members.links import Electorate, Exit, PeerBook, Presence
from consensus.members.model import CLUSTER, NODE_GONE, ClusterFacts, GoneNode, Node
from consensus.members.plan import (
    VOTERS_MAX_OF_MANY,
    Demote,
    HandOver,
    Promote,
    Situation,
    best_addresses,
    next_step,
)
from consensus.ports import RAFT_PORT
from noded.core.cluster import Cluster
from noded.core.errors import Refused
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from noded.core.record import Record

log = structlog.get_logger(__name__)


LEADERLESS_S_MAX = 3.0  # after so long without a leader a node asks whether it is still a member
ASK_S_MAX = 2.0
MANY_OTHERS = 3  # of so many other nodes one voice is not enough
VOICES_OF_MANY = 2


async def ask_whether_member(
    cluster: Cluster, exit: Exit, others: Iterable[NodeId], gone: Collection[NodeId] = ()
) -> None:
    """Ask the other nodes, one after another, until enough of them say that this one is gone.

    `gone`: who is no member itself, as far as this node knows, and so has no voice. A former node that this one has not
    heard of yet may say anything: where there are others to ask, it must not send a member away alone.
    """
    asked = [node_id for node_id in others if node_id not in gone]
    needed = VOICES_OF_MANY if len(asked) >= MANY_OTHERS else 1
    voices: list[NodeId] = []
    for node_id in asked:
        try:
            with trio.move_on_after(ASK_S_MAX):
                await cluster.call(node_id, "members.heard", b"")
        except Refused as refusal:
            if refusal.code != NODE_GONE:
                continue
            voices.append(node_id)
            if len(voices) == needed:
                exit.leave(refusal.message)
                return
    if voices:
        log.info("said to be gone, but not by enough other nodes to believe it", said_by=voices, needed=needed)


class MembersReconciler:
    """Every node: dials others where their records say, refuses who is gone, and reports itself. The leader: sees to
    the voters. Who hears of no leader: asks whether it is still a member."""

    name = "members"
    watches: tuple[type[Record], ...] = (Node, GoneNode)
    # Learners become ready and voters fall silent without any record's changing, so the leader looks again soon.
    period_s = 1.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._electorate = drivers.get(Electorate)
        self._presence = drivers.get(Presence)
        self._book = drivers.get(PeerBook)
        self._discovery = drivers.get(Discovery)
        self._exit = drivers.get(Exit)
        self._told: dict[NodeId, str] = {}
        self._kept: tuple[dict[NodeId, tuple[str, ...]], frozenset[NodeId]] = ({}, frozenset())
        self._refused: set[NodeId] = set()
        self._heard_at: dict[str, float] = {}
        self._led_at = trio.current_time()

    async def reconcile(self) -> None:
        """One pass."""
        view = self._cluster.view()
        nodes = view.all(Node)
        gone = frozenset(former.id for former in view.all(GoneNode))
        self._refuse(gone)
        others = [node for node in nodes if node.id != self._cluster.node_id]
        facts = view.get(ClusterFacts, CLUSTER)
        cluster_id = facts.cluster_id if facts else ""
        for node in others:
            self._electorate.record_peer(node.id, (node.addresses[0], RAFT_PORT))
        for node_id, address in best_addresses(others, self._discovery.sightings(), cluster_id).items():
            if self._told.get(node_id) != address:
                self._told[node_id] = address
                self._electorate.set_peer(node_id, (address, RAFT_PORT))
        await self._keep({node.id: node.addresses for node in others}, gone)
        await self._ask_whether_member(others, gone)
        await self._report(nodes)
        if self._electorate.is_leader:
            await self._see_to_voters(nodes)
        else:
            self._heard_at.clear()

    def _refuse(self, gone: frozenset[NodeId]) -> None:
        for node_id in sorted(gone - self._refused):
            self._electorate.drop_peer(node_id)
            self._told.pop(node_id, None)
            self._refused.add(node_id)
        if self._cluster.node_id in gone:
            self._exit.leave("the cluster's records say that it is no member any more")

    async def _keep(self, addresses: dict[NodeId, tuple[str, ...]], gone: frozenset[NodeId]) -> None:
        if (addresses, gone) != self._kept and (addresses or gone):
            await self._book.keep(addresses, gone)
            self._kept = (addresses, gone)

    async def _ask_whether_member(self, others: list[Node], gone: frozenset[NodeId]) -> None:
        """A node that was forgotten while it was away hears nothing from anyone: those that it asks tell it why."""
        now = trio.current_time()
        if self._cluster.leader_id is not None:
            self._led_at = now
        if now - self._led_at >= LEADERLESS_S_MAX:
            self._led_at = now
            await ask_whether_member(self._cluster, self._exit, [node.id for node in others], gone)

    async def _report(self, nodes: list[Node]) -> None:
        present = (self._presence.addresses, self._presence.release, self._presence.role)
        own = next((node for node in nodes if node.id == self._cluster.node_id), None)
        if own is not None and (own.addresses, own.release, own.role) != present:
            addresses, release, role = present
            await self._cluster.propose(ReportNode(node_id=own.id, addresses=addresses, release=release, role=role))

    async def _see_to_voters(self, nodes: list[Node]) -> None:
        # One after another in the same pass: with two voters the loss of either one would stop the cluster.
        for _ in range(2 * VOTERS_MAX_OF_MANY):
            step = next_step(self._situation(nodes))
            if step is None or not self._electorate.is_leader:
                return
            try:
                match step:
                    case Promote(node_id):
                        await self._electorate.promote(node_id)
                    case Demote(node_id):
                        await self._electorate.demote(node_id)
                    case HandOver(node_id):
                        await self._electorate.transfer_leadership(node_id)
            except (NotLeader, MembershipRefused, OutcomeUnknown) as refusal:
                log.info("voters not changed yet", step=type(step).__name__, of=node_id, reason=str(refusal))
                return
            log.info("voters changed", step=type(step).__name__, of=node_id, voters=len(self._electorate.voters))

    def _situation(self, nodes: list[Node]) -> Situation:
        voters, now = self._electorate.voters, trio.current_time()
        heard = self._electorate.reachable() | {self._cluster.node_id}
        for voter in voters:
            if voter in heard or voter not in self._heard_at:
                self._heard_at[voter] = now
        return Situation(
            leader=self._cluster.node_id,
            nodes=nodes,
            voters=voters,
            ready=self._electorate.learners & heard,
            silent_s={voter: now - self._heard_at[voter] for voter in voters - heard},
        )
