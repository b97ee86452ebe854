"""Answers /metrics: what this node measures of itself. Each node is asked for its own; the key is the same on all."""

import hashlib
import hmac
from typing import Final

from noded.core.errors import Unauthenticated
from noded.core.route import Allow, Request, Response, Route
from noded.core.service import Endpoint, FaultStyle
from noded.metrics.authority import READ
from noded.metrics.model import SCRAPE, ScrapeKey
from noded.metrics.views import CONTENT_TYPE

METRICS: Final = Endpoint(
    name="noded-metrics", types=(), prefix="/metrics", fault_style=FaultStyle.NODED, in_catalog=False
)
BEARER: Final = "Bearer "


async def show_metrics(request: Request) -> Response:
    """GET /metrics, with `Authorization: Bearer KEY`: a user's token ends too soon for a scraper."""
    key = request.cluster.view().get(ScrapeKey, SCRAPE)
    given = request.headers.get("authorization", "")
    shown = given.removeprefix(BEARER) if given.startswith(BEARER) else ""
    if key is None or not hmac.compare_digest(hashlib.sha256(shown.encode()).hexdigest(), key.sha256):
        raise Unauthenticated(
            "Metrics are read with `Authorization: Bearer KEY`. `noded metrics key` on any node makes a key."
        )
    text = await request.cluster.call(request.cluster.node_id, READ, b"")
    return Response(content=text, content_type=CONTENT_TYPE)


ROUTES = (Route(verb="GET", path="/", handler=show_metrics, allow=Allow.ANYONE),)
