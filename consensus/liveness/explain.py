"""Why is a node taken for up or down: who hears it, since when, and what it became lately."""

from consensus.liveness.links import Watch
from consensus.liveness.model import NodeVerdict
from consensus.liveness.views import changes_view, outlook_view, sight_view
from consensus.members.model import Node
from noded.core.errors import NotFound
from noded.core.ids import NodeId
from noded.core.service import PeerContext
from noded.core.store import View


async def explain_node(context: PeerContext, name: str) -> dict[str, object]:
    """Answer `noded explain node NAME`; a name or an id."""
    view, watch = context.cluster.view(), context.drivers.get(Watch)
    node = _node(view, name)
    names = {each.id: each.name for each in view.all(Node)}
    sight = watch.sights().get(node.id)
    if sight is None:
        raise NotFound(f"Node {node.name} is a member, but this node has not looked at it yet: try again in a second.")
    shown = sight_view(sight, names, view.get(NodeVerdict, node.id))
    return {
        "node": {"name": node.name, "id": node.id, "addresses": list(node.addresses), "release": node.release},
        "state": {key: shown[key] for key in ("state", "since", "seen_by", "missed_by", "declared_down_at")},
        "flapping": {
            "times it was lost lately": shown["flaps"],
            "seconds it must be heard before it is up again": shown["steady_s"],
        },
        "what it became lately": changes_view(watch.changes(node.id), names),
        "seen from": {"node": names.get(context.cluster.node_id, ""), **outlook_view(watch.outlook())},
    }


def _node(view: View, name: str) -> Node:
    found = view.get(Node, NodeId(name)) or next(iter(view.find(Node, "name", name)), None)
    if found is None:
        raise NotFound.of("node", name)
    return found
