"""Which Glance versions are served, and where."""

from images.discovery.views import versions
from noded.core.route import Allow, Done, Request, Response, Route


async def list_versions(request: Request) -> Response:
    """Every version."""
    return Response(body=versions(request.base_url))


ROUTES = (
    Route(verb="GET", path="", handler=list_versions, allow=Allow.ANYONE, done=Done.CHOICES),
    Route(verb="GET", path="/versions", handler=list_versions, allow=Allow.ANYONE),
)
