"""Which volumes are there, and which backups of them?"""

from urllib.parse import quote

from noded.core.errors import NotFound
from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import session, views
from noded.dashboard.pages.asking import ask, ask_all, go, show
from noded.dashboard.pages.paths import VOLUME


async def list_volumes(request: Request) -> Response:
    """GET /volumes."""
    base = f"{VOLUME}/{request.caller.project}"
    found = await ask_all(request, volumes=f"{base}/volumes/detail", backups=f"{base}/backups/detail")
    volumes = found["volumes"].all("volumes")
    return show(
        request,
        "volumes.html",
        volumes=volumes,
        backups=found["backups"].all("backups"),
        names={volume["id"]: volume["name"] for volume in volumes},
        fault=found["volumes"].fault or found["backups"].fault,
        tone=views.tone,
    )


async def back_up_volume(request: Request) -> Response:
    """POST /volumes/{volume_id}/backup: also of a volume that a server uses."""
    await request.form()
    session.expect_own_form(request)
    body = {"backup": {"volume_id": request.params["volume_id"], "force": True}}
    answer = await ask(request, "POST", f"{VOLUME}/backups", body)
    return go("/volumes", "The backup is being made." if answer.ok else answer.fault)


async def act_on_backup(request: Request) -> Response:
    """POST /volumes/backups/{backup_id}/{action}: restore to a new volume, or delete."""
    await request.form()
    session.expect_own_form(request)
    action = request.params["action"]
    path = f"{VOLUME}/backups/{quote(request.params['backup_id'], safe='')}"
    if action == "restore":
        answer, done = await ask(request, "POST", f"{path}/restore", {"restore": {}}), "is being restored"
    elif action == "delete":
        answer, done = await ask(request, "DELETE", path), "is being deleted"
    else:
        raise NotFound.of("action", action)
    return go("/volumes", f"The backup {done}." if answer.ok else answer.fault)


ROUTES = (
    Route(verb="GET", path="/volumes", handler=list_volumes, allow=Allow.READER),
    Route(verb="POST", path="/volumes/{volume_id}/backup", handler=back_up_volume, allow=Allow.MEMBER),
    Route(verb="POST", path="/volumes/backups/{backup_id}/{action}", handler=act_on_backup, allow=Allow.MEMBER),
)
