"""What the routes of an image's data do: receive a file, hand it out, import it (Glance v2, "Image data")."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec

from images.catalog.commands import visible
from images.catalog.links import STORE
from images.catalog.model import IMAGE_BYTES_MAX, IMPORT_METHODS, Contents, Image
from images.contents.commands import AbortUpload, FinishUpload, StageUpload
from images.contents.links import ImageBytes, Received
from images.contents.model import Upload
from images.contents.ranges import asked_range, sent_part
from images.contents.reconcile.receiving import Attempt, receive_whole
from images.contents.reconcile.resuming import receive_part
from images.formats.inspection import Verdict
from images.import_rules.model import Guard
from images.tasks.commands import EndTask, StartTask, expect_ready
from images.tasks.model import Digest, Method, TaskKind
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Conflict, Forbidden, Invalid, Kind, NotFound, Refused, TooLarge
from noded.core.route import Allow, Done, Request, Response, Route
from storage.volumes.links import VolumeFiles

MEDIA_TYPE = "application/octet-stream"
DIGESTS = {"sha256": 64, "sha384": 96, "sha512": 128}  # hexadecimal digits


class MethodBody(msgspec.Struct, frozen=True):
    """How the data comes."""

    name: str
    uri: str = ""


class Import(msgspec.Struct, frozen=True):
    """The body of an import. Whether all stores must succeed means nothing: there is one."""

    method: MethodBody
    stores: tuple[str, ...] | None = None
    all_stores: bool = False


class ValidationData(msgspec.Struct, frozen=True):
    """What the data of a location must add up to."""

    os_hash_algo: str | None = None
    os_hash_value: str | None = None


class NewLocation(msgspec.Struct, frozen=True):
    """The body of a new location."""

    url: str
    validation_data: ValidationData = ValidationData()


async def upload_file(request: Request) -> Response:
    """Receive the file. The image is active when this has answered; on any fault it is as empty as before."""
    return await _receive(request, staging=False)


async def stage_file(request: Request) -> Response:
    """Receive and check the file, and make a disk of it, as an upload does; the image gets it when it is imported."""
    return await _receive(request, staging=True)


async def import_image(request: Request) -> Response:
    """Fill the image by one of the import methods.

    For what was staged all the work was done by then, and further stores there are none: those two are one entry of
    the log. What is fetched from elsewhere takes its time: a task of this node.
    """
    body = await request.json(Import)
    method, url = _method(body, request.cluster)
    image = _imported(request, method)
    now, task_id = now_ms(), dice.new_uuid()
    start = StartTask(
        task_id=task_id,
        kind=TaskKind.API_IMAGE_IMPORT,
        method=method,
        image_id=image.image_id,
        project_id=image.project_id,
        user_id=request.caller.user_id,
        request_id=request.request_id,
        url=url,
        node_id=request.cluster.node_id,
        now_ms=now,
    )
    end = EndTask(task_id=task_id, turn=0, now_ms=now)
    if method is Method.WEB_DOWNLOAD:
        await request.cluster.propose(start)
    elif method is Method.COPY_IMAGE:
        await request.cluster.propose(start, end)
    else:
        await request.cluster.propose(start, _import_staged(request.cluster, image), end)
    return Response()


def _method(body: Import, cluster: Cluster) -> tuple[Method, str]:
    """How, and for a download from where. Raises a refusal for what can't be."""
    name = body.method.name
    if name not in IMPORT_METHODS:
        raise Invalid(f"Unknown import method name '{name[:64]}'. It must be one of {', '.join(IMPORT_METHODS)}.")
    if body.stores is not None and body.all_stores:
        raise Invalid("Give either stores or all_stores.")
    for store in body.stores or ():
        expect_store(store)
    method = Method(name)
    if method is not Method.WEB_DOWNLOAD:
        return method, ""
    if not body.method.uri:
        raise Invalid("The method 'web-download' needs a uri.")
    Guard.of(cluster.view()).expect_url(body.method.uri)
    return method, body.method.uri


def _imported(request: Request, method: Method) -> Image:
    """The image of the path, if the caller may import to it now."""
    image = _own(request)
    expect_ready(image, method)
    return image


def _import_staged(cluster: Cluster, image: Image) -> FinishUpload:
    upload = cluster.view().get(Upload, image.upload_id) if image.upload_id else None
    if upload is None or upload.staged is None:
        raise Conflict(f"Image {image.id} needs to be staged before the method 'glance-direct' can be used.")
    staged = upload.staged
    return FinishUpload(
        upload_id=upload.id,
        size_bytes=staged.size_bytes,
        virtual_bytes=staged.virtual_bytes,
        md5=staged.md5,
        sha512=staged.sha512,
        now_ms=now_ms(),
    )


async def add_location(request: Request) -> Response:
    """Fill the image with what is at a URL, and, where a digest is given, only if the data adds up to it.

    The data is fetched once and kept here: an image never depends on a server elsewhere.
    """
    body = await request.json(NewLocation)
    image = _imported(request, Method.WEB_DOWNLOAD)
    Guard.of(request.cluster.view()).expect_url(body.url)
    await request.cluster.propose(
        StartTask(
            task_id=dice.new_uuid(),
            kind=TaskKind.LOCATION_IMPORT,
            method=Method.WEB_DOWNLOAD,
            image_id=image.image_id,
            project_id=image.project_id,
            user_id=request.caller.user_id,
            request_id=request.request_id,
            url=body.url,
            expected=_expected(body.validation_data),
            node_id=request.cluster.node_id,
            now_ms=now_ms(),
        )
    )
    return Response(headers={"Location": f"{request.base_url}/image/v2/images/{image.id}/locations"})


def _expected(told: ValidationData) -> Digest | None:
    if not told.os_hash_algo and not told.os_hash_value:
        return None
    if told.os_hash_algo not in DIGESTS:
        raise Invalid(f"os_hash_algo must be one of {', '.join(DIGESTS)}, not {str(told.os_hash_algo)[:64]}.")
    value = (told.os_hash_value or "").lower()
    if len(value) != DIGESTS[told.os_hash_algo] or not set(value) <= set("0123456789abcdef"):
        raise Invalid(f"os_hash_value must have {DIGESTS[told.os_hash_algo]} hexadecimal digits.")
    return Digest(algorithm=told.os_hash_algo, value=value)


async def list_locations(request: Request) -> Response:
    """Where the data is: in the one store, under the image's own name. Nothing can be fetched by it."""
    image = _visible(request)
    if image.contents is None:
        return Response(body=[])
    return Response(body=[{"url": f"{STORE}://{image.id}", "metadata": {"store": STORE}}])


async def list_stores(request: Request) -> Response:  # noqa: ARG001  # every handler takes the request
    """The one store. All images are in it, on several nodes each."""
    store = {"id": STORE, "description": "The cluster's storage, on several nodes", "default": "true"}
    return Response(body={"stores": [store]})


async def list_store_details(request: Request) -> Response:  # noqa: ARG001  # every handler takes the request
    """The one store, with what there is to know of it."""
    store = {
        "id": STORE,
        "type": "noded",
        "description": "The cluster's storage, on several nodes",
        "default": "true",
        "weight": 0,
        "properties": {},
    }
    return Response(body={"stores": [store]})


async def remove_from_store(request: Request) -> Response:
    """Refused: what is in one store alone goes with its image."""
    if request.params["store"] != STORE:
        raise NotFound.of("store", request.params["store"])
    image = _own(request)
    if image.contents is None:
        raise NotFound(f"Image {image.id} is not in store {STORE}: it has no data yet.")
    raise Forbidden(f"Store {STORE} is the only one that has image {image.id}. Delete the image instead.")


def expect_store(name: str | None) -> None:
    """Raises a refusal for a store that there is not."""
    if name is not None and name != STORE:
        raise Conflict(f"There is no store {name[:64]}; the one store is {STORE}.")


async def show_progress(request: Request) -> Response:
    """Where an upload in parts goes on (HEAD): `Upload-Offset`, and `Upload-Length` where the whole is known."""
    image = _visible(request)
    if image.contents is not None:
        return await download_file(request)
    upload = request.cluster.view().get(Upload, image.upload_id) if image.upload_id else None
    headers = {"Upload-Offset": str(upload.kept_bytes if upload else 0), "Cache-Control": "no-store"}
    if upload is not None and upload.total_bytes is not None:
        headers["Upload-Length"] = str(upload.total_bytes)
    return Response(headers=headers, done=Done.EMPTY)


async def give_up_upload(request: Request) -> Response:
    """Throw away what has come of an image so far: it is as empty as before."""
    image = _own(request)
    if image.upload_id is None or request.cluster.view().get(Upload, image.upload_id) is None:
        raise Conflict(f"Image {image.id} is not being uploaded.")
    await request.cluster.propose(AbortUpload(upload_id=image.upload_id, even_kept=True))
    return Response()


async def _receive(request: Request, *, staging: bool) -> Response:
    said = request.headers.get("content-range")
    image = _empty(request) if said is None else _unfinished(request, staging=staging)
    if request.headers.get("content-type", "").split(";")[0].strip() != MEDIA_TYPE:
        raise Refused(f"Send the image's data as {MEDIA_TYPE}.", kind=Kind.UNSUPPORTED_TYPE)
    expect_store(request.headers.get("x-image-meta-store"))
    size_bytes = _declared_size(request)

    async def finish(upload_id: str, received: Received, verdict: Verdict) -> None:
        await (_stage if staging else _finish)(request.cluster, upload_id, received, verdict)

    if said is None:
        attempt = Attempt(request.cluster, request.driver)
        await receive_whole(attempt, image, request.stream(), size_bytes, finish, staging=staging)
        return Response()
    part = sent_part(said)
    if size_bytes not in (None, part.end - part.start):
        raise Invalid(f"Content-Range says {part.end - part.start} bytes, Content-Length {size_bytes}.")
    attempt = Attempt(request.cluster, request.driver, image.upload_id)
    kept_bytes = await receive_part(attempt, image, part, request.stream(), finish, staging=staging)
    if kept_bytes is None:
        return Response()
    return Response(headers={"Upload-Offset": str(kept_bytes)}, done=Done.ACCEPTED)


def _unfinished(request: Request, *, staging: bool) -> Image:
    """The image of the path, if a part of its file may come now."""
    image = _own(request)
    upload = request.cluster.view().get(Upload, image.upload_id) if image.upload_id else None
    if image.contents is not None or (image.upload_id is not None and (upload is None or not upload.resumable)):
        raise Conflict(f"Image {image.id} has its data already, or is receiving it in another way.")
    if upload is not None and (upload.staged is not None or image.staging is not staging):
        raise Conflict(f"The upload of image {image.id} goes on where it began, and not after its end.")
    return image


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


def _declared_size(request: Request) -> int | None:
    """The size that the client announces, where it does."""
    text = request.headers.get("content-length")
    if text is None:
        return None
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
    Route(
        verb="POST",
        path="/v2/images/{image_id}/locations",
        handler=add_location,
        allow=Allow.MEMBER,
        done=Done.ACCEPTED,
    ),
    Route(verb="GET", path="/v2/images/{image_id}/locations", handler=list_locations, allow=Allow.ADMIN),
    Route(verb="GET", path="/v2/info/stores", handler=list_stores, allow=Allow.READER),
    Route(verb="GET", path="/v2/info/stores/detail", handler=list_store_details, allow=Allow.ADMIN),
    Route(
        verb="DELETE",
        path="/v2/stores/{store}/{image_id}",
        handler=remove_from_store,
        allow=Allow.MEMBER,
        done=Done.EMPTY,
    ),
    Route(verb="HEAD", path="/v2/images/{image_id}/file", handler=show_progress, allow=Allow.READER),
    Route(
        verb="DELETE",
        path="/v2/images/{image_id}/file",
        handler=give_up_upload,
        allow=Allow.MEMBER,
        done=Done.EMPTY,
    ),
    Route(verb="GET", path="/v2/images/{image_id}/file", handler=download_file, allow=Allow.READER),
)
