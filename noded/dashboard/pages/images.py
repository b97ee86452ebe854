"""Which images are there?"""

from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import views
from noded.dashboard.pages.asking import ask, show
from noded.dashboard.pages.paths import IMAGE


async def list_images(request: Request) -> Response:
    """GET /images."""
    answer = await ask(request, "GET", f"{IMAGE}/images")
    return show(request, "images.html", images=answer.all("images"), fault=answer.fault, tone=views.tone)


ROUTES = (Route(verb="GET", path="/images", handler=list_images, allow=Allow.READER),)
