"""Which volumes are there?"""

from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import views
from noded.dashboard.pages.asking import ask, show
from noded.dashboard.pages.paths import VOLUME


async def list_volumes(request: Request) -> Response:
    """GET /volumes."""
    answer = await ask(request, "GET", f"{VOLUME}/{request.caller.project}/volumes/detail")
    return show(request, "volumes.html", volumes=answer.all("volumes"), fault=answer.fault, tone=views.tone)


ROUTES = (Route(verb="GET", path="/volumes", handler=list_volumes, allow=Allow.READER),)
