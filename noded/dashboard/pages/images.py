"""Which images are there, how is one made, filled and shared, and what can be done to it?"""

from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from noded.core.errors import NotFound
from noded.core.route import Allow, Request, Response, Route
from noded.core.units import MIB
from noded.dashboard import session, views
from noded.dashboard.links import Answer
from noded.dashboard.pages.asking import ask, ask_all, go, show
from noded.dashboard.pages.paths import IMAGE

PART_BYTES_MAX: Final = 64 * MIB  # the script sends less at a time
FORMATS: Final = ("qcow2", "raw", "iso", "vmdk", "vhd", "vhdx", "vdi", "ami", "ari", "aki")
VISIBILITIES: Final = ("private", "shared", "community", "public")
_PATCH: Final = {"content-type": "application/openstack-images-v2.1-json-patch"}


async def list_images(request: Request) -> Response:
    """GET /images."""
    answer = await ask(request, "GET", f"{IMAGE}/images")
    offered = await ask(request, "GET", f"{IMAGE}/images?visibility=shared&member_status=pending")
    mine = request.caller.project_id
    return show(
        request,
        "images.html",
        images=answer.all("images"),
        offered=[image for image in offered.all("images") if image.get("owner") != mine],
        fault=answer.fault,
        tone=views.tone,
    )


async def new_image(request: Request) -> Response:
    """GET /images/new."""
    return _new_image(request, {"disk_format": "qcow2", "visibility": "private"}, "")


def _new_image(request: Request, form: Mapping[str, str], fault: str) -> Response:
    return show(request, "new_image.html", form=form, fault=fault, formats=FORMATS, visibilities=VISIBILITIES)


async def create_image(request: Request) -> Response:
    """POST /images: what is written on it; its data comes from a URL, or from the image's own page."""
    form = dict(await request.form())
    session.expect_own_form(request)
    body: dict[str, object] = {name: form[name] for name in ("disk_format", "visibility") if form.get(name)}
    body |= {"name": form.get("name") or None, "container_format": "bare"}
    made = await ask(request, "POST", f"{IMAGE}/images", body)
    if not made.ok:
        return _new_image(request, form, made.fault)
    path = f"/images/{made.body['id']}"
    if not form.get("uri"):
        return go(path, "The image is there; now choose its file.")
    method = {"method": {"name": "web-download", "uri": form["uri"]}}
    began = await ask(request, "POST", f"{IMAGE}{path}/import", method)
    return go(path, "The image is being fetched." if began.ok else began.fault)


async def show_image(request: Request) -> Response:
    """GET /images/{image_id}: all that is written on it, whom it is shared with, and how far its data is."""
    path = _api_path(request)
    found = await ask_all(request, image=path, members=f"{path}/members", tasks=f"{path}/tasks")
    if not found["image"].ok:
        raise NotFound(found["image"].fault)
    image = found["image"].body
    progress = await ask(request, "HEAD", f"{path}/file")
    return show(
        request,
        "image.html",
        image=image,
        properties=views.image_properties(image),
        members=found["members"].all("members"),
        tasks=found["tasks"].all("tasks"),
        progress=views.upload_progress(progress.headers),
        is_own=request.caller.is_admin or image.get("owner") == request.caller.project_id,
        visibilities=VISIBILITIES,
        tone=views.tone,
    )


async def receive_part(request: Request) -> Response:
    """PUT /images/{image_id}/file: a part of the file from the page's script, handed on as it comes."""
    session.expect_own_form(request)
    headers = {
        name: request.headers[name] for name in ("content-range", "content-length") if name in request.headers
    } | {"content-type": "application/octet-stream"}
    answer = await ask(request, "PUT", f"{_api_path(request)}/file", headers=headers, content=request.stream())
    return await _told(request, answer)


async def tell_progress(request: Request) -> Response:
    """GET /images/{image_id}/progress: where the script goes on."""
    return await _told(request, None)


async def _told(request: Request, answer: Answer | None) -> Response:
    """Where the upload goes on; and why a part was refused, if it was."""
    image, progress = (
        await ask(request, "GET", _api_path(request)),
        await ask(request, "HEAD", f"{_api_path(request)}/file"),
    )
    told: dict[str, object] = {
        "offset": int(progress.headers.get("upload-offset", "0")),
        "status": image.body["status"] if image.ok else "",
        "fault": (answer.fault if answer is not None else "") or image.fault,
    }
    return Response(body=told, headers={"cache-control": "no-store"})


async def act_on_image(request: Request) -> Response:
    """POST /images/{image_id}/{action}."""
    form = dict(await request.form())
    session.expect_own_form(request)
    path, action = _api_path(request), request.params["action"]
    page = f"/images/{quote(request.params['image_id'], safe='')}"
    if action == "delete":
        answer = await ask(request, "DELETE", path)
        return go("/images", "The image is gone.") if answer.ok else go(page, answer.fault)
    if action in {"deactivate", "reactivate"}:
        answer = await ask(request, "POST", f"{path}/actions/{action}")
    elif action == "give-up":
        answer = await ask(request, "DELETE", f"{path}/file")
    elif action == "share":
        answer = await ask(request, "POST", f"{path}/members", {"member": form.get("member", "").strip()})
    elif action == "unshare":
        answer = await ask(request, "DELETE", f"{path}/members/{quote(form.get('member', ''), safe='')}")
    elif action in {"accept", "reject"}:
        member = f"{path}/members/{quote(request.caller.project_id or '', safe='')}"
        answer = await ask(request, "PUT", member, {"status": f"{action}ed"})
    elif action == "change":
        answer = await _patch(request, path, views.image_changes(form))
    else:
        raise NotFound.of("action", action)
    return go(page, "Done." if answer.ok else answer.fault)


async def _patch(request: Request, path: str, changes: list[dict[str, object]]) -> Answer:
    async def content() -> AsyncIterator[bytes]:
        yield msgspec.json.encode(changes)

    return await ask(request, "PATCH", path, headers=_PATCH, content=content())


def _api_path(request: Request) -> str:
    return f"{IMAGE}/images/{quote(request.params['image_id'], safe='')}"


_ONE: Final = "/images/{image_id}"

ROUTES = (
    Route(verb="GET", path="/images", handler=list_images, allow=Allow.READER),
    Route(verb="GET", path="/images/new", handler=new_image, allow=Allow.MEMBER),
    Route(verb="POST", path="/images", handler=create_image, allow=Allow.MEMBER),
    Route(verb="GET", path=_ONE, handler=show_image, allow=Allow.READER),
    Route(verb="GET", path=f"{_ONE}/progress", handler=tell_progress, allow=Allow.MEMBER),
    Route(verb="PUT", path=f"{_ONE}/file", handler=receive_part, allow=Allow.MEMBER, body_max=PART_BYTES_MAX),
    Route(verb="POST", path=f"{_ONE}/{{action}}", handler=act_on_image, allow=Allow.MEMBER),
)
