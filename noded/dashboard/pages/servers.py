"""Which servers are there, how is one made, what does its console say, and what can be done to it?"""

from urllib.parse import quote

from noded.core.errors import NotFound
from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import session, views
from noded.dashboard.links import Answer
from noded.dashboard.pages.asking import ask, ask_all, go, show
from noded.dashboard.pages.paths import COMPUTE, IMAGE, NETWORK, VOLUME

CONSOLE_LINES = 500


def server_lines(found: dict[str, Answer]) -> list[views.Thing]:
    """The table's lines, of the answers called `servers`, `flavors` and `images`."""
    return views.servers(
        found["servers"].all("servers"), found["flavors"].all("flavors"), found["images"].all("images")
    )


async def list_servers(request: Request) -> Response:
    """GET /servers."""
    found = await ask_all(
        request,
        servers=f"{COMPUTE}/servers/detail",
        flavors=f"{COMPUTE}/flavors/detail",
        images=f"{IMAGE}/images",
    )
    return show(request, "servers.html", servers=server_lines(found), fault=found["servers"].fault)


async def _new_server(request: Request, form: dict[str, str], fault: str) -> Response:
    found = await ask_all(
        request,
        images=f"{IMAGE}/images",
        flavors=f"{COMPUTE}/flavors/detail",
        networks=f"{NETWORK}/networks",
        keys=f"{COMPUTE}/os-keypairs",
    )
    return show(
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
    answer = await ask(request, "POST", f"{COMPUTE}/servers", views.new_server_body(form))
    if not answer.ok:
        return await _new_server(request, form, answer.fault)
    return go("/servers", f"Server {form.get('name', '')} is being made.")


async def show_server(request: Request) -> Response:
    """GET /servers/{server_id}: what it is and what its console says."""
    server_id = quote(request.params["server_id"], safe="")
    path = f"{COMPUTE}/servers/{server_id}"
    found = await ask_all(
        request,
        server=path,
        flavors=f"{COMPUTE}/flavors/detail",
        images=f"{IMAGE}/images",
        volumes=f"{VOLUME}/volumes/detail",
        attachments=f"{path}/os-volume_attachments",
    )
    if not found["server"].ok:
        raise NotFound(found["server"].fault)
    console = await ask(request, "POST", f"{path}/action", {"os-getConsoleOutput": {"length": CONSOLE_LINES}})
    line = views.servers(
        [found["server"].body["server"]], found["flavors"].all("flavors"), found["images"].all("images")
    )[0]
    output = console.body["output"] if console.ok else f"No console log: {console.fault}"
    return show(
        request,
        "server.html",
        server=line,
        console=output,
        volumes=views.attached(found["attachments"].all("volumeAttachments"), found["volumes"].all("volumes")),
        spare=[volume for volume in found["volumes"].all("volumes") if volume.get("status") == "available"],
    )


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
        answer, done = await ask(request, "DELETE", path), "is being deleted"
    elif action in _ACTIONS:
        body, done = _ACTIONS[action]
        answer = await ask(request, "POST", f"{path}/action", body)
    else:
        raise NotFound.of("action", action)
    return go("/servers", f"The server {done}." if answer.ok else answer.fault)


async def attach_volume(request: Request) -> Response:
    """POST /servers/{server_id}/volumes: the volume that the form names."""
    form = await request.form()
    session.expect_own_form(request)
    server_id = quote(request.params["server_id"], safe="")
    body = {"volumeAttachment": {"volumeId": form.get("volume_id", "")}}
    answer = await ask(request, "POST", f"{COMPUTE}/servers/{server_id}/os-volume_attachments", body)
    return go(f"/servers/{server_id}", "The volume is being attached." if answer.ok else answer.fault)


async def detach_volume(request: Request) -> Response:
    """POST /servers/{server_id}/volumes/{volume_id}: the server gives it back."""
    await request.form()
    session.expect_own_form(request)
    server_id, volume_id = (quote(request.params[name], safe="") for name in ("server_id", "volume_id"))
    answer = await ask(request, "DELETE", f"{COMPUTE}/servers/{server_id}/os-volume_attachments/{volume_id}")
    return go(f"/servers/{server_id}", "The volume is being detached." if answer.ok else answer.fault)


ROUTES = (
    Route(verb="GET", path="/servers", handler=list_servers, allow=Allow.READER),
    Route(verb="GET", path="/servers/new", handler=new_server, allow=Allow.MEMBER),
    Route(verb="POST", path="/servers", handler=create_server, allow=Allow.MEMBER),
    Route(verb="GET", path="/servers/{server_id}", handler=show_server, allow=Allow.READER),
    Route(verb="POST", path="/servers/{server_id}/volumes", handler=attach_volume, allow=Allow.MEMBER),
    Route(verb="POST", path="/servers/{server_id}/volumes/{volume_id}", handler=detach_volume, allow=Allow.MEMBER),
    Route(verb="POST", path="/servers/{server_id}/{action}", handler=act_on_server, allow=Allow.MEMBER),
)
