"""How a cluster comes into being, and how nodes become members, report where they are, are changed, and go."""

from typing import ClassVar, Final

from msgspec.structs import replace

from consensus.members.model import (
    AUTHORITY,
    CLUSTER,
    NODE_GONE,
    ClusterAuthority,
    ClusterFacts,
    GoneNode,
    Node,
    NodeRole,
)
from noded.core.command import Command
from noded.core.errors import Conflict, Invalid, Unavailable
from noded.core.ids import NodeId
from noded.core.store import Transaction, View

NAME_CHARS_MAX: Final = 64
LABELS_MAX: Final = 32
LABEL_CHARS_MAX: Final = 64


class FoundCluster(Command, frozen=True, kw_only=True, tag="members.found.1"):
    """The first entry of a cluster: its name, its authority, its founder."""

    TOLD: ClassVar[str] = "founded the cluster {name}"

    cluster_id: str
    name: str
    authority_certificate_pem: str
    authority_key_pem: str
    founder: Node
    now_ms: int

    def __repr__(self) -> str:
        """The command without the key, for whatever prints it."""
        return f"{type(self).__name__}(cluster_id={self.cluster_id!r}, name={self.name!r}, authority_key_pem=<hidden>)"

    def apply(self, tx: Transaction) -> None:
        if tx.get(ClusterFacts, CLUSTER) is not None:
            raise Conflict("The cluster is founded already.")
        tx.put(ClusterFacts(cluster_id=self.cluster_id, name=self.name, founded_at_ms=self.now_ms))
        tx.put(ClusterAuthority(certificate_pem=self.authority_certificate_pem, key_pem=self.authority_key_pem))
        tx.put(self.founder)


class AdmitNode(Command, frozen=True, kw_only=True, tag="members.admit.1"):
    """A node becomes a member. Asked again (the answer was lost on the way), it finds itself admitted."""

    TOLD: ClassVar[str] = "admitted the node {name}"

    node_id: NodeId
    name: str
    addresses: tuple[str, ...]
    fingerprint: str
    release: str
    now_ms: int
    role: NodeRole = NodeRole.MEMBER

    def apply(self, tx: Transaction) -> None:
        if self.node_id != self.fingerprint[: len(self.node_id)]:
            raise Invalid(f"Node {self.node_id} has another id than its key.")
        refuse_gone(tx, self.node_id)
        _check_name_is_free(tx, self.node_id, self.name, "Set another `name` in the configuration of the new one.")
        present = tx.get(Node, self.node_id)
        if present is not None:
            tx.put(replace(present, name=self.name, addresses=self.addresses, release=self.release, role=self.role))
            return
        tx.put(
            Node(
                id=self.node_id,
                name=self.name,
                addresses=self.addresses,
                fingerprint=self.fingerprint,
                admitted_at_ms=self.now_ms,
                release=self.release,
                role=self.role,
            )
        )


class ReportNode(Command, frozen=True, kw_only=True, tag="members.report.1"):
    """A node has other addresses or runs another release than its record says. Its identity is its key, so it stays."""

    TOLD: ClassVar[str] = "reported the addresses {addresses} and release {release} of node {node_id}"

    node_id: NodeId
    addresses: tuple[str, ...]
    release: str
    role: NodeRole | None = None  # None: as it was

    def apply(self, tx: Transaction) -> None:
        node = tx.need(Node, self.node_id)
        tx.put(replace(node, addresses=self.addresses, release=self.release, role=self.role or node.role))


class DrainNode(Command, frozen=True, kw_only=True, tag="members.drain.1"):
    """A node gets nothing new (`draining`), or gives up its vote too (`leaving`); both false: it takes part again."""

    TOLD: ClassVar[str] = "set draining of node {node_id} to {draining}"

    node_id: NodeId
    draining: bool
    leaving: bool = False

    def apply(self, tx: Transaction) -> None:
        tx.put(replace(tx.need(Node, self.node_id), draining=self.draining, leaving=self.leaving))


class RenameNode(Command, frozen=True, kw_only=True, tag="members.rename.1"):
    """What people call a node."""

    TOLD: ClassVar[str] = "renamed node {node_id} to {name}"

    node_id: NodeId
    name: str

    def apply(self, tx: Transaction) -> None:
        if not 1 <= len(self.name) <= NAME_CHARS_MAX or not self.name.isprintable():
            raise Invalid(f"A node's name has 1 to {NAME_CHARS_MAX} printable characters.")
        node = tx.need(Node, self.node_id)
        _check_name_is_free(tx, self.node_id, self.name, "Choose another name.")
        tx.put(replace(node, name=self.name))


class LabelNode(Command, frozen=True, kw_only=True, tag="members.label.1"):
    """What an operator says of a node; None takes a label away. `zone`, `room`, `rack` are failure zones."""

    TOLD: ClassVar[str] = "labelled node {node_id} with {labels}"

    node_id: NodeId
    labels: dict[str, str | None]

    def apply(self, tx: Transaction) -> None:
        node = tx.need(Node, self.node_id)
        for key, value in self.labels.items():
            for text in (key, value if value is not None else "-"):
                if not 1 <= len(text) <= LABEL_CHARS_MAX or not text.isprintable():
                    raise Invalid(f"A label's key and value each have 1 to {LABEL_CHARS_MAX} printable characters.")
        labels = {key: value for key, value in (node.labels | self.labels).items() if value is not None}
        if len(labels) > LABELS_MAX:
            raise Invalid(f"A node has at most {LABELS_MAX} labels.")
        tx.put(replace(node, labels=dict(sorted(labels.items()))))


class RemoveNode(Command, frozen=True, kw_only=True, tag="members.remove.1"):
    """A node is no member any more. Before this one, in the same entry, what hung on it is settled."""

    TOLD: ClassVar[str] = "removed node {node_id} from the cluster"

    node_id: NodeId
    left: bool  # by itself; else it is forgotten
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        node = tx.need(Node, self.node_id)
        if tx.count(Node) == 1:
            raise Conflict(f"Node {node.name} is the cluster's only one: nothing would be left of the cluster.")
        tx.delete(Node, node.id)
        tx.put(
            GoneNode(
                id=node.id,
                name=node.name,
                fingerprint=node.fingerprint,
                gone_at_ms=self.now_ms,
                left=self.left,
            )
        )


# --- what other services call -----------------------------------------------------------------------------------------


def refuse_gone(view: View, node_id: NodeId) -> None:
    """Raise `Conflict` with `NODE_GONE` if the node was one and is none any more."""
    gone = view.get(GoneNode, node_id)
    if gone is not None:
        raise Conflict(gone_words(gone), code=NODE_GONE)


def refuse_stranger(view: View, node_id: NodeId) -> None:
    """Raise `Conflict` for a node that is gone, and `Unavailable` for one that no record names.

    A stolen authority's key makes certificates for nodes that nobody admitted: the records pin the keys of members. A
    node that lags behind refuses a new member too, until it has caught up; links of the log are not refused so, for by
    those it catches up.
    """
    refuse_gone(view, node_id)
    if view.get(ClusterFacts, CLUSTER) is not None and view.get(Node, node_id) is None:
        raise Unavailable(
            f"No record here names node {node_id}: it was never admitted, or only a moment ago. Ask again."
        )


def gone_words(gone: GoneNode) -> str:
    """What a node that is gone is told."""
    return (
        f"Node {gone.name} ({gone.id}) {'left this cluster' if gone.left else 'was forgotten by this cluster'}:"
        " it is refused under its old key. It can join anew, under a new one, once its old state has been set aside."
    )


def replace_authority(tx: Transaction, certificate_pem: str, key_pem: str) -> None:
    """Another authority signs from now on (`consensus/certificates/`)."""
    authority = tx.need(ClusterAuthority, AUTHORITY)
    tx.put(replace(authority, certificate_pem=certificate_pem, key_pem=key_pem))


def takes_work(view: View, node_id: NodeId) -> bool:
    """Whether new servers and replicas may be placed on a node; one that no record names yet is not held back."""
    node = view.get(Node, node_id)
    return node is None or node.takes_work


def _check_name_is_free(tx: Transaction, node_id: NodeId, name: str, fix: str) -> None:
    namesakes = [node for node in tx.find(Node, "name", name) if node.id != node_id]
    if namesakes:
        raise Conflict(f"Another node, {namesakes[0].id}, is already called {name}. {fix}")
