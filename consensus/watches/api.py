"""Answers which records changed after a revision: at once, when something does, or as a stream that goes on."""

from collections.abc import AsyncIterator, Collection
from typing import Final

import trio

from consensus.watches.links import Kinds
from consensus.watches.views import changes_event, changes_view
from noded.core.cluster import Cluster
from noded.core.errors import Invalid
from noded.core.ids import Revision
from noded.core.record import Record
from noded.core.route import Allow, Request, Response, Route
from noded.core.watch import Watched

WAIT_S_MAX: Final = 30  # how long an answer may wait for a change
STREAM_S_MAX: Final = 300.0  # then the client resumes, and its token is looked at again
HEARTBEAT_S: Final = 15.0  # tells a dead stream from a quiet one
EVENTS_APART_S: Final = 0.1  # what changes meanwhile comes with the next event
_EVENT_STREAM: Final = "text/event-stream"


async def watch(request: Request) -> Response:
    """GET /noded/v1/watch: the records that changed after revision `after` (without it: after now), of `kinds`.

    `Accept: text/event-stream` gives a stream, resumed with `Last-Event-ID`; else one answer, empty after `wait`
    seconds. Only kinds and ids are told; read the things themselves where they are served.
    """
    kinds = _kinds(request)
    # A browser that resumes a stream asks with the address of its beginning, and says in a header how far it came.
    after = _number("Last-Event-ID", request.headers.get("last-event-id", ""))
    if after is None:
        after = _number("after", request.query.get("after", ""))
    start = request.cluster.view().revision if after is None else Revision(after)
    if _EVENT_STREAM in request.headers.get("accept", ""):
        return Response(
            content=_events(request.cluster, kinds, start),
            content_type=_EVENT_STREAM,
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )
    wait_s = _number("wait", request.query.get("wait", ""))
    watched = Watched(revision=start)
    with trio.move_on_after(WAIT_S_MAX if wait_s is None else min(wait_s, WAIT_S_MAX)):
        watched = await request.cluster.watch(kinds, start)
    return Response(body=changes_view(watched))


async def _events(cluster: Cluster, kinds: Collection[type[Record]], after: Revision) -> AsyncIterator[bytes]:
    # The first event says where the stream begins, so that a client that lists now misses nothing.
    yield b"retry: 2000\n\n" + changes_event(Watched(revision=after))
    end = trio.current_time() + STREAM_S_MAX
    while trio.current_time() < end:
        watched = None
        with trio.move_on_after(HEARTBEAT_S):
            watched = await cluster.watch(kinds, after)
        if watched is None:
            yield b": still here\n\n"
            continue
        yield changes_event(watched)
        after = watched.revision
        await trio.sleep(EVENTS_APART_S)


def _kinds(request: Request) -> list[type[Record]]:
    known = request.driver(Kinds).kinds
    asked = [kind for value in request.query_all("kinds") for kind in value.split(",") if kind]
    unknown = sorted(set(asked) - known.keys())
    if unknown:
        named = ", ".join(kind[:64] for kind in unknown[:5])
        raise Invalid(f"`kinds` names what is no kind of record: {named}. Known are: {', '.join(sorted(known))}.")
    return [known[kind] for kind in dict.fromkeys(asked)] or list(known.values())


def _number(name: str, text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Invalid(f"`{name}` must be a whole number, zero or more; it is {text[:50]!r}.")
    return int(text)


ROUTES = (Route(verb="GET", path="/watch", handler=watch, allow=Allow.ADMIN),)
