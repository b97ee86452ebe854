"""What holds the cluster together, and who may come in? For the cloud's administrators."""

from typing import Any
from urllib.parse import quote

from noded.core.errors import NotFound
from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import session, views
from noded.dashboard.pages.asking import ask, ask_all, go, show
from noded.dashboard.pages.paths import NODED, STATUS


async def show_cluster(request: Request) -> Response:
    """GET /cluster: voters, level, lives and log; tokens, nodes that wait, and who was turned away."""
    return await _cluster(request, token=None, fault="")


async def _cluster(request: Request, *, token: str | None, fault: str) -> Response:
    found = await ask_all(
        request,
        status=STATUS,
        listing=f"{NODED}/nodes",
        levels=f"{NODED}/levels",
        log=f"{NODED}/log",
        lives=f"{NODED}/lives",
        tokens=f"{NODED}/tokens",
        waiting=f"{NODED}/join-requests",
        refusals=f"{NODED}/refusals",
        authority=f"{NODED}/authority",
    )
    bodies: dict[str, Any] = {name: answer.body_or_none or {} for name, answer in found.items()}
    nodes = views.nodes(bodies["status"], bodies["listing"])
    return show(
        request,
        "cluster.html",
        name=bodies["status"].get("cluster", ""),
        nodes=nodes,
        votes=views.votes(nodes),
        hints=bodies["status"].get("hints", []),
        levels=bodies["levels"],
        log=found["log"].all("nodes"),
        lives=found["lives"].all("lives"),
        tokens=found["tokens"].all("tokens"),
        waiting=bodies["waiting"].get("requests", []),
        unclaimed=bodies["waiting"].get("unclaimed", []),
        refusals=found["refusals"].all("refusals"),
        authority=bodies["authority"],
        token=token,
        fault=fault or next((answer.fault for answer in found.values() if not answer.ok), ""),
    )


async def create_token(request: Request) -> Response:
    """POST /cluster/tokens: a new token, shown in this answer and never again."""
    form = await request.form()
    session.expect_own_form(request)
    wanted = {"uses": views.number(form.get("uses", "1")), "ttl": form.get("ttl", "").strip() or "1h"}
    answer = await ask(request, "POST", f"{NODED}/tokens", wanted)
    return await _cluster(request, token=answer.body["token"]["text"] if answer.ok else None, fault=answer.fault)


async def revoke_token(request: Request) -> Response:
    """POST /cluster/tokens/{token_id}/revoke."""
    await request.form()
    session.expect_own_form(request)
    answer = await ask(request, "DELETE", f"{NODED}/tokens/{quote(request.params['token_id'], safe='')}")
    return go("/cluster", "The token opens nothing any more." if answer.ok else answer.fault)


async def rotate_authority(request: Request) -> Response:
    """POST /cluster/rotate: the cluster gets a new authority; every node follows by itself."""
    await request.form()
    session.expect_own_form(request)
    answer = await ask(request, "POST", f"{NODED}/authority/rotate")
    return go("/cluster", "The rotation has begun; it goes on by itself." if answer.ok else answer.fault)


async def decide_on_node(request: Request) -> Response:
    """POST /cluster/waiting/{node_id}/{verb}: approve (by words), claim (by code), or turn away a node that waits."""
    form = await request.form()
    session.expect_own_form(request)
    verb, path = request.params["verb"], f"{NODED}/join-requests/{quote(request.params['node_id'], safe='')}"
    if verb == "approve":
        answer = await ask(request, "POST", f"{path}/approve", {"words": form.get("words", "")})
        done = "Approved. Say yes on the node's own console too, and it joins."
    elif verb == "claim":
        answer = await ask(request, "POST", f"{path}/approve", {"claim_code": form.get("claim_code", "").strip()})
        done = "The node was claimed: it is joining."
    elif verb == "turn-away":
        answer, done = await ask(request, "DELETE", path), "The node was turned away."
    else:
        raise NotFound.of("action", verb)
    return go("/cluster", done if answer.ok else answer.fault)


ROUTES = (
    Route(verb="GET", path="/cluster", handler=show_cluster, allow=Allow.ADMIN),
    Route(verb="POST", path="/cluster/tokens", handler=create_token, allow=Allow.ADMIN),
    Route(verb="POST", path="/cluster/tokens/{token_id}/revoke", handler=revoke_token, allow=Allow.ADMIN),
    Route(verb="POST", path="/cluster/rotate", handler=rotate_authority, allow=Allow.ADMIN),
    Route(verb="POST", path="/cluster/waiting/{node_id}/{verb}", handler=decide_on_node, allow=Allow.ADMIN),
)
