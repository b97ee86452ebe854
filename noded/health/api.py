"""Answers /healthz."""

from typing import Final

from noded.core.errors import Unavailable
from noded.core.route import Allow, Request, Response, Route
from noded.core.service import Endpoint, FaultStyle

HEALTH: Final = Endpoint(
    name="noded-health", types=(), prefix="/healthz", fault_style=FaultStyle.NODED, in_catalog=False
)


async def show_health(request: Request) -> Response:
    """GET /healthz: ready when this node has the cluster's state, is on the side of a majority, and knows who leads."""
    revision = request.cluster.view().revision
    if revision == 0:
        raise Unavailable("This node has not received the cluster's state yet.")
    if not request.cluster.has_majority:
        raise Unavailable(
            "This node sees no majority of the voting nodes: reads are served as they were at revision"
            f" {revision}, changes are refused."
        )
    if request.cluster.leader_id is None:
        raise Unavailable("No node leads the cluster at this moment: reads are served, changes are not.")
    return Response(body={"status": "ready"}, headers={"Cache-Control": "no-store"})


ROUTES = (Route(verb="GET", path="/", handler=show_health, allow=Allow.ANYONE),)
