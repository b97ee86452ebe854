"""Which disks a new server gets beside, or in the place of, a root disk cloned from its image. Records only; pure.

Each has its volume at once: one that exists, a clone of what can be cloned, or an empty one.
"""

from enum import StrEnum

import msgspec

from compute.servers.model import Attachment
from compute.volume_side import volume_side
from noded.core.ids import AttachmentId, NodeId, ProjectId, ServerId, UserId, VolumeId
from noded.core.store import Transaction
from storage.attachments.commands import attach_to_server, note_attachment
from storage.volumes.commands import attach_volume, charge_volume, clone_volume, create_volume
from storage.volumes.model import Layout, Purpose


class DiskKind(StrEnum):
    """Where a disk's volume comes from."""

    VOLUME = "volume"  # it exists
    CLONE = "clone"  # of an image's volume, or of a snapshot
    BLANK = "blank"


class NewDisk(msgspec.Struct, frozen=True, kw_only=True):
    """A disk whose volume clients know: what it is made from, and what becomes of it."""

    kind: DiskKind
    volume_id: VolumeId
    attachment_id: AttachmentId
    device: str
    delete_on_termination: bool = False
    tag: str | None = None
    parent_id: VolumeId | None = None  # of a clone
    size_bytes: int = 0
    extent_bytes: int = 0
    layout: Layout = ()  # of a clone: where the extents go that the parent doesn't have


class NewOwner(msgspec.Struct, frozen=True, kw_only=True):
    """The server that gets disks."""

    server_id: ServerId
    project_id: ProjectId
    user_id: UserId
    node_id: NodeId
    now_ms: int


def give_disk(tx: Transaction, owner: NewOwner, disk: NewDisk) -> Attachment:
    """The volume is there and is the server's; what the server's record says of it."""
    theirs = volume_side(tx, owner.server_id, owner.node_id, disk.attachment_id, disk.device, asked_ms=owner.now_ms)
    if disk.kind is DiskKind.VOLUME:
        attach_to_server(tx, disk.volume_id, theirs)
    else:
        _make(tx, owner, disk)
        note_attachment(tx, disk.volume_id, theirs)
    return Attachment(
        volume_id=disk.volume_id,
        device=disk.device,
        delete_on_termination=disk.delete_on_termination,
        id=disk.attachment_id,
        tag=disk.tag,
        attached=False,
    )


def _make(tx: Transaction, owner: NewOwner, disk: NewDisk) -> None:
    if disk.kind is DiskKind.CLONE:
        assert disk.parent_id is not None, "a clone has a parent"
        volume = clone_volume(
            tx,
            volume_id=disk.volume_id,
            parent_id=disk.parent_id,
            project_id=owner.project_id,
            name="",
            size_bytes=disk.size_bytes,
            tail=disk.layout,
            purpose=Purpose.DATA,
            now_ms=owner.now_ms,
            server_id=owner.server_id,
            node_id=owner.node_id,
        )
    else:
        volume = create_volume(
            tx,
            volume_id=disk.volume_id,
            project_id=owner.project_id,
            user_id=owner.user_id,
            name="",
            size_bytes=disk.size_bytes,
            extent_bytes=disk.extent_bytes,
            layout=disk.layout,
            purpose=Purpose.DATA,
            now_ms=owner.now_ms,
            node_id=owner.node_id,
        )
        attach_volume(tx, disk.volume_id, server_id=owner.server_id, node_id=owner.node_id)
    charge_volume(tx, volume)
