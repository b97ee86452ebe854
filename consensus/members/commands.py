"""How a cluster comes into being, and how nodes become members and report where they are."""

from consensus.members.model import CLUSTER, ClusterAuthority, ClusterFacts, Node
from noded.core.command import Command
from noded.core.errors import Conflict, Invalid
from noded.core.ids import NodeId
from noded.core.store import Transaction


class FoundCluster(Command, frozen=True, kw_only=True, tag="members.found.1"):
    """The first entry of a cluster: its name, its authority, its founder."""

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

    node_id: NodeId
    name: str
    addresses: tuple[str, ...]
    fingerprint: str
    release: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        if self.node_id != self.fingerprint[: len(self.node_id)]:
            raise Invalid(f"Node {self.node_id} has another id than its key.")
        namesakes = [node for node in tx.find(Node, "name", self.name) if node.id != self.node_id]
        if namesakes:
            raise Conflict(
                f"Another node, {namesakes[0].id}, is already called {self.name}. Set another `name` in the"
                " configuration of the new one."
            )
        present = tx.get(Node, self.node_id)
        tx.put(
            Node(
                id=self.node_id,
                name=self.name,
                addresses=self.addresses,
                fingerprint=self.fingerprint,
                admitted_at_ms=present.admitted_at_ms if present else self.now_ms,
                release=self.release,
            )
        )


class ReportNode(Command, frozen=True, kw_only=True, tag="members.report.1"):
    """A node has other addresses or runs another release than its record says. Its identity is its key, so it stays."""

    node_id: NodeId
    addresses: tuple[str, ...]
    release: str

    def apply(self, tx: Transaction) -> None:
        node = tx.need(Node, self.node_id)
        tx.put(
            Node(
                id=node.id,
                name=node.name,
                addresses=self.addresses,
                fingerprint=node.fingerprint,
                admitted_at_ms=node.admitted_at_ms,
                release=self.release,
            )
        )
