"""Which machines are there, and how are they? For the cloud's administrators."""

from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import views
from noded.dashboard.pages.asking import ask, show
from noded.dashboard.pages.paths import STATUS


async def list_nodes(request: Request) -> Response:
    """GET /nodes: the machines, for the cloud's administrators."""
    answer = await ask(request, "GET", STATUS)
    status = answer.body if answer.ok else None
    return show(request, "nodes.html", status=status, nodes=views.nodes(status), fault=answer.fault)


ROUTES = (Route(verb="GET", path="/nodes", handler=list_nodes, allow=Allow.ADMIN),)
