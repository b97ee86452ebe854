"""What keeps a page true and handsome: the stream that says when to look again, and the dashboard's own files."""

from collections.abc import AsyncIterator
from importlib.resources import files

import trio

from consensus.liveness.links import Watch
from noded.core.errors import NotFound
from noded.core.ids import Revision
from noded.core.route import Allow, Request, Response, Route
from noded.dashboard.render import SECURITY_HEADERS
from noded.inspection.links import Registry

EVENTS_APART_S = 1.0  # at most one notice a second and browser, however much changes
HEARTBEAT_S = 15.0  # tells a dead connection from a quiet one

_STATIC = {
    "style.css": "text/css; charset=utf-8",
    "upload.js": "text/javascript; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


async def events(request: Request) -> Response:
    """GET /events: server-sent events (HTML Living Standard, 9.2); each says that something changed."""
    return Response(
        content=_events(request),
        content_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _events(request: Request) -> AsyncIterator[bytes]:
    kinds = [record for service in request.driver(Registry).services for record in service.records]
    watch = request.driver(Watch)
    seen: Revision = request.cluster.view().revision
    looks, silent_s = _looks(watch), 0.0
    yield b"retry: 2000\n\n"
    while True:
        with trio.move_on_after(EVENTS_APART_S) as waiting:
            seen = await request.cluster.changed(kinds, seen)
        if waiting.cancelled_caught and looks == (looks := _looks(watch)):
            if (silent_s := silent_s + EVENTS_APART_S) >= HEARTBEAT_S:
                silent_s = 0.0
                yield b": still here\n\n"
            continue
        silent_s = 0.0
        yield f"id: {seen}\nevent: changed\ndata: {seen}\n\n".encode()
        await trio.sleep(EVENTS_APART_S)


def _looks(watch: Watch) -> object:
    """What pages show and no record holds: a node that is cut off hears of no change of any record."""
    return watch.outlook(), {sight.node_id: (sight.state, sight.missed_by) for sight in watch.sights().values()}


async def static(request: Request) -> Response:
    """GET /static/{name}: the dashboard's own style, script and icon."""
    name = request.params["name"]
    if name not in _STATIC:
        raise NotFound.of("file", name)
    content = (files("noded.dashboard") / "static" / name).read_bytes()
    headers = {**SECURITY_HEADERS, "cache-control": "max-age=300"}
    return Response(content=content, content_type=_STATIC[name], headers=headers)


ROUTES = (
    Route(verb="GET", path="/events", handler=events, allow=Allow.READER),
    Route(verb="GET", path="/static/{name}", handler=static, allow=Allow.ANYONE),
)
