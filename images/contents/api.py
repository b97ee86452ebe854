"""What the routes of an image's data do: receive a file, hand it out (Glance v2, "Image data")."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
import structlog
import trio

from consensus.liveness.links import Watch
from images.catalog.commands import visible
from images.catalog.model import IMAGE_BYTES_MAX, IMPORT_METHODS, Contents, Image
from images.contents.commands import AbortUpload, AddDisk, BeginUpload, FinishUpload, StageUpload
from images.contents.links import ImageBytes, Received
from images.contents.live import LiveUploads
from images.contents.model import Upload
from images.contents.ranges import asked_range
from images.formats.inspection import Inspection, Verdict
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Conflict, Forbidden, Invalid, Kind, Refused, TooLarge
from noded.core.ids import VolumeId
from noded.core.retry import propose_chosen
from noded.core.route import Allow, Done, Request, Response, Route
from storage.extents.layout import extent_count
from storage.volumes.commands import PLACES_CHANGED, choose_layout
from storage.volumes.links import VolumeFiles
from storage.volumes.model import IMAGE_EXTENT_BYTES, Layout, whole_blocks

log = structlog.get_logger(__name__)

CONVERTED_FORMATS = frozenset({"qcow2"})  # of these a raw volume is made, for servers to be cloned from
ABORT_S_MAX = 15.0
MEDIA_TYPE = "application/octet-stream"


class Method(msgspec.Struct, frozen=True):
    """How the data comes."""

    name: str


class Import(msgspec.Struct, frozen=True):
    """The body of an import. Which stores it asks for means nothing: there is one."""

    method: Method


async def upload_file(request: Request) -> Response:
    """Receive the file. The image is active when this has answered; on any fault it is as empty as before."""
    return await _receive(request, staging=False)


async def stage_file(request: Request) -> Response:
    """Receive and check the file, and make a disk of it, as an upload does; the image gets it when it is imported."""
    return await _receive(request, staging=True)


async def import_image(request: Request) -> Response:
    """Make what was staged the image's contents. All the work was done by then, so this is one entry of the log."""
    body = await request.json(Import)
    if body.method.name not in IMPORT_METHODS:
        known = ", ".join(IMPORT_METHODS)
        raise Invalid(f"Unknown import method name '{body.method.name[:64]}'. It must be one of {known}.")
    image = _own(request)
    upload = request.cluster.view().get(Upload, image.upload_id) if image.upload_id else None
    if upload is None or upload.staged is None:
        raise Conflict(f"Image {image.id} needs to be staged before the method 'glance-direct' can be used.")
    staged = upload.staged
    await request.cluster.propose(
        FinishUpload(
            upload_id=upload.id,
            size_bytes=staged.size_bytes,
            virtual_bytes=staged.virtual_bytes,
            md5=staged.md5,
            sha512=staged.sha512,
            now_ms=now_ms(),
        )
    )
    return Response()


async def _receive(request: Request, *, staging: bool) -> Response:
    image = _empty(request)
    if request.headers.get("content-type", "").split(";")[0].strip() != MEDIA_TYPE:
        raise Refused(f"Send the image's data as {MEDIA_TYPE}.", kind=Kind.UNSUPPORTED_TYPE)
    size_bytes = _declared_size(request)
    upload_id = dice.new_uuid()
    with request.driver(LiveUploads).receiving(upload_id):
        file_id = VolumeId(dice.new_uuid())
        await propose_chosen(
            request.cluster,
            lambda: BeginUpload(
                upload_id=upload_id,
                image_id=image.image_id,
                node_id=request.cluster.node_id,
                file_id=file_id,
                size_bytes=whole_blocks(size_bytes),
                layout=_layout(request, file_id, size_bytes),
                now_ms=now_ms(),
                staging=staging,
            ),
            PLACES_CHANGED,
        )
        try:
            received, verdict = await _fill(request, upload_id, file_id, Inspection(image.disk_format or ""))
            await (_stage if staging else _finish)(request.cluster, upload_id, received, verdict)
        except BaseException:
            await _abort(request.cluster, upload_id)
            raise
    return Response()


async def _fill(
    request: Request, upload_id: str, file_id: VolumeId, inspection: Inspection
) -> tuple[Received, Verdict]:
    files, image_bytes = request.driver(VolumeFiles), request.driver(ImageBytes)
    async with files.open(file_id, writable=True) as file:
        received = await image_bytes.receive(request.stream(), file.path, inspection)
        verdict = inspection.verdict()
        if verdict.disk_format in CONVERTED_FORMATS:
            disk_id = await _add_disk(request, upload_id, verdict)
            async with files.open(disk_id, writable=True) as disk:
                await image_bytes.convert(file.path, verdict.disk_format, disk.socket)
    return received, verdict


async def _add_disk(request: Request, upload_id: str, verdict: Verdict) -> VolumeId:
    disk_id = VolumeId(dice.new_uuid())
    size_bytes = whole_blocks(verdict.virtual_bytes)
    await propose_chosen(
        request.cluster,
        lambda: AddDisk(
            upload_id=upload_id,
            disk_id=disk_id,
            size_bytes=size_bytes,
            layout=_layout(request, disk_id, size_bytes),
            now_ms=now_ms(),
        ),
        PLACES_CHANGED,
    )
    return disk_id


async def _finish(cluster: Cluster, upload_id: str, received: Received, verdict: Verdict) -> None:
    await cluster.propose(
        FinishUpload(
            upload_id=upload_id,
            size_bytes=received.size_bytes,
            virtual_bytes=verdict.virtual_bytes,
            md5=received.md5,
            sha512=received.sha512,
            now_ms=now_ms(),
        )
    )


async def _stage(cluster: Cluster, upload_id: str, received: Received, verdict: Verdict) -> None:
    await cluster.propose(
        StageUpload(
            upload_id=upload_id,
            size_bytes=received.size_bytes,
            virtual_bytes=verdict.virtual_bytes,
            md5=received.md5,
            sha512=received.sha512,
        )
    )


async def _abort(cluster: Cluster, upload_id: str) -> None:
    # Also when the client has gone or the daemon stops.
    with trio.move_on_after(ABORT_S_MAX, shield=True):
        try:
            await cluster.propose(AbortUpload(upload_id=upload_id))
        except Refused as refused:
            log.warning("upload not aborted; the reconciler will", upload=upload_id, why=refused.message)


def _layout(request: Request, volume_id: VolumeId, size_bytes: int) -> Layout:
    extents = range(extent_count(whole_blocks(size_bytes), IMAGE_EXTENT_BYTES))
    return choose_layout(request.cluster.view(), request.driver(Watch).usable(), volume_id, extents)


def _declared_size(request: Request) -> int:
    """The size that the client announces, or the limit where it announces none: volumes are thin."""
    text = request.headers.get("content-length")
    if text is None:
        return IMAGE_BYTES_MAX
    if not text.isascii() or not text.isdecimal():
        raise Invalid(f"Content-Length is not a number of bytes: {text[:64]}.")
    if int(text) > IMAGE_BYTES_MAX:
        raise TooLarge(f"An image may have at most {IMAGE_BYTES_MAX} bytes.")
    return int(text)


async def download_file(request: Request) -> Response:
    """Hand the file out as it was received: all of it, or the range that was asked for."""
    image = _visible(request)
    contents = image.contents
    if contents is None:
        return Response(done=Done.EMPTY)
    if image.deactivated and not request.caller.is_admin:
        raise Forbidden(f"Image {image.id} is deactivated: its data is not handed out.")
    asked = asked_range(request.headers.get("range"), contents.size_bytes)
    start, end = asked or (0, contents.size_bytes)
    headers = {"Content-Length": str(end - start), "Accept-Ranges": "bytes"}
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{contents.size_bytes}"
    else:
        headers["Content-MD5"] = contents.md5
    return Response(
        content=_pieces(request, contents, start, end),
        content_type=MEDIA_TYPE,
        headers=headers,
        done=Done.PARTIAL if asked else Done.OK,
    )


async def _pieces(request: Request, contents: Contents, start: int, end: int) -> AsyncIterator[bytes]:
    async with (
        request.driver(VolumeFiles).open(contents.file_id, writable=False) as file,
        aclosing(request.driver(ImageBytes).send(file.path, start, end)) as pieces,
    ):
        async for piece in pieces:
            yield piece


def _visible(request: Request) -> Image:
    view, image_id = request.cluster.view(), request.params["image_id"]
    return visible(view, request.caller, view.get(Image, image_id), image_id)


def _own(request: Request) -> Image:
    image = _visible(request)
    if image.project_id != request.caller.project_id and not request.caller.is_admin:
        raise Forbidden(f"You are not the owner of image {image.id}.")
    return image


def _empty(request: Request) -> Image:
    image = _own(request)
    if image.contents is not None or image.upload_id is not None:
        raise Conflict(f"Image {image.id} has its data already, or is receiving it.")
    return image


ROUTES = (
    Route(
        verb="PUT",
        path="/v2/images/{image_id}/file",
        handler=upload_file,
        allow=Allow.MEMBER,
        done=Done.EMPTY,
        body_max=IMAGE_BYTES_MAX,
    ),
    Route(
        verb="PUT",
        path="/v2/images/{image_id}/stage",
        handler=stage_file,
        allow=Allow.MEMBER,
        done=Done.EMPTY,
        body_max=IMAGE_BYTES_MAX,
    ),
    Route(
        verb="POST",
        path="/v2/images/{image_id}/import",
        handler=import_image,
        allow=Allow.MEMBER,
        done=Done.ACCEPTED,
    ),
    Route(verb="GET", path="/v2/images/{image_id}/file", handler=download_file, allow=Allow.READER),
)
