"""What do other rooms ask of the members' records?"""

from consensus.authority import Authority
from consensus.members.model import AUTHORITY, ClusterAuthority, Node
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
