"""Which Cinder versions are served, and where."""

from noded.core.route import Allow, Done, Request, Response, Route
from storage.discovery.views import versions
from storage.endpoint import ZONE


async def list_versions(request: Request) -> Response:
    """Every version."""
    return Response(body=versions(request.base_url))


async def show_version(request: Request) -> Response:
    """The one that there is."""
    return Response(body=versions(request.base_url))


async def list_zones(request: Request) -> Response:  # noqa: ARG001  # every handler takes the request
    """The one availability zone."""
    zone = {"zoneName": ZONE, "zoneState": {"available": True}}
    return Response(body={"availabilityZoneInfo": [zone]})


ROUTES = (
    Route(verb="GET", path="", handler=list_versions, allow=Allow.ANYONE, done=Done.CHOICES),
    Route(verb="GET", path="/v3", handler=show_version, allow=Allow.ANYONE),
    Route(verb="GET", path="/v3/os-availability-zone", handler=list_zones, allow=Allow.READER),
)
