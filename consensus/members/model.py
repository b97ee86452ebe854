"""What the cluster knows of itself: its name, its authority, its nodes, and those that were its nodes."""

from enum import StrEnum
from typing import Any, ClassVar, Final

import msgspec

from noded.core.ids import NodeId
from noded.core.record import Record

# There is one of each in a store, so their ids are words.
CLUSTER: Final = "cluster"
AUTHORITY: Final = "authority"

# Failure zones, widest first: what a label of one of these keys names may fail as a whole.
ZONE_LABELS: Final = ("zone", "room", "rack")
NODE_GONE: Final = "NodeGone"  # the code of a refusal that tells a node that it is no member any more


class NodeRole(StrEnum):
    """What a node gives to the cluster."""

    MEMBER = "member"  # its CPUs, disks and network
    WITNESS = "witness"  # its vote alone


class ClusterFacts(Record, frozen=True, kw_only=True, tag="cluster.1"):
    """Which cluster this store is of."""

    NOUN: ClassVar[str] = "cluster"

    id: str = CLUSTER
    cluster_id: str
    name: str
    founded_at_ms: int


class ClusterAuthority(Record, frozen=True, kw_only=True, tag="cluster_authority.1"):
    """The cluster's certificate authority. Every member holds the key, so every member can admit. No API shows it."""

    NOUN: ClassVar[str] = "cluster authority"

    id: str = AUTHORITY
    certificate_pem: str
    key_pem: str

    def __repr__(self) -> str:
        """The record without its key, for whatever prints it."""
        return f"{type(self).__name__}(id={self.id!r}, key_pem=<hidden>)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same for rich, which would otherwise read the fields."""
        return [("id", self.id)]


class Node(Record, frozen=True, kw_only=True, tag="node.1"):
    """A member: its key, and where it was last known to be."""

    INDEXED: ClassVar[tuple[str, ...]] = ("name",)
    NOUN: ClassVar[str] = "node"

    id: NodeId
    name: str
    addresses: tuple[str, ...]  # best first; soft: ReportNode changes them
    fingerprint: str  # SHA-256 of its public key
    admitted_at_ms: int
    release: str
    role: NodeRole = NodeRole.MEMBER
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    draining: bool = False  # it gets nothing new: no servers, no replicas, no vote
    leaving: bool = False  # it gives up its vote too, to go for good

    @property
    def takes_work(self) -> bool:
        """Whether new servers and replicas may be placed on it."""
        return self.role is NodeRole.MEMBER and not self.draining and not self.leaving


class GoneNode(Record, frozen=True, kw_only=True, tag="gone_node.1"):
    """A node that left or was forgotten. Its id follows from its key, so whoever shows that key is refused for ever."""

    NOUN: ClassVar[str] = "former node"

    id: NodeId
    name: str
    fingerprint: str
    gone_at_ms: int
    left: bool  # by itself; else it was forgotten
