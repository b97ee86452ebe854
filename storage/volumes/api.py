"""What the volume routes do: create, list, show, describe and delete volumes (Cinder v3, "Volumes")."""

from functools import partial

import structlog
from msgspec import Struct, field
from msgspec.structs import replace

from consensus.liveness.links import Watch
from consensus.vault.links import VaultAccess
from consensus.vault.model import NewSecret
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import Conflict, Invalid, NotFound
from noded.core.ids import VolumeId
from noded.core.retry import propose_chosen
from noded.core.route import Allow, Caller, Done, Request, Response, Route
from noded.core.store import View
from noded.core.units import GIB
from storage import inputs
from storage.endpoint import ZONE
from storage.extents.layout import extent_count
from storage.inputs import Body, Flag
from storage.lookup import group_of, named_volume, volume_of
from storage.paging import paged
from storage.types.model import VolumeType, default_type, get_type, type_named
from storage.volumes import versions
from storage.volumes.commands import PLACES_CHANGED, ChangeVolume, choose_layout
from storage.volumes.creation import CreateVolume
from storage.volumes.encrypting import encryption_of, must_match
from storage.volumes.links import ImageDisk, ImageDisks
from storage.volumes.listing import SORT_KEYS, matching, of_project, with_count
from storage.volumes.model import VOLUME_BYTES_MAX, Purpose, Volume, extent_bytes_for
from storage.volumes.sources import CreateClone
from storage.volumes.views import Reader, summary, volume_brief, volume_created, volume_detail

log = structlog.get_logger(__name__)


TYPE_OF_IMAGE = "cinder_img_volume_type"  # the property of an image that says of which type volumes made of it are


class NewVolume(Struct, frozen=True, kw_only=True):
    """The body of a creation. Here alone Cinder passes over what it does not know."""

    size: int | str | None = None
    name: str | None = None
    description: str | None = None
    display_name: str | None = None
    display_description: str | None = None
    metadata: dict[str, str] | None = None
    volume_type: str | None = None
    availability_zone: str | None = None
    imageRef: str | None = None  # noqa: N815  # the API's word
    image_id: str | None = None
    snapshot_id: str | None = None
    source_volid: str | None = None
    backup_id: str | None = None
    group_id: str | None = None
    consistencygroup_id: str | None = None
    multiattach: Flag | None = None


class NewVolumeBody(Struct, frozen=True):
    """Its wrapper, with what the scheduler may be told."""

    volume: NewVolume
    hints: dict[str, object] | None = field(default=None, name="OS-SCH-HNT:scheduler_hints")


class VolumeChange(Body, frozen=True):
    """The body of a change."""

    name: str | None = None
    description: str | None = None
    display_name: str | None = None
    display_description: str | None = None
    metadata: dict[str, str] | None = None


class VolumeChangeBody(Struct, frozen=True):
    """Its wrapper."""

    volume: VolumeChange


def reader_of(request: Request) -> Reader:
    """How this request sees volumes."""
    return Reader(
        view=request.cluster.view(),
        base_url=request.base_url,
        version=request.microversion,
        for_admin=request.caller.is_admin,
    )


async def create_volume(request: Request) -> Response:
    """A new volume: an empty one, or a clone of an image's disk, of a snapshot or of another volume."""
    new = (await request.json(NewVolumeBody)).volume
    _check_source(new)
    _check_group(request, new)
    volume_id = VolumeId(dice.new_uuid())
    image = _image(request, new)
    if image is not None and not new.volume_type:
        new = replace(new, volume_type=image.words.get(TYPE_OF_IMAGE))
    source = _source(request, new) if image is None else request.cluster.view().need(Volume, image.volume_id)
    if source is None or _is_filled(request, new, source, image):
        size_bytes = _size(new.size)
        secret = await _new_key(request, new)
        creation = partial(_creation, request, new, volume_id, size_bytes, secret, image)
        await propose_chosen(request.cluster, creation, PLACES_CHANGED)
    else:
        size_bytes = source.size_bytes if new.size is None and image is None else _size(new.size)
        order = partial(_clone, request, new, volume_id, source, size_bytes, image)
        await propose_chosen(request.cluster, order, PLACES_CHANGED)
    volume = request.cluster.view().need(Volume, volume_id)
    if volume.replicas < volume.replicas_wanted:
        log.warning("volume has fewer replicas than wanted", volume=volume_id, replicas=volume.replicas)
    return Response(body={"volume": volume_created(volume, reader_of(request))})


def _is_filled(request: Request, new: NewVolume, source: Volume, image: ImageDisk | None) -> bool:
    """Whether the volume has bytes of its own although it begins as an image's disk: that is plain, and it is not."""
    kind = type_for(request.cluster.view(), request.caller, new.volume_type)
    return image is not None and kind.encryption is not None and source.encryption is None


async def _new_key(request: Request, new: NewVolume) -> NewSecret | None:
    """The key of a volume that is to be encrypted, sealed; None: its type asks for none."""
    kind = type_for(request.cluster.view(), request.caller, new.volume_type)
    if kind.encryption is None:
        return None
    key_id = dice.new_uuid()
    encryption_of(kind, key_id)  # what can't be done is refused before anything is sealed
    return await request.driver(VaultAccess).seal(request.cluster, key_id, dice.new_key())


def _creation(
    request: Request,
    new: NewVolume,
    volume_id: VolumeId,
    size_bytes: int,
    secret: NewSecret | None,
    image: ImageDisk | None,
) -> CreateVolume:
    view = request.cluster.view()
    kind = type_for(view, request.caller, new.volume_type)
    _check_image(image, size_bytes)
    encryption = None
    if kind.encryption is not None:
        if secret is None:
            raise Conflict(f"Volume type {kind.name} was changed at the same time. Try again.")
        encryption = encryption_of(kind, secret.id, source_id=None if image is None else image.volume_id)
    extent_bytes = extent_bytes_for(size_bytes)
    stored_bytes = size_bytes + (0 if encryption is None else encryption.header_bytes)
    extents = range(extent_count(stored_bytes, extent_bytes))
    reachable = request.driver(Watch).usable()
    return CreateVolume(
        volume_id=volume_id,
        project_id=request.caller.project,
        user_id=request.caller.user_id,
        name=inputs.text(new.name if new.name is not None else new.display_name, "name"),
        description=inputs.text(
            new.description if new.description is not None else new.display_description, "description"
        ),
        metadata=inputs.metadata(new.metadata or {}),
        size_bytes=size_bytes,
        extent_bytes=extent_bytes,
        layout=choose_layout(view, reachable, volume_id, extents, replicas=kind.replicas),
        now_ms=now_ms(),
        type_id=kind.id,
        message_id=dice.new_uuid(),
        request_id=request.request_id,
        multiattach=new.multiattach is not None and inputs.flag(new.multiattach, "multiattach"),
        group_id=new.group_id or None,
        encryption=encryption,
        secret=secret if encryption is not None else None,
        image_id="" if image is None else image.image_id,
        image_metadata={} if image is None else image.words,
    )


def _check_image(image: ImageDisk | None, size_bytes: int) -> None:
    if image is not None and size_bytes < image.gib_min * GIB:
        raise Invalid(
            f"Invalid input received: Size of specified image {image.gib_min}GB is larger than volume size"
            f" {size_bytes // GIB}GB."
        )


def _clone(
    request: Request, new: NewVolume, volume_id: VolumeId, source: Volume, size_bytes: int, image: ImageDisk | None
) -> CreateClone:
    _check_image(image, size_bytes)
    if size_bytes < source.size_bytes:
        raise Invalid(
            f"Invalid input received: Volume size {size_bytes // GIB}GB cannot be smaller than the source's size,"
            f" {source.gib}GB."
        )
    view = request.cluster.view()
    kind = type_for(view, request.caller, new.volume_type or (source.type_id if image is None else None))
    must_match(source, kind)
    beyond = range(len(source.layout), extent_count(size_bytes + source.header_bytes, source.extent_bytes))
    reachable = request.driver(Watch).usable()
    return CreateClone(
        volume_id=volume_id,
        source_id=source.volume_id,
        frozen_id=VolumeId(dice.new_uuid()),
        cut_id=dice.new_uuid(),
        project_id=request.caller.project,
        user_id=request.caller.user_id,
        name=inputs.text(new.name if new.name is not None else new.display_name, "name"),
        description=inputs.text(
            new.description if new.description is not None else new.display_description, "description"
        ),
        metadata=inputs.metadata(new.metadata or {}),
        size_bytes=size_bytes,
        tail=choose_layout(view, reachable, volume_id, beyond, replicas=kind.replicas) if beyond else (),
        now_ms=now_ms(),
        type_id=kind.id,
        multiattach=new.multiattach is not None and inputs.flag(new.multiattach, "multiattach"),
        group_id=new.group_id or None,
        image_id="" if image is None else image.image_id,
        image_metadata={} if image is None else image.words,
    )


def _image(request: Request, new: NewVolume) -> ImageDisk | None:
    """The disk of the image that the body names; None where it names none."""
    image_id = new.imageRef or new.image_id
    if not image_id:
        return None
    if new.snapshot_id or new.source_volid:
        raise Invalid("Invalid input received: May specify only one of snapshot, imageRef or source volume.")
    return request.driver(ImageDisks).disk(request.cluster.view(), request.caller, image_id)


def _source(request: Request, new: NewVolume) -> Volume | None:
    """What the volume is to be a clone of; None: of nothing."""
    if new.snapshot_id and new.source_volid:
        raise Invalid("Invalid input received: a volume is made from a snapshot or from a volume, not from both.")
    if new.source_volid:
        return volume_of(request, new.source_volid)
    if not new.snapshot_id:
        return None
    found = request.cluster.view().get(Volume, new.snapshot_id)
    if found is None or found.purpose is not Purpose.SNAPSHOT or found.snapshot_of is None:
        raise NotFound(f"Snapshot {new.snapshot_id[:255]} could not be found.")
    if found.project_id != request.caller.project_id and not request.caller.is_admin:
        raise NotFound(f"Snapshot {new.snapshot_id[:255]} could not be found.")
    return found


def type_for(view: View, caller: Caller, word: str | None) -> VolumeType:
    """The type that a body names by id or name, or the caller's default. Raises `NotFound` for one not open to them."""
    if not word:
        return default_type(view, caller.project)
    kind = get_type(view, word) or type_named(view, word)
    if kind is None or not kind.is_open_to(caller.project_id):
        raise NotFound(f"Volume type with name or id {word[:255]} could not be found.")
    return kind


def _check_source(new: NewVolume) -> None:
    if new.availability_zone not in (None, "", ZONE):
        raise Invalid(f"Availability zone {new.availability_zone[:255]!r} is invalid; the only one is {ZONE}.")
    if new.backup_id:
        raise NotFound(f"Backup {new.backup_id[:255]} could not be found; restore it into a volume instead.")
    if new.consistencygroup_id:
        raise Invalid("Consistency groups are not offered: make a group (microversion 3.13), and say group_id.")


def _check_group(request: Request, new: NewVolume) -> None:
    if not new.group_id:
        return
    if request.microversion < versions.GROUP:
        raise Invalid("Invalid input for field/attribute volume: group_id is there since microversion 3.13.")
    group_of(request, new.group_id)
    if not new.volume_type:
        raise Invalid("volume_type must be provided when creating a volume in a group.")


def _size(value: int | str | None) -> int:
    """GiB, as a number or as text, in bytes."""
    if value is None:
        raise Invalid("Invalid input received: size must be a whole number of GiB above zero; the body names none.")
    return inputs.number(value, "size", lowest=1, highest=VOLUME_BYTES_MAX // GIB) * GIB


async def list_volumes(request: Request) -> Response:
    """The short list."""
    page, rest = _page(request)
    return Response(body={"volumes": [volume_brief(volume, request.base_url) for volume in page], **rest})


async def list_volumes_detail(request: Request) -> Response:
    """The full list."""
    page, rest = _page(request)
    reader = reader_of(request)
    return Response(body={"volumes": [volume_detail(volume, reader) for volume in page], **rest})


def _page(request: Request) -> tuple[list[Volume], dict[str, object]]:
    query, version = request.query, request.microversion
    found = matching(request.cluster.view(), request.caller, query, version)
    url = request.base_url + request.path
    page, links = paged(found, query, url, SORT_KEYS, word="volumes", noun="Volume")
    return page, links | ({"count": len(found)} if with_count(query, version) else {})


async def summarize_volumes(request: Request) -> Response:
    """How many volumes there are, and how large together."""
    view, caller = request.cluster.view(), request.caller
    volumes = of_project(view, caller, everyones=inputs.everyones(caller, request.query))
    return Response(body=summary(volumes, request.microversion))


async def show_volume(request: Request) -> Response:
    """One volume."""
    return Response(body={"volume": volume_detail(named_volume(request), reader_of(request))})


async def update_volume(request: Request) -> Response:
    """New words on a volume."""
    change = (await request.json(VolumeChangeBody)).volume
    volume_id = named_volume(request).volume_id
    name = change.name if change.name is not None else change.display_name
    description = change.description if change.description is not None else change.display_description
    if name is None and description is None and change.metadata is None:
        raise Invalid("Invalid input for field/attribute volume. It names nothing to change.")
    await request.cluster.propose(
        ChangeVolume(
            volume_id=volume_id,
            name=None if name is None else inputs.text(name.strip(), "name"),
            description=None if description is None else inputs.text(description.strip(), "description"),
            metadata=None if change.metadata is None else inputs.metadata(change.metadata),
            now_ms=now_ms(),
        )
    )
    return Response(body={"volume": volume_created(named_volume(request), reader_of(request))})


_VOLUME = "/v3/volumes/{volume_id}"

ROUTES = (
    Route(verb="POST", path="/v3/volumes", handler=create_volume, allow=Allow.MEMBER, done=Done.ACCEPTED),
    Route(verb="GET", path="/v3/volumes", handler=list_volumes, allow=Allow.READER),
    Route(verb="GET", path="/v3/volumes/detail", handler=list_volumes_detail, allow=Allow.READER),
    Route(
        verb="GET",
        path="/v3/volumes/summary",
        handler=summarize_volumes,
        allow=Allow.READER,
        since=versions.SUMMARY,
    ),
    Route(verb="GET", path=_VOLUME, handler=show_volume, allow=Allow.READER),
    Route(verb="PUT", path=_VOLUME, handler=update_volume, allow=Allow.MEMBER),
)
