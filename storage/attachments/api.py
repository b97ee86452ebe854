"""What the attachment routes do: reserve a volume, say how it is reached and that it is, let go of it (Cinder 3.27).

The actions of the older way only note who has a volume.
"""

from typing import Final

from msgspec import Struct, field

from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import Invalid, NotFound
from noded.core.ids import AttachmentId
from noded.core.route import Allow, Caller, Done, Request, Response, Route
from noded.core.store import View
from storage.actions import Action
from storage.attachments.commands import (
    ChangeAttachment,
    CreateAttachment,
    DeleteAttachment,
    need_attachment,
)
from storage.attachments.connecting import Connector, checked_connector, is_read_only
from storage.attachments.views import attach_status, attachment_brief, attachment_detail, connection
from storage.inputs import Body
from storage.lookup import volume_of
from storage.volumes.model import Attachment, Purpose, Volume

SINCE = (3, 27)
COMPLETE_SINCE = (3, 44)
MODE_SINCE = (3, 54)
LIMIT_MAX = 1000
TEXT_CHARS_MAX = 255

Pair = tuple[Volume, Attachment]


class NewAttachment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a creation."""

    volume_uuid: str
    instance_uuid: str | None = None
    connector: Connector | None = None
    mode: str | None = None


class NewAttachmentBody(Struct, frozen=True):
    """Its wrapper."""

    attachment: NewAttachment


class AttachmentChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a change."""

    connector: Connector


class AttachmentChangeBody(Struct, frozen=True):
    """Its wrapper."""

    attachment: AttachmentChange


class ActionBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The one action that there is."""

    complete: object = field(name="os-complete")


async def create_attachment(request: Request) -> Response:
    """Take a volume: reserve it for a machine, or connect the machine at once."""
    new = (await request.json(NewAttachmentBody)).attachment
    if new.mode is not None and request.microversion < MODE_SINCE:
        raise Invalid("Additional properties are not allowed ('mode' was unexpected); it is understood from 3.54 on.")
    volume = volume_of(request, new.volume_uuid)
    connector = checked_connector(new.connector or {})
    attachment = Attachment(
        id=AttachmentId(dice.new_uuid()),
        server_id=new.instance_uuid,
        host=connector.get("host"),
        device=connector.get("mountpoint"),
        read_only=is_read_only(new.mode or connector.get("mode") or "rw"),
        connector=connector,
        asked_ms=now_ms(),
    )
    await request.cluster.propose(CreateAttachment(volume_id=volume.volume_id, attachment=attachment))
    return _shown(request, attachment.id)


async def list_attachments(request: Request) -> Response:
    """The short list."""
    return Response(body={"attachments": [attachment_brief(*pair) for pair in _listed(request)]})


async def list_attachments_detail(request: Request) -> Response:
    """The full list."""
    return Response(body={"attachments": [attachment_detail(*pair) for pair in _listed(request)]})


async def show_attachment(request: Request) -> Response:
    """One attachment."""
    return _shown(request, _own(request)[1].id)


async def update_attachment(request: Request) -> Response:
    """Say how the machine for which the volume was reserved reaches it."""
    change = (await request.json(AttachmentChangeBody)).attachment
    attachment = _own(request)[1]
    connector = checked_connector(change.connector)
    if not connector:
        raise Invalid("Must specify 'connector' to update attachment.")
    mode = connector.get("mode")
    await request.cluster.propose(
        ChangeAttachment(
            attachment_id=attachment.id,
            connector=connector,
            read_only=None if mode is None else is_read_only(mode),
        )
    )
    return _shown(request, attachment.id)


async def act_on_attachment(request: Request) -> Response:
    """`os-complete`: the machine has the volume."""
    await request.json(ActionBody)
    await request.cluster.propose(ChangeAttachment(attachment_id=_own(request)[1].id, attached_ms=now_ms()))
    return Response()


async def delete_attachment(request: Request) -> Response:
    """The machine does not have the volume any more. The answer lists who still shares it."""
    volume, attachment = _own(request)
    await request.cluster.propose(DeleteAttachment(attachment_id=attachment.id))
    left = request.cluster.view().get(Volume, volume.id)
    return Response(
        body={"attachments": [attachment_brief(left, each) for each in left.attachments] if left is not None else []}
    )


def _may_use(caller: Caller, volume: Volume) -> bool:
    return caller.is_admin or volume.project_id == caller.project_id


def _own(request: Request) -> Pair:
    attachment_id = request.params["attachment_id"]
    volume, attachment = need_attachment(request.cluster.view(), attachment_id)
    if not _may_use(request.caller, volume):
        raise NotFound(
            f"Volume attachment could not be found with filter: attachment_id = {attachment_id[:TEXT_CHARS_MAX]}."
        )
    return volume, attachment


def _shown(request: Request, attachment_id: AttachmentId) -> Response:
    volume, attachment = need_attachment(request.cluster.view(), attachment_id)
    return Response(body={"attachment": attachment_detail(volume, attachment)})


def _listed(request: Request) -> list[Pair]:
    """The caller's attachments that the query asks for, by id."""
    query = request.query
    everyones = request.caller.is_admin and query.get("all_tenants", "0").lower() in ("1", "true")
    found = [
        pair
        for pair in _pairs(request.cluster.view(), None if everyones else request.caller.project)
        if _matches(pair, query.get("volume_id"), query.get("instance_id"), query.get("status"))
    ]
    marker = query.get("marker")
    if marker is not None:
        if all(attachment.id != marker for _, attachment in found):
            raise NotFound(f"Attachment {marker[:TEXT_CHARS_MAX]} could not be found.")
        found = [pair for pair in found if pair[1].id > marker]
    start = _whole(query.get("offset"), "offset", 0)
    return found[start : start + _whole(query.get("limit"), "limit", LIMIT_MAX)]


def _pairs(view: View, project_id: str | None) -> list[Pair]:
    volumes = view.all(Volume) if project_id is None else view.find(Volume, "project_id", project_id)
    pairs = [
        (volume, attachment)
        for volume in volumes
        if volume.purpose is Purpose.DATA and not volume.deleting
        for attachment in volume.attachments
    ]
    return sorted(pairs, key=lambda pair: pair[1].id)


def _matches(pair: Pair, volume_id: str | None, server_id: str | None, status: str | None) -> bool:
    volume, attachment = pair
    return (
        volume_id in (None, volume.id)
        and server_id in (None, attachment.server_id)
        and status in (None, attach_status(attachment))
    )


def _whole(text: str | None, name: str, default: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise Invalid(f"{name} must be a whole number of zero or more, not {text[:64]}.")
    return int(text)


# --- the older way: actions on a volume -------------------------------------------------------------------------------


class Attach(Body, frozen=True):
    """The value of `os-attach`."""

    mountpoint: str
    instance_uuid: str | None = None
    host_name: str | None = None
    mode: str = "rw"


class Detach(Body, frozen=True):
    """The value of `os-detach`."""

    attachment_id: str | None = None


class ForceDetach(Body, frozen=True):
    """The value of `os-force_detach`."""

    attachment_id: str
    connector: Connector | None = None


class Connection(Body, frozen=True):
    """The value of `os-initialize_connection` and of `os-terminate_connection`."""

    connector: Connector


async def _attach(request: Request, volume: Volume, asked: Attach) -> Response:
    """Note that somebody has the volume."""
    if (asked.instance_uuid is None) == (asked.host_name is None):
        raise Invalid("Invalid request to attach volume to an invalid target: name an instance_uuid or a host_name.")
    for text in (asked.mountpoint, asked.instance_uuid or "", asked.host_name or ""):
        if len(text) > TEXT_CHARS_MAX:
            raise Invalid(f"At most {TEXT_CHARS_MAX} characters are allowed: {text[:64]}.")
    attached_ms = now_ms()
    attachment = Attachment(
        id=AttachmentId(dice.new_uuid()),
        server_id=asked.instance_uuid,
        host=asked.host_name,
        device=asked.mountpoint,
        read_only=is_read_only(asked.mode),
        asked_ms=attached_ms,
        attached_ms=attached_ms,
    )
    await request.cluster.propose(
        CreateAttachment(volume_id=volume.volume_id, attachment=attachment, was_reserved=True)
    )
    return Response()


async def _detach(request: Request, volume: Volume, asked: Detach | None) -> Response:
    """Note that somebody no longer has it: the one that is named, or the only one."""
    return await _forget(request, volume, asked)


async def _force_detach(request: Request, volume: Volume, asked: ForceDetach) -> Response:
    """The same, whatever an administrator said of the volume's status."""
    return await _forget(request, volume, Detach(attachment_id=asked.attachment_id), by_force=True)


async def _forget(request: Request, volume: Volume, asked: Detach | None, *, by_force: bool = False) -> Response:
    named = asked.attachment_id if asked is not None else None
    if named is None:
        if len(volume.attachments) > 1:
            raise Invalid("Volume is attached several times: say which one to detach, by its attachment_id.")
        named = volume.attachments[0].id if volume.attachments else None
    if named is None:
        return Response()  # nobody has it: as wished
    if named not in volume.attachment_ids:
        raise NotFound(f"Volume attachment could not be found with filter: attachment_id = {named[:TEXT_CHARS_MAX]}.")
    await request.cluster.propose(DeleteAttachment(attachment_id=AttachmentId(named), by_force=by_force))
    return Response()


async def _initialize(_: Request, volume: Volume, asked: Connection) -> Response:
    """How the machine would reach the volume. It changes nothing: who may write is said by an attachment."""
    connector = checked_connector(asked.connector)
    attachment = Attachment(id=AttachmentId(""), connector=connector, read_only=volume.readonly is True)
    info = connection(volume, attachment)
    driver = info.pop("driver_volume_type")
    return Response(body={"connection_info": {"driver_volume_type": driver, "data": info}})


async def _terminate(_: Request, __: Volume, asked: Connection) -> Response:
    """Nothing was set up for the machine, so nothing is taken down."""
    checked_connector(asked.connector)
    return Response()


ACTIONS: Final[dict[str, Action]] = {
    "os-attach": Action(act=_attach, form=Attach),
    "os-detach": Action(act=_detach, form=Detach | None),
    "os-force_detach": Action(act=_force_detach, form=ForceDetach, allow=Allow.ADMIN),
    "os-initialize_connection": Action(act=_initialize, form=Connection, done=Done.OK),
    "os-terminate_connection": Action(act=_terminate, form=Connection),
}

_ONE = "/v3/attachments/{attachment_id}"
ROUTES = (
    Route(verb="POST", path="/v3/attachments", handler=create_attachment, allow=Allow.MEMBER, since=SINCE),
    Route(verb="GET", path="/v3/attachments", handler=list_attachments, allow=Allow.READER, since=SINCE),
    Route(verb="GET", path="/v3/attachments/detail", handler=list_attachments_detail, allow=Allow.READER, since=SINCE),
    Route(verb="GET", path=_ONE, handler=show_attachment, allow=Allow.READER, since=SINCE),
    Route(verb="PUT", path=_ONE, handler=update_attachment, allow=Allow.MEMBER, since=SINCE),
    Route(verb="DELETE", path=_ONE, handler=delete_attachment, allow=Allow.MEMBER, since=SINCE),
    Route(
        verb="POST",
        path=f"{_ONE}/action",
        handler=act_on_attachment,
        allow=Allow.MEMBER,
        done=Done.EMPTY,
        since=COMPLETE_SINCE,
    ),
)
