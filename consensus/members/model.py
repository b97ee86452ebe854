"""What the cluster knows of itself: its name, its authority, and its nodes."""

from typing import Any, ClassVar, Final

from noded.core.ids import NodeId
from noded.core.record import Record

# There is one of each in a store, so their ids are words.
CLUSTER: Final = "cluster"
AUTHORITY: Final = "authority"


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
