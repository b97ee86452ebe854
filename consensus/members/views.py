"""How a node is shown by noded's own API. Up and down are derived here, and never stored."""

from collections.abc import Collection

from consensus.members.model import Node
from noded.core.ids import NodeId
from noded.core.times import zulu


def node_view(node: Node, *, up: Collection[str], voters: Collection[str], leader: NodeId | None) -> dict[str, object]:
    """One node's JSON. `up`: the nodes that the answering node hears from."""
    return {
        "id": node.id,
        "name": node.name,
        "addresses": list(node.addresses),
        "state": "up" if node.id in up else "down",
        "role": "voter" if node.id in voters else "learner",
        "leader": node.id == leader,
        "release": node.release,
        "fingerprint": node.fingerprint,
        "admitted_at": zulu(node.admitted_at_ms),
    }
