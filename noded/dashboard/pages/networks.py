"""Which networks are there, and what is on them?"""

from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import views
from noded.dashboard.pages.asking import ask_all, show
from noded.dashboard.pages.paths import NETWORK


async def list_networks(request: Request) -> Response:
    """GET /networks."""
    found = await ask_all(
        request, networks=f"{NETWORK}/networks", subnets=f"{NETWORK}/subnets", ports=f"{NETWORK}/ports"
    )
    return show(
        request,
        "networks.html",
        networks=found["networks"].all("networks"),
        subnets=found["subnets"].all("subnets"),
        ports=found["ports"].all("ports"),
        fault=found["networks"].fault,
        tone=views.tone,
    )


ROUTES = (Route(verb="GET", path="/networks", handler=list_networks, allow=Allow.READER),)
