"""What the routes of an image's data do: receive a file, hand it out (Glance v2, "Image data")."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import structlog
import trio

from consensus.liveness.links import Watch
from images.catalog.commands import visible
from images.catalog.model import IMAGE_BYTES_MAX, Contents, Image
from images.contents.commands import AbortUpload, AddDisk, BeginUpload, FinishUpload
from images.contents.links import ImageBytes, Received
from images.contents.live import LiveUploads
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


async def upload_file(request: Request) -> Response:
    """Receive the file. The image is active when this has answered; on any fault it is as empty as before."""
    image = _own(request)
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
            ),
            PLACES_CHANGED,
        )
        try:
            await _fill(request, upload_id, file_id, Inspection(image.disk_format or ""))
        except BaseException:
            await _abort(request.cluster, upload_id)
            raise
    return Response()


async def _fill(request: Request, upload_id: str, file_id: VolumeId, inspection: Inspection) -> None:
    files, image_bytes = request.driver(VolumeFiles), request.driver(ImageBytes)
    async with files.open(file_id, writable=True) as file:
        received = await image_bytes.receive(request.stream(), file.path, inspection)
        verdict = inspection.verdict()
        if verdict.disk_format in CONVERTED_FORMATS:
            disk_id = await _add_disk(request, upload_id, verdict)
            async with files.open(disk_id, writable=True) as disk:
                await image_bytes.convert(file.path, verdict.disk_format, disk.socket)
    await _finish(request.cluster, upload_id, received, verdict)


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
    Route(verb="GET", path="/v2/images/{image_id}/file", handler=download_file, allow=Allow.READER),
)
