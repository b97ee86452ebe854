"""Which Neutron versions are served, and where."""

from net.discovery.views import version_view
from noded.core.route import Allow, Request, Response, Route


async def list_versions(request: Request) -> Response:
    """GET /network/: every version. Unlike other services Neutron answers with a plain success."""
    return Response(body={"versions": [version_view(request.base_url)]})


ROUTES = (Route(verb="GET", path="/", handler=list_versions, allow=Allow.ANYONE),)
