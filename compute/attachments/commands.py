"""How a server gets and loses volumes after its creation. One entry changes the server and the volume together."""

import re
from collections.abc import Iterable
from typing import ClassVar

from msgspec.structs import replace

from compute.servers.commands import ServerAction, need_server
from compute.servers.model import DISKS_MAX, Attachment, Phase, Server
from compute.volume_side import volume_side
from noded.core.command import Command
from noded.core.errors import Forbidden, Invalid, NotFound
from noded.core.ids import AttachmentId, ServerId, VolumeId
from noded.core.store import Transaction
from storage.attachments.commands import attach_to_server, begin_detaching

_LETTERS = "bcdefghijklmnopqrstuvwxyz"
_OURS = re.compile(r"/dev/vd[b-z]")


class AttachVolume(ServerAction, frozen=True, kw_only=True, tag="server.volume.attach.1"):
    """A volume more: its guest gets it at once if it runs, and at its start otherwise."""

    TOLD: ClassVar[str] = "attached the volume {volume_id} to the server {server_id}"

    attachment_id: AttachmentId
    volume_id: VolumeId
    device: str | None = None  # as asked for; the name is ours where that one is taken or none of ours
    role: str | None = None  # its tag, by which the guest knows it
    delete_on_termination: bool = False

    def apply(self, tx: Transaction) -> None:
        server = self.found(tx, Phase.RUNNING, Phase.STOPPED)
        if len(server.attachments) >= DISKS_MAX:
            raise Forbidden(
                f"The maximum allowed number of disk devices ({DISKS_MAX}) to attach to a single instance has been"
                f" exceeded."
            )
        device = device_for(server.attachments, self.device)
        attach_to_server(
            tx,
            self.volume_id,
            volume_side(tx, server.id, server.node_id, self.attachment_id, device, asked_ms=self.event.at_ms),
        )
        attachment = Attachment(
            volume_id=self.volume_id,
            device=device,
            delete_on_termination=self.delete_on_termination,
            id=self.attachment_id,
            tag=self.role,
            attached=False,
        )
        self.put(tx, replace(server, attachments=(*server.attachments, attachment)))


class DetachVolume(ServerAction, frozen=True, kw_only=True, tag="server.volume.detach.1"):
    """A volume less: its guest is asked to let go of it, and its node says when it has."""

    TOLD: ClassVar[str] = "detached the volume {volume_id} from the server {server_id}"

    volume_id: VolumeId

    def apply(self, tx: Transaction) -> None:
        server = self.found(tx, Phase.RUNNING, Phase.STOPPED, Phase.FAILED)
        attachment = need_attached(server, self.volume_id)
        if attachment is server.attachments[0]:
            raise Invalid("Cannot detach a root device volume")
        if attachment.detaching:
            raise Invalid(f"Invalid volume: volume {self.volume_id} is being detached already.")
        begin_detaching(tx, attachment.id)
        self.put(tx, _with(server, replace(attachment, detaching=True)))


class KeepVolume(Command, frozen=True, kw_only=True, tag="server.volume.keep.1"):
    """Whether a volume goes with its server."""

    TOLD: ClassVar[str] = "changed what becomes of volume {volume_id} when server {server_id} is deleted"

    server_id: ServerId
    volume_id: VolumeId
    delete_on_termination: bool
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        server = need_server(tx, self.server_id)
        attachment = need_attached(server, self.volume_id)
        changed = replace(attachment, delete_on_termination=self.delete_on_termination)
        tx.put(replace(_with(server, changed), updated_ms=self.now_ms, generation=server.generation + 1))


def need_attached(server: Server, volume_id: str) -> Attachment:
    """The server's attachment of that volume, if clients know of it; raises `NotFound` in Nova's words."""
    for attachment in server.attachments:
        if attachment.volume_id == volume_id and attachment.id:
            return attachment
    raise NotFound(f"Instance {server.id} is not attached to volume {volume_id[:255]}")


def device_for(attachments: Iterable[Attachment], asked: str | None) -> str:
    """A device name that no other disk of the server has; the one asked for, where it can be had."""
    taken = {attachment.device for attachment in attachments}
    if asked is not None and _OURS.fullmatch(asked) and asked not in taken:
        return asked
    return next(name for letter in _LETTERS if (name := f"/dev/vd{letter}") not in taken)


def _with(server: Server, attachment: Attachment) -> Server:
    changed = (attachment if each.id == attachment.id else each for each in server.attachments)
    return replace(server, attachments=tuple(changed))
