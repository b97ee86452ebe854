"""What keeps the log's address book, its voters, this node's record and its certificates as the records say."""

from datetime import timedelta

import structlog

from consensus.links import Discovery
from consensus.log import MembershipRefused, NotLeader, OutcomeUnknown
from consensus.members.commands import ReportNode
from consensus.members.links import Certificates, Electorate, PeerBook, Presence, authority_in
from consensus.members.model import ClusterAuthority, Node
from consensus.members.plan import VOTERS_MAX, best_addresses, next_voter
from consensus.ports import RAFT_PORT
from noded.core.cluster import Cluster
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from noded.core.record import Record

log = structlog.get_logger(__name__)


class MembersReconciler:
    """Every node: dials others where their records say, and reports itself. The leader: sees to the voters."""

    name = "members"
    watches: tuple[type[Record], ...] = (Node,)
    # Learners become ready without any record's changing, so the leader looks again soon.
    period_s = 1.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._electorate = drivers.get(Electorate)
        self._presence = drivers.get(Presence)
        self._book = drivers.get(PeerBook)
        self._discovery = drivers.get(Discovery)
        self._told: dict[NodeId, str] = {}
        self._kept: dict[NodeId, tuple[str, ...]] = {}

    async def reconcile(self) -> None:
        """One pass."""
        nodes = self._cluster.view().all(Node)
        others = [node for node in nodes if node.id != self._cluster.node_id]
        for node_id, address in best_addresses(others, self._discovery.sightings()).items():
            if self._told.get(node_id) != address:
                self._told[node_id] = address
                self._electorate.set_peer(node_id, (address, RAFT_PORT))
        await self._keep({node.id: node.addresses for node in others})
        await self._report(nodes)
        if self._electorate.is_leader:
            await self._promote([node.id for node in nodes])

    async def _keep(self, addresses: dict[NodeId, tuple[str, ...]]) -> None:
        if addresses and addresses != self._kept:
            await self._book.keep(addresses)
            self._kept = addresses

    async def _report(self, nodes: list[Node]) -> None:
        present = (self._presence.addresses, self._presence.release)
        own = next((node for node in nodes if node.id == self._cluster.node_id), None)
        if own is not None and (own.addresses, own.release) != present:
            addresses, release = present
            await self._cluster.propose(ReportNode(node_id=own.id, addresses=addresses, release=release))

    async def _promote(self, members: list[NodeId]) -> None:
        # One after another in the same pass: with two voters the loss of either one would stop the cluster.
        for _ in range(VOTERS_MAX):
            chosen = next_voter(members, self._electorate.voters, self._electorate.learners)
            if chosen is None:
                return
            try:
                await self._electorate.promote(chosen)
            except (NotLeader, MembershipRefused, OutcomeUnknown) as refusal:
                log.info("voter not added yet", node=chosen, reason=str(refusal))
                return
            log.info("voter added", node=chosen, voters=len(self._electorate.voters))


class CertificatesReconciler:
    """Every node: renews its own certificates early, with the authority that its store holds."""

    name = "certificates"
    watches: tuple[type[Record], ...] = (ClusterAuthority,)
    period_s = timedelta(hours=1).total_seconds()

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._certificates = drivers.get(Certificates)

    async def reconcile(self) -> None:
        """One pass."""
        authority = authority_in(self._cluster.view())
        if authority is not None and await self._certificates.keep(authority):
            log.info("certificates renewed")
