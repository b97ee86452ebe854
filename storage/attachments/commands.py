"""How a volume gets and loses those who use it, and what compute does to that inside its own changes.

Errors are Cinder's: a volume in the wrong state is an invalid request (`InvalidVolume`), not a conflict.
"""

from typing import ClassVar, Final

from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict, Invalid, NotFound
from noded.core.ids import AttachmentId, NodeId, VolumeId
from noded.core.store import Transaction, View
from storage.volumes.commands import attach_volume, detach_volume
from storage.volumes.model import Attachment, Purpose, Volume

RESERVED: Final = "attaching"  # the phase of a volume that somebody reserved
DETACHING: Final = "detaching"
FREE: Final = "available"
_ENDED: Final = frozenset((DETACHING, "in-use", "extending"))  # what was said of a volume in use, and holds no longer


class CreateAttachment(Command, frozen=True, kw_only=True, tag="volume.attachment.create.1"):
    """Somebody outside of compute takes the volume: reserves it, connects to it, or says that it is attached."""

    TOLD: ClassVar[str] = "attached the volume {volume_id}"

    volume_id: VolumeId
    attachment: Attachment
    was_reserved: bool = False  # it may be reserved already: for this

    def apply(self, tx: Transaction) -> None:
        volume = need_data_volume(tx, self.volume_id)
        reserved = self.was_reserved and volume.phase == RESERVED
        must_be_free(replace(volume, phase="") if reserved else volume)
        _must_not_be_there(volume, self.attachment)
        kept = replace(self.attachment, node_id=None, read_only=_mode(volume, self.attachment))
        tx.put(replace(volume, attachments=(*volume.attachments, kept), phase="" if reserved else volume.phase))


class ChangeAttachment(Command, frozen=True, kw_only=True, tag="volume.attachment.change.1"):
    """How it connects is told now, or that it has the volume."""

    TOLD: ClassVar[str] = "changed the attachment {attachment_id}"

    attachment_id: AttachmentId
    connector: dict[str, str] | None = None
    read_only: bool | None = None
    attached_ms: int | None = None

    def apply(self, tx: Transaction) -> None:
        volume, attachment = need_attachment(tx, self.attachment_id)
        _must_not_be_computes(attachment)
        if self.connector is not None:
            attachment = replace(
                attachment,
                connector=self.connector,
                host=self.connector.get("host", attachment.host),
                device=self.connector.get("mountpoint", attachment.device),
            )
        if self.read_only is not None:
            attachment = replace(attachment, read_only=self.read_only)
        if self.attached_ms is not None and attachment.attached_ms is None:
            attachment = replace(attachment, attached_ms=self.attached_ms)
        tx.put(_with(volume, attachment))


class DeleteAttachment(Command, frozen=True, kw_only=True, tag="volume.attachment.delete.1"):
    """It does not use the volume any more. What compute attached, compute alone detaches: a guest has it."""

    TOLD: ClassVar[str] = "removed the attachment {attachment_id}"

    FREES_ROOM: ClassVar[bool] = True

    attachment_id: AttachmentId
    by_force: bool = False  # whatever somebody said of the volume's status

    def apply(self, tx: Transaction) -> None:
        volume, attachment = need_attachment(tx, self.attachment_id)
        _must_not_be_computes(attachment)
        left = _without(volume, self.attachment_id)
        tx.put(replace(left, phase="") if self.by_force else left)


# --- what other services call -----------------------------------------------------------------------------------------


def need_data_volume(view: View, volume_id: str) -> Volume:
    """The volume of that id, if it is one that users know of; raises `NotFound` as Cinder words it."""
    volume = view.get(Volume, volume_id)
    if volume is None or volume.purpose is not Purpose.DATA or volume.deleting:
        raise NotFound(f"Volume {volume_id[:255]} could not be found.")
    return volume


def need_attachment(view: View, attachment_id: str) -> tuple[Volume, Attachment]:
    """The attachment of that id with its volume; raises `NotFound`."""
    for volume in view.find(Volume, "attachment_ids", attachment_id):
        if not volume.deleting:
            return volume, next(each for each in volume.attachments if each.id == attachment_id)
    raise NotFound(f"Volume attachment could not be found with filter: attachment_id = {attachment_id[:255]}.")


def must_be_free(volume: Volume) -> None:
    """Raise `Invalid` unless a new user of the volume is welcome."""
    holder = volume.server_id or next((each.server_id or each.host or each.id for each in volume.attachments), None)
    holder = holder or volume.node_id  # for which it is read or written just now, whatever somebody said of its status
    if volume.status == FREE and holder is None:
        return
    word = volume.status if volume.status != FREE else volume.resting
    hint = "" if holder is None else f" by {holder}; detach it there first"
    if volume.multiattach and holder is not None:
        hint += ". Its type allows several at once, which is not offered yet"
    raise Invalid(f"Invalid volume: volume {volume.id} status must be {FREE} to attach it, but it is {word}{hint}.")


def attach_to_server(tx: Transaction, volume_id: VolumeId, attachment: Attachment) -> None:
    """A server of ours gets the volume: from now on its node, and no other, may serve it for writing."""
    volume = need_data_volume(tx, volume_id)
    must_be_free(volume)
    assert attachment.node_id is not None, "a server has a node"
    tx.put(replace(volume, phase=""))
    attach_volume(tx, volume_id, server_id=attachment.server_id, node_id=attachment.node_id)
    note_attachment(tx, volume_id, replace(attachment, read_only=volume.readonly is True))


def note_attachment(tx: Transaction, volume_id: VolumeId, attachment: Attachment) -> None:
    """The volume was made for its server, or given to it, in this very change."""
    volume = tx.need(Volume, volume_id)
    _must_not_be_there(volume, attachment)
    tx.put(replace(volume, attachments=(*volume.attachments, attachment)))


def begin_detaching(tx: Transaction, attachment_id: AttachmentId) -> None:
    """Its guest is to let go of it; the volume stays the guest's until it has."""
    volume, attachment = need_attachment(tx, attachment_id)
    tx.put(_with(volume, replace(attachment, detaching=True)))


def confirm_attached(tx: Transaction, attachment_id: AttachmentId, now_ms: int) -> None:
    """Its guest has it, or will have it when it starts."""
    volume, attachment = need_attachment(tx, attachment_id)
    if attachment.attached_ms is None:
        tx.put(_with(volume, replace(attachment, attached_ms=now_ms)))


def detach_from_server(tx: Transaction, volume_id: VolumeId, server_id: str) -> None:
    """Its guest does not have the volume any more: anyone may attach it."""
    volume = tx.get(Volume, volume_id)
    if volume is None:
        return
    kept = tuple(each for each in volume.attachments if each.server_id != server_id or each.node_id is None)
    tx.put(replace(volume, attachments=kept, phase="" if volume.phase in _ENDED else volume.phase))
    if volume.server_id == server_id:
        detach_volume(tx, volume_id)


def move_to_node(tx: Transaction, volume_id: VolumeId, server_id: str, node_id: NodeId, host: str) -> None:
    """Its server goes to another node, and the volume with it."""
    attach_volume(tx, volume_id, server_id=server_id, node_id=node_id)
    volume = tx.need(Volume, volume_id)
    moved = (
        replace(each, node_id=node_id, host=host, connector={**each.connector, "host": host})
        if each.server_id == server_id and each.node_id is not None
        else each
        for each in volume.attachments
    )
    tx.put(replace(volume, attachments=tuple(moved)))


def _with(volume: Volume, attachment: Attachment) -> Volume:
    changed = (attachment if each.id == attachment.id else each for each in volume.attachments)
    return replace(volume, attachments=tuple(changed))


def _without(volume: Volume, attachment_id: AttachmentId) -> Volume:
    kept = tuple(each for each in volume.attachments if each.id != attachment_id)
    return replace(volume, attachments=kept, phase="" if volume.phase == DETACHING else volume.phase)


def _mode(volume: Volume, attachment: Attachment) -> bool:
    """Whether it may only read. Raises `Invalid` for who wants to write a volume that may only be read."""
    if volume.readonly is True and not attachment.read_only and attachment.attached_ms is not None:
        raise Invalid(f"Invalid attaching mode 'rw' for volume {volume.id}: it may only be read; attach it as 'ro'.")
    return attachment.read_only or volume.readonly is True


def _must_not_be_there(volume: Volume, attachment: Attachment) -> None:
    if any(each.id == attachment.id for each in volume.attachments):
        raise Conflict(f"An attachment with id {attachment.id} exists already.")


def _must_not_be_computes(attachment: Attachment) -> None:
    if attachment.node_id is not None:
        raise Conflict(
            f"Server {attachment.server_id} has the volume; detach it there, with the compute API"
            f" (DELETE /servers/{attachment.server_id}/os-volume_attachments/…)."
        )
