"""What the routes of a server's volumes do: attach, list, show, change, detach."""

import re

from msgspec import UNSET, UnsetType

from compute import inputs
from compute.attachments.commands import AttachVolume, DetachVolume, KeepVolume, need_attached
from compute.attachments.views import attached, volume_attachment
from compute.inputs import Body, Flag
from compute.servers.links import event_of, named_server
from compute.servers.model import volumes_of
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import Conflict, Forbidden, Invalid, NotFound
from noded.core.ids import AttachmentId, VolumeId
from noded.core.route import Allow, Done, Request, Response, Route
from storage.attachments.commands import need_data_volume
from storage.volumes.model import Volume

TAG_SINCE = (2, 49)
DELETE_FLAG_SINCE = (2, 79)
CHANGE_SINCE = (2, 85)
LIMIT_MAX = 1000
_DEVICE = re.compile(r"(/dev/x?[a-z]?d?)?([a-z]+)[0-9]*")
_TAG = re.compile(r"[^,/]{1,60}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


class NewAttachment(Body, frozen=True):
    """The body of an attachment."""

    volumeId: str  # noqa: N815  # Nova's name
    device: str | None = None
    tag: str | UnsetType = UNSET
    delete_on_termination: Flag | UnsetType = UNSET


class NewAttachmentBody(Body, frozen=True):
    """Its wrapper."""

    volumeAttachment: NewAttachment  # noqa: N815


class AttachmentChange(Body, frozen=True):
    """The body of a change: what may not change may be repeated."""

    volumeId: str  # noqa: N815
    id: str | UnsetType = UNSET
    serverId: str | UnsetType = UNSET  # noqa: N815
    device: str | UnsetType | None = UNSET
    tag: str | UnsetType | None = UNSET
    delete_on_termination: Flag | UnsetType = UNSET


class AttachmentChangeBody(Body, frozen=True):
    """Its wrapper."""

    volumeAttachment: AttachmentChange  # noqa: N815


_NEW_FIELDS = {"tag": TAG_SINCE, "delete_on_termination": DELETE_FLAG_SINCE}
_CHANGE_FIELDS = dict.fromkeys(("id", "serverId", "device", "tag", "delete_on_termination"), CHANGE_SINCE)


async def attach(request: Request) -> Response:
    """One entry: the server has the volume, and no other can get it."""
    new = (await request.json(NewAttachmentBody)).volumeAttachment
    inputs.allowed_since(new, _NEW_FIELDS, request.microversion)
    server = named_server(request)
    volume = _own_volume(request, _uuid(new.volumeId))
    attachment_id = AttachmentId(dice.new_uuid())
    await request.cluster.propose(
        AttachVolume(
            server_id=server.id,
            event=event_of(request, "attach_volume"),
            overrides_lock=request.caller.is_admin,
            attachment_id=attachment_id,
            volume_id=volume.volume_id,
            device=_device(new.device),
            role=None if new.tag is UNSET else _tag(new.tag),
            delete_on_termination=new.delete_on_termination is not UNSET
            and inputs.flag(new.delete_on_termination, "delete_on_termination"),
        )
    )
    server = named_server(request)
    made = next((each for each in server.attachments if each.id == attachment_id), None)
    if made is None:
        raise Conflict(f"Volume {volume.id} was detached again meanwhile.")
    return Response(body={"volumeAttachment": attached(server, made, request.microversion)})


async def list_attachments(request: Request) -> Response:
    """The volumes."""
    server = named_server(request)
    found = [volume_attachment(server, each, request.microversion) for each in volumes_of(server)]
    start, limit = _whole(request, "offset", 0), _whole(request, "limit", LIMIT_MAX)
    return Response(body={"volumeAttachments": found[start : start + limit]})


async def show_attachment(request: Request) -> Response:
    """One volume."""
    server, volume_id = named_server(request), request.params["volume_id"]
    for each in volumes_of(server):
        if each.volume_id == volume_id:
            return Response(body={"volumeAttachment": volume_attachment(server, each, request.microversion)})
    raise NotFound(f"Instance {server.id} is not attached to volume {volume_id[:255]}")


async def update_attachment(request: Request) -> Response:
    """From 2.85 on: whether the volume goes with the server. To swap volumes is for migrations alone: refused."""
    change = (await request.json(AttachmentChangeBody)).volumeAttachment
    inputs.allowed_since(change, _CHANGE_FIELDS, request.microversion)
    server, volume_id = named_server(request), request.params["volume_id"]
    if request.microversion < CHANGE_SINCE or change.volumeId != volume_id:
        await _refuse_swap(request, volume_id)
    attachment = need_attached(server, volume_id)
    kept = {"id": volume_id, "serverId": server.id, "device": attachment.device, "tag": attachment.tag}
    for name, value in kept.items():
        given = getattr(change, name)
        if given is not UNSET and given != value:
            raise Invalid(f"The {name} property is not mutable")
    if change.delete_on_termination is not UNSET:
        await request.cluster.propose(
            KeepVolume(
                server_id=server.id,
                volume_id=VolumeId(volume_id),
                delete_on_termination=inputs.flag(change.delete_on_termination, "delete_on_termination"),
                now_ms=now_ms(),
            )
        )
    return Response()


async def detach(request: Request) -> Response:
    """From now on the guest is to let go of the volume; its node says when it has."""
    server, volume_id = named_server(request), request.params["volume_id"]
    need_attached(server, volume_id)
    await request.cluster.propose(
        DetachVolume(
            server_id=server.id,
            event=event_of(request, "detach_volume"),
            overrides_lock=request.caller.is_admin,
            volume_id=VolumeId(volume_id),
        )
    )
    return Response()


async def _refuse_swap(request: Request, volume_id: str) -> None:
    if not request.caller.is_admin:
        raise Forbidden("Policy doesn't allow os_compute_api:os-volumes-attachments:swap to be performed.")
    _own_volume(request, volume_id)
    raise Conflict(
        f"volume {volume_id} is not migrating: volumes move under their servers by themselves here, and can't be"
        " swapped. Detach the one and attach the other."
    )


def _own_volume(request: Request, volume_id: str) -> Volume:
    volume = need_data_volume(request.cluster.view(), volume_id)
    if volume.project_id != request.caller.project_id and not request.caller.is_admin:
        raise NotFound(f"Volume {volume_id[:255]} could not be found.")
    return volume


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise Invalid(f"Invalid input for field/attribute volumeId. Value: {text[:64]}. '{text[:64]}' is not a 'uuid'")
    return text


def _device(text: str | None) -> str | None:
    if text is not None and (len(text) > 255 or not _DEVICE.fullmatch(text)):
        raise Invalid(f"Invalid input for field/attribute device. Value: {text[:64]}. It looks like /dev/vdb.")
    return text


def _tag(text: str) -> str:
    if not _TAG.fullmatch(text):
        raise Invalid("Invalid input for field/attribute tag. A tag has 1 to 60 characters and no comma or slash.")
    return text


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query.get(name)
    return default if text is None else inputs.number(text, name)


_ALL = "/servers/{server_id}/os-volume_attachments"
_ONE = _ALL + "/{volume_id}"
ROUTES = (
    Route(verb="POST", path=_ALL, handler=attach, allow=Allow.MEMBER),
    Route(verb="GET", path=_ALL, handler=list_attachments, allow=Allow.READER),
    Route(verb="GET", path=_ONE, handler=show_attachment, allow=Allow.READER),
    Route(verb="PUT", path=_ONE, handler=update_attachment, allow=Allow.MEMBER, done=Done.ACCEPTED),
    Route(verb="DELETE", path=_ONE, handler=detach, allow=Allow.MEMBER, done=Done.ACCEPTED),
)
