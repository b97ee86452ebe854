"""Answers the browser: a page for each part of the cloud, forms that do things, and a stream that says when to look.

Every page is made from what the APIs answer to the signed-in user, so the dashboard can show and do exactly what the
user's own clients could, and is checked by the same policy.
"""

from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import trio

from noded.core.errors import NotFound
from noded.core.ids import Revision
from noded.core.route import Allow, Done, Request, Response, Route
from noded.dashboard import session, views
from noded.dashboard.links import Answer, LocalApi
from noded.dashboard.render import SECURITY_HEADERS, page
from noded.inspection.links import Registry

EVENTS_APART_S = 1.0  # at most one notice a second and browser, however much changes
HEARTBEAT_S = 15.0  # tells a dead connection from a quiet one
CONSOLE_LINES = 500

_STATIC = {
    "style.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
COMPUTE, IMAGE, NETWORK, VOLUME = "/compute/v2.1", "/image/v2", "/network/v2.0", "/volume/v3"


async def _ask(request: Request, verb: str, path: str, body: object = None) -> Answer:
    """Call an API as the signed-in user."""
    token = session.token_of(request.headers)
    return await request.driver(LocalApi).call(verb, path, token=token, body=body)


async def _ask_all(request: Request, **paths: str) -> dict[str, Answer]:
    """GET several paths at once."""
    answers: dict[str, Answer] = {}

    async def one(name: str, path: str) -> None:
        answers[name] = await _ask(request, "GET", path)

    async with trio.open_nursery() as nursery:
        for name, path in paths.items():
            nursery.start_soon(one, name, path)
    return answers


def _show(request: Request, template: str, **values: object) -> Response:
    """A page, or with `?part` only its live part for the script to put in place."""
    part = "part" in request.query
    return page(
        template,
        layout="part.html" if part else "layout.html",
        caller=request.caller,
        path=request.path,
        notice=request.query.get("notice", ""),
        **values,
    )


def _go(path: str, notice: str = "") -> Response:
    """To another page after a form, with a word on what came of it."""
    target = f"{path}?notice={quote(notice)}" if notice else path
    return Response(headers={"location": target}, done=Done.SEE_OTHER)


async def sign_in_page(request: Request) -> Response:
    """GET /sign-in."""
    return page("sign_in.html", fault="", user="", following=_own_path(request.query.get("next", "/")))


async def sign_in(request: Request) -> Response:
    """POST /sign-in: name and password become a token, scoped to the named project or the user's first."""
    form = await request.form()
    session.expect_own_form(request)
    api = request.driver(LocalApi)
    user, following = form.get("user", ""), _own_path(form.get("next", "/"))
    person = {"name": user, "password": form.get("password", ""), "domain": {"id": "default"}}
    identity = {"methods": ["password"], "password": {"user": person}}
    unscoped = await api.call("POST", "/identity/v3/auth/tokens", body={"auth": {"identity": identity}})
    if not unscoped.ok:
        return page("sign_in.html", fault="Name or password is wrong.", user=user, following=following)
    token = unscoped.headers["x-subject-token"]
    projects = (await api.call("GET", "/identity/v3/auth/projects", token=token)).all("projects")
    if not projects:
        return page("sign_in.html", fault="You have no role on any project.", user=user, following=following)
    wanted = form.get("project", "").strip()
    project = next((each for each in projects if wanted in {each["name"], each["id"]}), None if wanted else projects[0])
    if project is None:
        return page("sign_in.html", fault=f"You have no role on project {wanted}.", user=user, following=following)
    again = {"methods": ["token"], "token": {"id": token}}
    scope = {"project": {"id": project["id"]}}
    scoped = await api.call("POST", "/identity/v3/auth/tokens", body={"auth": {"identity": again, "scope": scope}})
    if not scoped.ok:
        return page("sign_in.html", fault=scoped.fault, user=user, following=following)
    answer = _go(following)
    answer.headers["set-cookie"] = session.signed_in(scoped.headers["x-subject-token"])
    return answer


def _own_path(path: str) -> str:
    """A path of this site; anything that could lead elsewhere becomes the overview."""
    plain = path.isascii() and path.isprintable() and path.startswith("/")
    return path if plain and not path.startswith(("//", "/\\")) else "/"


async def sign_out(request: Request) -> Response:
    """POST /sign-out: the token is revoked and forgotten."""
    session.expect_own_form(request)
    token = session.token_of(request.headers)
    if token is not None:
        revoked = {"x-subject-token": token}
        await request.driver(LocalApi).call("DELETE", "/identity/v3/auth/tokens", token=token, headers=revoked)
    answer = _go("/sign-in")
    answer.headers["set-cookie"] = session.signed_out()
    return answer


async def overview(request: Request) -> Response:
    """GET /: the whole cloud on one screen."""
    found = await _ask_all(
        request,
        status="/noded/v1/status",
        servers=f"{COMPUTE}/servers/detail",
        flavors=f"{COMPUTE}/flavors/detail",
        images=f"{IMAGE}/images",
        networks=f"{NETWORK}/networks",
        volumes=f"{VOLUME}/{request.caller.project}/volumes/detail",
    )
    status: Any = found["status"].body if found["status"].ok else None
    return _show(
        request,
        "overview.html",
        status=status,
        nodes=views.nodes(status),
        servers=_server_lines(found),
        images=found["images"].all("images"),
        networks=found["networks"].all("networks"),
        volumes=found["volumes"].all("volumes"),
    )


def _server_lines(found: dict[str, Answer]) -> list[views.Thing]:
    return views.servers(
        found["servers"].all("servers"), found["flavors"].all("flavors"), found["images"].all("images")
    )


async def list_servers(request: Request) -> Response:
    """GET /servers."""
    found = await _ask_all(
        request,
        servers=f"{COMPUTE}/servers/detail",
        flavors=f"{COMPUTE}/flavors/detail",
        images=f"{IMAGE}/images",
    )
    return _show(request, "servers.html", servers=_server_lines(found), fault=found["servers"].fault)


async def _new_server(request: Request, form: dict[str, str], fault: str) -> Response:
    found = await _ask_all(
        request,
        images=f"{IMAGE}/images",
        flavors=f"{COMPUTE}/flavors/detail",
        networks=f"{NETWORK}/networks",
        keys=f"{COMPUTE}/os-keypairs",
    )
    return _show(
        request,
        "new_server.html",
        images=[image for image in found["images"].all("images") if image.get("status") == "active"],
        flavors=found["flavors"].all("flavors"),
        networks=found["networks"].all("networks"),
        keys=[each["keypair"] for each in found["keys"].all("keypairs")],
        form=form,
        fault=fault,
        command=views.as_command(form),
    )


async def new_server(request: Request) -> Response:
    """GET /servers/new: one screen with good defaults."""
    return await _new_server(request, {"count": "1"}, "")


async def create_server(request: Request) -> Response:
    """POST /servers; a refusal shows the form again, filled in, with the reason."""
    form = dict(await request.form())
    session.expect_own_form(request)
    answer = await _ask(request, "POST", f"{COMPUTE}/servers", views.new_server_body(form))
    if not answer.ok:
        return await _new_server(request, form, answer.fault)
    return _go("/servers", f"Server {form.get('name', '')} is being made.")


async def show_server(request: Request) -> Response:
    """GET /servers/{server_id}: what it is and what its console says."""
    server_id = quote(request.params["server_id"], safe="")
    path = f"{COMPUTE}/servers/{server_id}"
    found = await _ask_all(request, server=path, flavors=f"{COMPUTE}/flavors/detail", images=f"{IMAGE}/images")
    if not found["server"].ok:
        raise NotFound(found["server"].fault)
    console = await _ask(request, "POST", f"{path}/action", {"os-getConsoleOutput": {"length": CONSOLE_LINES}})
    line = views.servers(
        [found["server"].body["server"]], found["flavors"].all("flavors"), found["images"].all("images")
    )[0]
    output = console.body["output"] if console.ok else f"No console log: {console.fault}"
    return _show(request, "server.html", server=line, console=output)


_ACTIONS: dict[str, tuple[dict[str, object], str]] = {
    "start": ({"os-start": None}, "is starting"),
    "stop": ({"os-stop": None}, "is stopping"),
    "reboot": ({"reboot": {"type": "SOFT"}}, "is rebooting"),
    "reset": ({"reboot": {"type": "HARD"}}, "is being reset"),
}


async def act_on_server(request: Request) -> Response:
    """POST /servers/{server_id}/{action}: start, stop, reboot, reset or delete."""
    await request.form()
    session.expect_own_form(request)
    server_id, action = quote(request.params["server_id"], safe=""), request.params["action"]
    path = f"{COMPUTE}/servers/{server_id}"
    if action == "delete":
        answer, done = await _ask(request, "DELETE", path), "is being deleted"
    elif action in _ACTIONS:
        body, done = _ACTIONS[action]
        answer = await _ask(request, "POST", f"{path}/action", body)
    else:
        raise NotFound.of("action", action)
    return _go("/servers", f"The server {done}." if answer.ok else answer.fault)


async def list_images(request: Request) -> Response:
    """GET /images."""
    answer = await _ask(request, "GET", f"{IMAGE}/images")
    return _show(request, "images.html", images=answer.all("images"), fault=answer.fault, tone=views.tone)


async def list_networks(request: Request) -> Response:
    """GET /networks."""
    found = await _ask_all(
        request, networks=f"{NETWORK}/networks", subnets=f"{NETWORK}/subnets", ports=f"{NETWORK}/ports"
    )
    return _show(
        request,
        "networks.html",
        networks=found["networks"].all("networks"),
        subnets=found["subnets"].all("subnets"),
        ports=found["ports"].all("ports"),
        fault=found["networks"].fault,
        tone=views.tone,
    )


async def list_volumes(request: Request) -> Response:
    """GET /volumes."""
    answer = await _ask(request, "GET", f"{VOLUME}/{request.caller.project}/volumes/detail")
    return _show(request, "volumes.html", volumes=answer.all("volumes"), fault=answer.fault, tone=views.tone)


async def list_nodes(request: Request) -> Response:
    """GET /nodes: the machines, for the cloud's administrators."""
    answer = await _ask(request, "GET", "/noded/v1/status")
    status = answer.body if answer.ok else None
    return _show(request, "nodes.html", status=status, nodes=views.nodes(status), fault=answer.fault)


async def events(request: Request) -> Response:
    """GET /events: server-sent events (HTML Living Standard, 9.2); each says that something changed."""
    return Response(
        content=_events(request),
        content_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _events(request: Request) -> AsyncIterator[bytes]:
    kinds = [record for service in request.driver(Registry).services for record in service.records]
    seen: Revision = request.cluster.view().revision
    yield b"retry: 2000\n\n"
    while True:
        with trio.move_on_after(HEARTBEAT_S) as waiting:
            seen = await request.cluster.changed(kinds, seen)
        if waiting.cancelled_caught:
            yield b": still here\n\n"
            continue
        yield f"id: {seen}\nevent: changed\ndata: {seen}\n\n".encode()
        await trio.sleep(EVENTS_APART_S)


async def static(request: Request) -> Response:
    """GET /static/{name}: the dashboard's own style, script and icon."""
    name = request.params["name"]
    if name not in _STATIC:
        raise NotFound.of("file", name)
    content = (files("noded.dashboard") / "static" / name).read_bytes()
    headers = {**SECURITY_HEADERS, "cache-control": "max-age=300"}
    return Response(content=content, content_type=_STATIC[name], headers=headers)


ROUTES = (
    Route(verb="GET", path="/", handler=overview, allow=Allow.READER),
    Route(verb="GET", path="/sign-in", handler=sign_in_page, allow=Allow.ANYONE),
    Route(verb="POST", path="/sign-in", handler=sign_in, allow=Allow.ANYONE),
    Route(verb="POST", path="/sign-out", handler=sign_out, allow=Allow.ANYONE),
    Route(verb="GET", path="/servers", handler=list_servers, allow=Allow.READER),
    Route(verb="GET", path="/servers/new", handler=new_server, allow=Allow.MEMBER),
    Route(verb="POST", path="/servers", handler=create_server, allow=Allow.MEMBER),
    Route(verb="GET", path="/servers/{server_id}", handler=show_server, allow=Allow.READER),
    Route(verb="POST", path="/servers/{server_id}/{action}", handler=act_on_server, allow=Allow.MEMBER),
    Route(verb="GET", path="/images", handler=list_images, allow=Allow.READER),
    Route(verb="GET", path="/networks", handler=list_networks, allow=Allow.READER),
    Route(verb="GET", path="/volumes", handler=list_volumes, allow=Allow.READER),
    Route(verb="GET", path="/nodes", handler=list_nodes, allow=Allow.ADMIN),
    Route(verb="GET", path="/events", handler=events, allow=Allow.READER),
    Route(verb="GET", path="/static/{name}", handler=static, allow=Allow.ANYONE),
)
