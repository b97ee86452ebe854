"""Answers which resources and extensions there are (Networking API v2.0, sections "API versions", "Extensions")."""

from net.extensions.views import extension_views, resource_views
from net.listing import selected
from noded.core.errors import NotFound
from noded.core.route import Allow, Request, Response, Route


async def list_resources(request: Request) -> Response:
    """GET /: the API's collections."""
    return Response(body={"resources": resource_views(request.base_url)})


async def list_extensions(request: Request) -> Response:
    """GET /extensions."""
    return Response(body={"extensions": [selected(request, view) for view in extension_views()]})


async def show_extension(request: Request) -> Response:
    """GET /extensions/{alias}."""
    alias = request.params["alias"]
    for view in extension_views():
        if view["alias"] == alias:
            return Response(body={"extension": view})
    raise NotFound(f"The extension {alias[:64]} is not offered.", code="ExtensionsNotFound")


ROUTES = (
    Route(verb="GET", path="/", handler=list_resources, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path="/extensions", handler=list_extensions, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path="/extensions/{alias}", handler=show_extension, allow=Allow.ANY_TOKEN),
)
