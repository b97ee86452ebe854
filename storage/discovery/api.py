"""Which Cinder versions are served, and where."""

from noded.core.route import Allow, Done, Request, Response, Route
from storage.discovery.views import versions


async def list_versions(request: Request) -> Response:
    """Every version."""
    return Response(body=versions(request.base_url))


async def show_version(request: Request) -> Response:
    """The one that there is."""
    return Response(body=versions(request.base_url))


ROUTES = (
    Route(verb="GET", path="", handler=list_versions, allow=Allow.ANYONE, done=Done.CHOICES),
    Route(verb="GET", path="/v3", handler=show_version, allow=Allow.ANYONE),
)
