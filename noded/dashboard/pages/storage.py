"""How are the disks, what moves between them, when are they full, where does a volume lie? For administrators."""

from typing import Any
from urllib.parse import quote

from noded.core.errors import NotFound
from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import session, storage_views
from noded.dashboard.pages.asking import ask, ask_all, go, show
from noded.dashboard.pages.paths import NODED

_DONE = {
    "drain": "is being emptied: its replicas are made on other disks.",
    "undrain": "takes replicas again.",
}


async def show_storage(request: Request) -> Response:
    """GET /storage: disks, what is behind or moves, the pool and its forecast, what drives say of themselves."""
    found = await ask_all(
        request, disks=f"{NODED}/disks", health=f"{NODED}/disk-health", progress=f"{NODED}/disk-progress"
    )
    listing: Any = found["disks"].body_or_none or {"disks": [], "pool": {}}
    progress: Any = found["progress"].body_or_none or {"volumes": [], "more": 0, "forecast": {}}
    drives: Any = (found["health"].body_or_none or {}).get("drives", {})
    return show(
        request,
        "storage.html",
        disks=storage_views.disks(listing["disks"], drives),
        pool=listing["pool"],
        overcommit=listing.get("policy", {}).get("overcommit", 0),
        volumes=storage_views.unsettled(progress["volumes"], listing["disks"]),
        more=progress["more"],
        forecast=storage_views.forecast_words(progress["forecast"]),
        fault=found["disks"].fault or found["progress"].fault or found["health"].fault,
    )


async def change_disk(request: Request) -> Response:
    """POST /storage/disks/{disk_id}/{verb}: drain, undrain, or let its light shine or go out."""
    await request.form()
    session.expect_own_form(request)
    verb, path = request.params["verb"], f"{NODED}/disks/{quote(request.params['disk_id'], safe='')}"
    if verb in ("locate", "unlocate"):
        answer = await ask(request, "POST", f"{path}/locate", {"lit": verb == "locate"})
        return go("/storage", storage_views.drive_words(answer.body) if answer.ok else answer.fault)
    if verb not in _DONE:
        raise NotFound.of("action", verb)
    answer = await ask(request, "POST", path, {"draining": verb == "drain"})
    warnings = " ".join(answer.body["warnings"]) if answer.ok else ""
    return go("/storage", f"The disk {_DONE[verb]} {warnings}".strip() if answer.ok else answer.fault)


async def show_volume(request: Request) -> Response:
    """GET /storage/volumes/{volume_id}: where each extent lives, which replicas are in sync, how fast they answer."""
    volume_id = quote(request.params["volume_id"], safe="")
    found = await ask_all(request, explained=f"{NODED}/explain/volume/{volume_id}", disks=f"{NODED}/disks")
    if not found["explained"].ok:
        raise NotFound(found["explained"].fault)
    disks = (found["disks"].body_or_none or {}).get("disks", [])
    explained: Any = found["explained"].body
    return show(
        request,
        "volume_explained.html",
        volume_id=request.params["volume_id"],
        explained=explained,
        replicas=storage_views.replicas(explained, disks),
        extents=storage_views.extents(explained, disks),
    )


async def show_examination(request: Request) -> Response:
    """GET /storage/doctor: what does not match, in the whole cloud, as `noded doctor` says."""
    answer = await ask(request, "GET", f"{NODED}/doctor")
    return show(request, "doctor.html", examination=answer.body_or_none, fault=answer.fault)


ROUTES = (
    Route(verb="GET", path="/storage", handler=show_storage, allow=Allow.ADMIN),
    Route(verb="GET", path="/storage/doctor", handler=show_examination, allow=Allow.ADMIN),
    Route(verb="GET", path="/storage/volumes/{volume_id}", handler=show_volume, allow=Allow.ADMIN),
    Route(verb="POST", path="/storage/disks/{disk_id}/{verb}", handler=change_disk, allow=Allow.ADMIN),
)
