"""What is the whole cloud like, on one screen?"""

from typing import Any

from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import views
from noded.dashboard.pages.asking import ask_all, show
from noded.dashboard.pages.paths import COMPUTE, IMAGE, NETWORK, STATUS, VOLUME
from noded.dashboard.pages.servers import server_lines


async def overview(request: Request) -> Response:
    """GET /: the whole cloud on one screen."""
    found = await ask_all(
        request,
        status=STATUS,
        servers=f"{COMPUTE}/servers/detail",
        flavors=f"{COMPUTE}/flavors/detail",
        images=f"{IMAGE}/images",
        networks=f"{NETWORK}/networks",
        volumes=f"{VOLUME}/{request.caller.project}/volumes/detail",
    )
    status: Any = found["status"].body if found["status"].ok else None
    return show(
        request,
        "overview.html",
        status=status,
        nodes=views.nodes(status),
        servers=server_lines(found),
        images=found["images"].all("images"),
        networks=found["networks"].all("networks"),
        volumes=found["volumes"].all("volumes"),
    )


ROUTES = (Route(verb="GET", path="/", handler=overview, allow=Allow.READER),)
