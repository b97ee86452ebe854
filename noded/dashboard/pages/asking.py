"""How does a page ask the APIs as the signed-in user, and how does it answer the browser? Shared by every page."""

from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote

import trio

from consensus.liveness.links import Watch
from noded.core.route import Done, Request, Response
from noded.dashboard import session, views
from noded.dashboard.links import Answer, LocalApi
from noded.dashboard.render import disabled, page


async def ask(
    request: Request,
    verb: str,
    path: str,
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
    content: AsyncIterator[bytes] | None = None,
) -> Answer:
    """Call an API as the signed-in user, with `body` as JSON or `content` as it comes."""
    token = session.token_of(request.headers)
    return await request.driver(LocalApi).call(verb, path, token=token, body=body, headers=headers, content=content)


async def ask_all(request: Request, **paths: str) -> dict[str, Answer]:
    """GET several paths at once."""
    answers: dict[str, Answer] = {}

    async def one(name: str, path: str) -> None:
        answers[name] = await ask(request, "GET", path)

    async with trio.open_nursery() as nursery:
        for name, path in paths.items():
            nursery.start_soon(one, name, path)
    return answers


def show(request: Request, template: str, **values: object) -> Response:
    """A page, or with `?part` only its live part for the script to put in place.

    What this node may do now is no user's affair, so it is asked of the node itself: it must be shown to everyone.
    """
    part = "part" in request.query
    cut_off = views.cut_off(request.driver(Watch).outlook(), request.cluster.view().revision)
    return page(
        template,
        layout="part.html" if part else "layout.html",
        caller=request.caller,
        path=request.path,
        notice=request.query.get("notice", ""),
        cut_off=cut_off,
        off=disabled(cut_off["why"] if cut_off else ""),
        **values,
    )


def go(path: str, notice: str = "") -> Response:
    """To another page after a form, with a word on what came of it."""
    target = f"{path}?notice={quote(notice)}" if notice else path
    return Response(headers={"location": target}, done=Done.SEE_OTHER)
