"""Which machines are there, how are they, and what may be done to one? For the cloud's administrators."""

from typing import Any
from urllib.parse import quote

from noded.core.errors import NotFound
from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import session, views
from noded.dashboard.pages.asking import ask, ask_all, go, show
from noded.dashboard.pages.paths import NODED, STATUS

_REMOVALS = {"leave", "forget"}
_DONE = {
    "drain": "gets nothing new from now on.",
    "undrain": "takes part again.",
    "rename": "has its new name.",
    "label": "has its new labels.",
    "leave": "left the cluster.",
    "forget": "is no member any more.",
}


async def list_nodes(request: Request) -> Response:
    """GET /nodes: every machine, as this node sees it."""
    found = await ask_all(request, status=STATUS, listing=f"{NODED}/nodes")
    status, listing = found["status"].body_or_none, found["listing"].body_or_none
    return show(
        request,
        "nodes.html",
        nodes=views.nodes(status, listing),
        former=(listing or {}).get("former", []),
        hints=(status or {}).get("hints", []),
        fault=found["status"].fault or found["listing"].fault,
    )


async def show_node(request: Request) -> Response:
    """GET /nodes/{node_id}: one machine, what it holds, what it became lately, and what may be done to it."""
    path = _path(request)
    explained = f"{NODED}/explain/node/{_quoted(request)}"
    found = await ask_all(request, node=path, status=STATUS, listing=f"{NODED}/nodes", explained=explained)
    if not found["node"].ok:
        raise NotFound(found["node"].fault)
    record: Any = found["node"].body
    lines = views.nodes(found["status"].body_or_none, found["listing"].body_or_none)
    line = next((each for each in lines if each["id"] == record["node"]["id"]), None)
    explanation: Any = found["explained"].body_or_none or {}
    return show(
        request,
        "node.html",
        node=record["node"],
        holds=record["holds"],
        line=line,
        changes=explanation.get("what it became lately", []),
        flapping=explanation.get("flapping", {}),
        labels=views.labels_text(record["node"]["labels"]),
        fault=found["status"].fault,
    )


async def plan_removal(request: Request) -> Response:
    """GET /nodes/{node_id}/{verb}: what would happen if the node left or were forgotten; nothing happens yet."""
    return await _removal(request, "")


async def _removal(request: Request, fault: str) -> Response:
    verb = request.params["verb"]
    if verb not in _REMOVALS:
        raise NotFound.of("page", verb)
    answer = await ask(request, "POST", f"{_path(request)}/{verb}", {"plan": True})
    return show(
        request, "removal.html", verb=verb, node_id=request.params["node_id"], plan=answer.body_or_none,
        fault=fault or answer.fault,
    )  # fmt: skip


async def change_node(request: Request) -> Response:
    """POST /nodes/{node_id}/{verb}: drain, undrain, rename, label; leave and forget, after their plan was shown."""
    form = await request.form()
    session.expect_own_form(request)
    verb = request.params["verb"]
    if verb not in _DONE:
        raise NotFound.of("action", verb)
    node_page = f"/nodes/{_quoted(request)}"
    body: dict[str, object] | None = None
    if verb in _REMOVALS:
        body = {"plan": False, "force": form.get("force") == "yes"}
    elif verb == "rename":
        body = {"name": form.get("name", "").strip()}
    elif verb == "label":
        labels = views.labels_wanted(form.get("labels", ""), form.get("before", ""))
        if labels is None:
            return go(node_page, "Labels are written KEY=VALUE, with spaces between; nothing was changed.")
        body = {"labels": labels}
    answer = await ask(request, "POST", f"{_path(request)}/{verb}", body)
    if not answer.ok:
        return await _removal(request, answer.fault) if verb in _REMOVALS else go(node_page, answer.fault)
    name = answer.body["node"]["name"]
    return go("/nodes" if verb in _REMOVALS else node_page, f"{name} {_DONE[verb]}")


def _quoted(request: Request) -> str:
    return quote(request.params["node_id"], safe="")


def _path(request: Request) -> str:
    return f"{NODED}/nodes/{_quoted(request)}"


ROUTES = (
    Route(verb="GET", path="/nodes", handler=list_nodes, allow=Allow.ADMIN),
    Route(verb="GET", path="/nodes/{node_id}", handler=show_node, allow=Allow.ADMIN),
    Route(verb="GET", path="/nodes/{node_id}/{verb}", handler=plan_removal, allow=Allow.ADMIN),
    Route(verb="POST", path="/nodes/{node_id}/{verb}", handler=change_node, allow=Allow.ADMIN),
)
