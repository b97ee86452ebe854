"""Answers who is up, seen by whom, since when; and what the answering node itself may do."""

from consensus.liveness.links import Watch
from consensus.liveness.model import NodeVerdict
from consensus.liveness.views import outlook_view, sight_view
from consensus.members.model import Node
from noded.core.ids import NodeId
from noded.core.route import Allow, Request, Response, Route
from noded.core.store import View


def names_in(view: View) -> dict[NodeId, str]:
    """The members' names by id."""
    return {node.id: node.name for node in view.all(Node)}


async def list_sights(request: Request) -> Response:
    """GET /noded/v1/liveness: every member as the answering node sees it."""
    view, watch = request.cluster.view(), request.driver(Watch)
    names = names_in(view)
    sights = [
        sight_view(sight, names, view.get(NodeVerdict, sight.node_id))
        for sight in sorted(watch.sights().values(), key=lambda sight: names.get(sight.node_id, sight.node_id))
    ]
    return Response(body={"nodes": sights, "outlook": outlook_view(watch.outlook())})


async def show_outlook(request: Request) -> Response:
    """GET /noded/v1/outlook: whether changes can be made through this node, and who is missing."""
    view = request.cluster.view()
    outlook = outlook_view(request.driver(Watch).outlook())
    return Response(body={"outlook": outlook | {"node": request.cluster.node_id, "revision": view.revision}})


ROUTES = (
    Route(verb="GET", path="/liveness", handler=list_sights, allow=Allow.ADMIN),
    Route(verb="GET", path="/outlook", handler=show_outlook, allow=Allow.READER),
)
