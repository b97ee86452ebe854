"""What the attachment routes do: reserve a volume, say how it is reached and that it is, let go of it (Cinder 3.27)."""

from msgspec import Struct, field

from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import Invalid, NotFound
from noded.core.ids import AttachmentId
from noded.core.route import Allow, Caller, Done, Request, Response, Route
from noded.core.store import View
from storage.attachments.commands import (
    ChangeAttachment,
    CreateAttachment,
    DeleteAttachment,
    need_attachment,
    need_data_volume,
)
from storage.attachments.views import attach_status, attachment_brief, attachment_detail
from storage.volumes.model import Attachment, Purpose, Volume

SINCE = (3, 27)
COMPLETE_SINCE = (3, 44)
MODE_SINCE = (3, 54)
LIMIT_MAX = 1000
TEXT_CHARS_MAX = 255
CONNECTOR_ENTRIES_MAX = 64

Connector = dict[str, object]
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
    volume = own_volume(request, new.volume_uuid)
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


def own_volume(request: Request, volume_id: str) -> Volume:
    """The volume of that id if the caller may use it."""
    volume = need_data_volume(request.cluster.view(), volume_id)
    if not _may_use(request.caller, volume):
        raise NotFound(f"Volume {volume_id[:TEXT_CHARS_MAX]} could not be found.")
    return volume


def is_read_only(mode: str) -> bool:
    """Whether the mode of an attachment is `ro`; raises `Invalid` if it is no mode."""
    if mode not in ("rw", "ro"):
        raise Invalid(f"Invalid request to attach volume: the mode is 'rw' or 'ro', not {mode[:64]}.")
    return mode == "ro"


def checked_connector(connector: Connector) -> dict[str, str]:
    """A connector's plain entries as text; what is nested tells us nothing that we need."""
    if len(connector) > CONNECTOR_ENTRIES_MAX:
        raise Invalid(f"A connector has at most {CONNECTOR_ENTRIES_MAX} entries, not {len(connector)}.")
    plain = {key: value if isinstance(value, str) else str(value) for key, value in sorted(connector.items()) if value}
    for key, value in plain.items():
        if not 0 < len(key) <= TEXT_CHARS_MAX or len(value) > TEXT_CHARS_MAX:
            raise Invalid(f"An entry of a connector has at most {TEXT_CHARS_MAX} characters: {key[:64]}.")
    return plain


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


_ONE = "/v3/attachments/{attachment_id}"
ROUTES = (
    Route(verb="POST", path="/v3/attachments", handler=create_attachment, allow=Allow.MEMBER),
    Route(verb="GET", path="/v3/attachments", handler=list_attachments, allow=Allow.READER),
    Route(verb="GET", path="/v3/attachments/detail", handler=list_attachments_detail, allow=Allow.READER),
    Route(verb="GET", path=_ONE, handler=show_attachment, allow=Allow.READER),
    Route(verb="PUT", path=_ONE, handler=update_attachment, allow=Allow.MEMBER),
    Route(verb="DELETE", path=_ONE, handler=delete_attachment, allow=Allow.MEMBER),
    Route(verb="POST", path=f"{_ONE}/action", handler=act_on_attachment, allow=Allow.MEMBER, done=Done.EMPTY),
)
