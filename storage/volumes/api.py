"""What the volume routes do: create, list, show, describe and delete volumes (Cinder v3, "Volumes", "Volume types")."""

import structlog
from msgspec import Struct

from consensus.liveness.links import Watch
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import Invalid, NotFound
from noded.core.ids import VolumeId
from noded.core.retry import propose_chosen
from noded.core.route import Allow, Done, Request, Response, Route, owned
from noded.core.units import GIB, gib_ceil
from storage.extents.layout import extent_count
from storage.volumes.commands import PLACES_CHANGED, ChangeVolume, CreateVolume, DeleteVolume, choose_layout
from storage.volumes.listing import listed, of_project, page_links
from storage.volumes.model import REPLICAS_WANTED, VOLUME_BYTES_MAX, Purpose, Volume, extent_bytes_for
from storage.volumes.views import (
    TYPE_ID,
    TYPE_NAME,
    ZONE,
    limits_view,
    type_view,
    volume_brief,
    volume_created,
    volume_detail,
)

log = structlog.get_logger(__name__)

TEXT_CHARS_MAX = 255
METADATA_MAX = 128


class NewVolume(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a creation."""

    size: int | str | None = None
    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None
    volume_type: str | None = None
    availability_zone: str | None = None
    imageRef: str | None = None  # noqa: N815  # the API's word
    snapshot_id: str | None = None
    source_volid: str | None = None
    backup_id: str | None = None
    consistencygroup_id: str | None = None
    multiattach: bool | None = None


class NewVolumeBody(Struct, frozen=True):
    """Its wrapper."""

    volume: NewVolume


class VolumeChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a change."""

    name: str | None = None
    description: str | None = None
    display_name: str | None = None
    display_description: str | None = None
    metadata: dict[str, str] | None = None


class VolumeChangeBody(Struct, frozen=True):
    """Its wrapper."""

    volume: VolumeChange


class MetadataBody(Struct, frozen=True):
    """Metadata to set."""

    metadata: dict[str, str]


async def create_volume(request: Request) -> Response:
    """A new, empty volume."""
    new = (await request.json(NewVolumeBody)).volume
    _check_source(new)
    size_bytes = _size(new.size)
    volume_id = VolumeId(dice.new_uuid())
    await propose_chosen(request.cluster, lambda: _creation(request, new, volume_id, size_bytes), PLACES_CHANGED)
    volume = request.cluster.view().need(Volume, volume_id)
    if volume.replicas < REPLICAS_WANTED:
        log.warning("volume has fewer replicas than wanted", volume=volume_id, replicas=volume.replicas)
    return Response(body={"volume": volume_created(volume, request.base_url)})


def _creation(request: Request, new: NewVolume, volume_id: VolumeId, size_bytes: int) -> CreateVolume:
    extent_bytes = extent_bytes_for(size_bytes)
    extents = range(extent_count(size_bytes, extent_bytes))
    return CreateVolume(
        volume_id=volume_id,
        project_id=request.caller.project,
        user_id=request.caller.user_id,
        name=_text(new.name, "name"),
        description=_text(new.description, "description"),
        metadata=_metadata(new.metadata or {}),
        size_bytes=size_bytes,
        extent_bytes=extent_bytes,
        layout=choose_layout(request.cluster.view(), request.driver(Watch).usable(), volume_id, extents),
        now_ms=now_ms(),
    )


def _check_source(new: NewVolume) -> None:
    if new.volume_type not in (None, "", TYPE_ID, TYPE_NAME):
        raise NotFound(f"Volume type {new.volume_type[:TEXT_CHARS_MAX]} could not be found.")
    if new.availability_zone not in (None, "", ZONE):
        raise Invalid(f"Availability zone {new.availability_zone[:TEXT_CHARS_MAX]} is invalid; the only one is {ZONE}.")
    if new.snapshot_id or new.backup_id:
        raise NotFound(f"Snapshot or backup {(new.snapshot_id or new.backup_id or '')[:TEXT_CHARS_MAX]} was not found.")
    if new.imageRef or new.source_volid or new.consistencygroup_id or new.multiattach:
        raise Invalid("Volumes are made empty here: imageRef, source_volid, groups and multiattach are not offered.")


def _size(value: int | str | None) -> int:
    """GiB, as a number or as text, in bytes."""
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) == 0:
        raise Invalid(f"Invalid input received: size must be a whole number of GiB above zero, not {text[:64]}.")
    if int(text) * GIB > VOLUME_BYTES_MAX:
        raise Invalid(f"A volume has at most {VOLUME_BYTES_MAX // GIB} GiB, not {text}.")
    return int(text) * GIB


def _text(value: str | None, key: str) -> str:
    if value is not None and len(value) > TEXT_CHARS_MAX:
        raise Invalid(f"{key} has {len(value)} characters; at most {TEXT_CHARS_MAX} are allowed.")
    return value or ""


def _metadata(metadata: dict[str, str]) -> dict[str, str]:
    if len(metadata) > METADATA_MAX:
        raise Invalid(f"A volume has at most {METADATA_MAX} metadata items.")
    for key, value in metadata.items():
        if not 0 < len(key) <= TEXT_CHARS_MAX or len(value) > TEXT_CHARS_MAX:
            raise Invalid(f"Metadata keys have 1 to {TEXT_CHARS_MAX} characters, values at most as many.")
    return metadata


async def list_volumes(request: Request) -> Response:
    """The short list."""
    page = listed(request.cluster.view(), request.caller, request.query)
    entries = [volume_brief(volume, request.base_url) for volume in page.volumes]
    return Response(body={"volumes": entries, **page_links(request.query, page, request.base_url + request.path)})


async def list_volumes_detail(request: Request) -> Response:
    """The full list."""
    page, for_admin = listed(request.cluster.view(), request.caller, request.query), request.caller.is_admin
    entries = [volume_detail(volume, request.base_url, for_admin=for_admin) for volume in page.volumes]
    return Response(body={"volumes": entries, **page_links(request.query, page, request.base_url + request.path)})


async def show_volume(request: Request) -> Response:
    """One volume."""
    volume = _own(request)
    return Response(body={"volume": volume_detail(volume, request.base_url, for_admin=request.caller.is_admin)})


async def update_volume(request: Request) -> Response:
    """New words on a volume."""
    change = (await request.json(VolumeChangeBody)).volume
    name = change.name if change.name is not None else change.display_name
    description = change.description if change.description is not None else change.display_description
    await request.cluster.propose(
        ChangeVolume(
            volume_id=_own(request).volume_id,
            name=None if name is None else _text(name, "name"),
            description=None if description is None else _text(description, "description"),
            metadata=None if change.metadata is None else _metadata(change.metadata),
            now_ms=now_ms(),
        )
    )
    return await show_volume(request)


async def delete_volume(request: Request) -> Response:
    """Delete the volume and what is in it."""
    await request.cluster.propose(DeleteVolume(volume_id=_own(request).volume_id))
    return Response()


async def show_metadata(request: Request) -> Response:
    """All metadata of a volume."""
    return Response(body={"metadata": dict(_own(request).metadata)})


async def add_metadata(request: Request) -> Response:
    """Some more metadata."""
    return await _set_metadata(request, _own(request).metadata | (await request.json(MetadataBody)).metadata)


async def replace_metadata(request: Request) -> Response:
    """These metadata and no others."""
    return await _set_metadata(request, (await request.json(MetadataBody)).metadata)


async def remove_metadata(request: Request) -> Response:
    """One metadata item less."""
    metadata, key = dict(_own(request).metadata), request.params["key"]
    if key not in metadata:
        raise NotFound(f"Volume has no metadata with key {key[:TEXT_CHARS_MAX]}.")
    del metadata[key]
    await _set_metadata(request, metadata)
    return Response()


async def _set_metadata(request: Request, metadata: dict[str, str]) -> Response:
    volume_id = _own(request).volume_id
    await request.cluster.propose(ChangeVolume(volume_id=volume_id, metadata=_metadata(metadata), now_ms=now_ms()))
    return Response(body={"metadata": metadata})


async def list_types(request: Request) -> Response:
    """The one type that there is."""
    return Response(body={"volume_types": [type_view(for_admin=request.caller.is_admin)]})


async def show_type(request: Request) -> Response:
    """A type by its id, or the default."""
    if request.params["type_id"] not in (TYPE_ID, "default"):
        raise NotFound(f"Volume type {request.params['type_id'][:TEXT_CHARS_MAX]} could not be found.")
    return Response(body={"volume_type": type_view(for_admin=request.caller.is_admin)})


async def show_limits(request: Request) -> Response:
    """How much the project has, and may have."""
    volumes = of_project(request.cluster.view(), request.caller)
    return Response(body=limits_view(len(volumes), sum(gib_ceil(volume.size_bytes) for volume in volumes)))


async def list_zones(request: Request) -> Response:  # noqa: ARG001  # every handler takes the request
    """The one availability zone."""
    zone = {"zoneName": ZONE, "zoneState": {"available": True}}
    return Response(body={"availabilityZoneInfo": [zone]})


def _own(request: Request) -> Volume:
    volume_id = request.params["volume_id"]
    volume = request.cluster.view().get(Volume, volume_id)
    shown = volume if volume is not None and volume.purpose is Purpose.DATA else None
    return owned(request.caller, shown, shown.project_id if shown else None, volume_id)


_VOLUME = "/v3/volumes/{volume_id}"

ROUTES = (
    Route(verb="POST", path="/v3/volumes", handler=create_volume, allow=Allow.MEMBER, done=Done.ACCEPTED),
    Route(verb="GET", path="/v3/volumes", handler=list_volumes, allow=Allow.READER),
    Route(verb="GET", path="/v3/volumes/detail", handler=list_volumes_detail, allow=Allow.READER),
    Route(verb="GET", path=_VOLUME, handler=show_volume, allow=Allow.READER),
    Route(verb="PUT", path=_VOLUME, handler=update_volume, allow=Allow.MEMBER),
    Route(verb="DELETE", path=_VOLUME, handler=delete_volume, allow=Allow.MEMBER, done=Done.ACCEPTED),
    Route(verb="GET", path=_VOLUME + "/metadata", handler=show_metadata, allow=Allow.READER),
    Route(verb="POST", path=_VOLUME + "/metadata", handler=add_metadata, allow=Allow.MEMBER),
    Route(verb="PUT", path=_VOLUME + "/metadata", handler=replace_metadata, allow=Allow.MEMBER),
    Route(verb="DELETE", path=_VOLUME + "/metadata/{key}", handler=remove_metadata, allow=Allow.MEMBER),
    Route(verb="GET", path="/v3/types", handler=list_types, allow=Allow.READER),
    Route(verb="GET", path="/v3/types/{type_id}", handler=show_type, allow=Allow.READER),
    Route(verb="GET", path="/v3/limits", handler=show_limits, allow=Allow.READER),
    Route(verb="GET", path="/v3/os-availability-zone", handler=list_zones, allow=Allow.READER),
)
