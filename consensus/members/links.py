"""What other rooms ask of the members' records, and what the members' reconcilers ask of this node."""

from collections.abc import Collection, Mapping
from typing import Protocol

from consensus.authority import Authority
from consensus.members.model import AUTHORITY, ClusterAuthority, Node, NodeRole
from noded.core.departure import Departure, Leaver
from noded.core.ids import NodeId
from noded.core.store import View


def authority_in(view: View) -> Authority | None:
    """The cluster's authority, or None while this node has not applied the founding."""
    record = view.get(ClusterAuthority, AUTHORITY)
    if record is None:
        return None
    return Authority(record.certificate_pem.encode(), record.key_pem.encode())


def addresses_in(view: View, node_id: NodeId) -> tuple[str, ...]:
    """Where a node was last known to be, best first."""
    node = view.get(Node, node_id)
    return node.addresses if node else ()


class Electorate(Protocol):
    """Who votes on the log, and where its nodes are dialed. `consensus.host.raft.RaftNode` is one."""

    @property
    def is_leader(self) -> bool:
        """Whether this node leads the log."""

    @property
    def voters(self) -> frozenset[str]:
        """The voters of the newest configuration that this node knows."""

    @property
    def learners(self) -> frozenset[str]:
        """Nodes that follow the log without a vote and have a link to this one."""

    def set_peer(self, node_id: str, address: tuple[str, int]) -> None:
        """Where a peer is dialed from now on."""

    def record_peer(self, node_id: str, address: tuple[str, int]) -> None:
        """Where a peer is by the records: dialed in turn with what `set_peer` says, which may be a lie."""

    def drop_peer(self, node_id: str) -> None:
        """Hang up on a peer, and refuse it from now on."""

    def reachable(self) -> frozenset[str]:
        """Peers with a live, recently heard link. Learners have links to voters only."""

    async def promote(self, node_id: str) -> None:
        """Make a learner a voter once it has caught up. Raises NotLeader, MembershipRefused, OutcomeUnknown."""

    async def demote(self, node_id: str) -> None:
        """Make another voter a learner. Raises NotLeader, MembershipRefused, OutcomeUnknown."""

    async def transfer_leadership(self, node_id: str | None) -> None:
        """Let another voter lead. Raises NotLeader, MembershipRefused."""


class Presence(Protocol):
    """What this node is now, as far as its record says so too. `consensus.admission.EntryConfig` is one."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it can be reached, best first."""

    @property
    def release(self) -> str:
        """Which release it runs."""

    @property
    def role(self) -> NodeRole:
        """What it gives to the cluster."""


class PeerBook(Protocol):
    """Where the others were last known to be, on this node's disk: after a power cut the log has to be found first."""

    async def keep(self, addresses: Mapping[NodeId, tuple[str, ...]], gone: Collection[NodeId]) -> None:
        """Remember these addresses and no others, and whom this host's other processes must refuse."""


class Dependants(Protocol):
    """What the services of this daemon say of a node that is to go."""

    def departure(self, view: View, leaver: Leaver) -> Departure:
        """What hangs on the node, and what settles it. Pure."""


class Exit(Protocol):
    """How this node stops being a member."""

    def leave(self, why: str) -> None:
        """It is none any more: set its state aside and start over as an unclaimed node, soon. Again: nothing."""
