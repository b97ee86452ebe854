"""Who changed what, when and from where? The timeline of everything, or of one object: `/history?object=ID`."""

from typing import Any
from urllib.parse import urlencode

from noded.core.route import Allow, Request, Response, Route
from noded.dashboard.pages.asking import ask, show
from noded.dashboard.pages.paths import NODED

LINES = 100
_FILTERS = ("object", "user", "since", "until")


async def show_history(request: Request) -> Response:
    """GET /history. Administrators see everything, others what surely is their project's."""
    filters = {name: value for name in _FILTERS if (value := request.query.get(name, "").strip())}
    before = request.query.get("before", "")
    query = {**filters, "limit": str(LINES), **({"before": before} if before else {})}
    answer = await ask(request, "GET", f"{NODED}/history?{urlencode(query)}")
    found: dict[str, Any] = answer.body if answer.ok else {}
    older = found.get("older")
    return show(
        request,
        "history.html",
        filters={name: filters.get(name, "") for name in _FILTERS},
        lines=found.get("lines", []),
        head=found.get("head", ""),
        kept_after=found.get("kept_after", 0),
        older=older and f"/history?{urlencode({**filters, 'before': str(older)})}",
        fault=answer.fault,
    )


ROUTES = (Route(verb="GET", path="/history", handler=show_history, allow=Allow.READER),)
