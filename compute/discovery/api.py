"""Which Nova versions are served, and where."""

from compute.discovery.views import VERSIONS, version_detail, version_summary
from noded.core.route import Allow, Request, Response, Route


async def list_versions(request: Request) -> Response:
    """Every version. Unlike other services Nova answers with a plain success, not with "multiple choices"."""
    return Response(body={"versions": [version_summary(version, request.base_url) for version in VERSIONS]})


async def show_v2_0(request: Request) -> Response:
    """The first generation: the same resources, without microversions."""
    return Response(body={"version": version_detail("v2.0", request.base_url)})


async def show_v2_1(request: Request) -> Response:
    """The generation with microversions."""
    return Response(body={"version": version_detail("v2.1", request.base_url)})


# Clients write these paths with and without the slash at the end; the gateway takes both.
ROUTES = tuple(
    Route(verb="GET", path=path, handler=handler, allow=Allow.ANYONE)
    for path, handler in (("", list_versions), ("/v2", show_v2_0), ("/v2.1", show_v2_1))
)
