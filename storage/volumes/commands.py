"""How volumes come, change and go, and what other services may do to them inside their own changes."""

from collections.abc import Collection, Mapping
from typing import ClassVar, Final

import msgspec
from msgspec.structs import replace

from consensus.members.commands import takes_work
from noded.core.command import Command
from noded.core.errors import Conflict, Invalid, NoRoom, NotFound
from noded.core.ids import DiskId, NodeId, ProjectId, VolumeId
from noded.core.store import Transaction, View
from noded.core.units import GIB
from storage.extents.layout import extent_count
from storage.extents.placement import Candidate, place_extent
from storage.pools.commands import disks_in_use, zones_of
from storage.pools.model import Disk
from storage.quotas.commands import charge, check_size, discharge
from storage.switches.model import takes_volumes
from storage.types.commands import need_type
from storage.volumes.checked import keep_scrub as keep_scrub  # noqa: PLC0414  # for other services
from storage.volumes.encrypting import drop_key_after
from storage.volumes.grouping import enter_group as enter_group  # noqa: PLC0414  # for other services
from storage.volumes.grouping import leave_group as leave_group  # noqa: PLC0414  # for other services
from storage.volumes.layers import ask_for_cut as ask_for_cut  # noqa: PLC0414  # for other services
from storage.volumes.layers import clone_of_moment as clone_of_moment  # noqa: PLC0414  # for other services
from storage.volumes.layers import delete_snapshot as delete_snapshot  # noqa: PLC0414  # for other services
from storage.volumes.layers import has_snapshots as has_snapshots  # noqa: PLC0414  # for other services
from storage.volumes.layers import revert as revert  # noqa: PLC0414  # for other services
from storage.volumes.model import (
    EXTENTS_MAX,
    FORMATTING,
    METADATA_MAX,
    REPLICAS_WANTED,
    VOLUME_BYTES_MAX,
    Encryption,
    Layout,
    Purpose,
    Volume,
    children,
    disks_of,
    whole_blocks,
    without_disks,
)
from storage.volumes.promising import refuse_overcommit

# What a volume may be in to be deleted; the empty one says that nothing goes on.
DELETABLE_PHASES: Final = ("", "error", "error_restoring", "error_extending", "error_managing")
PLACES_CHANGED: Final = "PlacesChanged"  # the code of the refusal: choose a layout again, and propose again


def choose_layout(
    view: View,
    reachable: Collection[NodeId],
    volume_id: VolumeId,
    extents: range,
    *,
    prefer: NodeId | None = None,
    replicas: int = REPLICAS_WANTED,
) -> Layout:
    """Disks for the given extents of a volume; on `prefer` first. Raises `NoRoom` where no disk can take it.

    Nodes that can be reached come first; one that can't still gets a replica where there are too few others, and is
    brought up to date when it returns.
    """
    copies = copies_wanted(view, replicas)
    disks = _open_disks(view)
    present = [disk for disk in disks if disk.node_id in reachable]
    if len({disk.node_id for disk in present}) >= copies:
        disks = present
    if not disks:
        raise NoRoom(no_disk_takes_it(view))
    candidates = [
        Candidate(disk.disk_id, disk.node_id, disk.weight * disk.free_bytes / GIB, zones_of(view, disk.node_id))
        for disk in disks
    ]
    return tuple(place_extent(volume_id, extent, candidates, copies, prefer) for extent in extents)


def copies_wanted(view: View, replicas: int = REPLICAS_WANTED) -> int:
    """How many replicas a new extent gets: `replicas`, or one a node where fewer nodes have disks with room."""
    nodes = {disk.node_id for disk in _open_disks(view)}
    return min(replicas, len(nodes))


def _open_disks(view: View) -> list[Disk]:
    """The disks on which new replicas may be placed, as far as disks, nodes and operators are asked."""
    return [disk for disk in disks_in_use(view) if disk.free_bytes > 0 and takes_volumes(view, disk.node_id)]


def no_disk_takes_it(view: View) -> str:
    """Why no disk can take a new replica, disk by disk."""
    reasons = [f"disk {disk.name} of node {disk.node_id}: {_why_not(view, disk)}" for disk in view.all(Disk)]
    return "No disk can take the volume. " + ("; ".join(reasons) or "No node has a disk in the pool yet") + "."


def _why_not(view: View, disk: Disk) -> str:
    if not takes_work(view, disk.node_id):
        return "its node is being drained"
    if not takes_volumes(view, disk.node_id):
        return "its node's volume service is disabled or frozen"
    if disk.draining or not disk.weight:
        return "it is being drained" if disk.draining else "its weight is 0"
    return disk.fault or f"{disk.state}, {disk.free_bytes} bytes free"


class ChangeVolume(Command, frozen=True, kw_only=True, tag="volume.change.1"):
    """New words on a volume; None leaves a field as it is."""

    TOLD: ClassVar[str] = "changed the volume {volume_id}"

    volume_id: VolumeId
    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None
    now_ms: int
    added: dict[str, str] = msgspec.field(default_factory=dict)  # metadata to put to what is there
    removed: tuple[str, ...] = ()  # keys to take out of it

    def apply(self, tx: Transaction) -> None:
        volume = tx.need(Volume, self.volume_id)
        words = volume.metadata if self.metadata is None else self.metadata
        words = changed_metadata("volume", words, self.added, self.removed)
        tx.put(
            replace(
                volume,
                name=volume.name if self.name is None else self.name,
                description=volume.description if self.description is None else self.description,
                metadata=words,
                updated_at_ms=self.now_ms,
            )
        )


class DeleteVolume(Command, frozen=True, kw_only=True, tag="volume.delete.1"):
    """A tombstone: the replicas go as soon as no clone needs them."""

    TOLD: ClassVar[str] = "deleted the volume {volume_id}"

    FREES_ROOM: ClassVar[bool] = True

    volume_id: VolumeId
    force: bool = False  # an administrator says so: whatever goes on with it

    def apply(self, tx: Transaction) -> None:
        volume = tx.need(Volume, self.volume_id)
        if volume.group_id is not None and not volume.deleting:
            raise Invalid(
                f"Invalid volume: Volume {volume.id} belongs to group {volume.group_id}. Take it out of the group"
                " first, or delete the group with its volumes."
            )
        must_be_deletable(tx, volume, force=self.force)
        delete_volume(tx, self.volume_id)


class ConfirmRemoval(Command, frozen=True, kw_only=True, tag="volume.removal.confirm.1"):
    """Nothing of a deleted volume is left on these disks. After the last one its record goes."""

    TOLD: ClassVar[str] = "confirmed that the volume {volume_id} is gone from disks {disk_ids}"

    FREES_ROOM: ClassVar[bool] = True

    volume_id: VolumeId
    disk_ids: tuple[DiskId, ...]

    def apply(self, tx: Transaction) -> None:
        volume = tx.get(Volume, self.volume_id)
        if volume is None:
            return  # another node confirmed the last disk meanwhile
        if not volume.deleting or children(tx, self.volume_id):
            raise Conflict(f"Volume {volume.id} is not to be removed.")
        removed = tuple(dict.fromkeys((*volume.removed_from, *self.disk_ids)))
        if set(volume.disk_ids) <= set(removed):
            tx.delete(Volume, volume.id)
            drop_key_after(tx, volume)
        else:
            tx.put(replace(volume, removed_from=removed))


def changed_metadata(
    noun: str, metadata: Mapping[str, str], added: Mapping[str, str], removed: Collection[str]
) -> dict[str, str]:
    """A volume's or snapshot's metadata (`noun` says which) with some keys less, and others put to it.

    Raises `NotFound` for a key that is not there to be removed, `Invalid` if there would be too many.
    """
    for key in removed:
        if key not in metadata:
            raise NotFound(f"Metadata item was not found: the {noun} has none with key {key[:255]}.")
    words = {key: value for key, value in metadata.items() if key not in removed} | dict(added)
    if len(words) > METADATA_MAX:
        raise Invalid(f"A {noun} has at most {METADATA_MAX} metadata items; there would be {len(words)}.")
    return words


def create_volume(
    tx: Transaction,
    *,
    volume_id: VolumeId,
    project_id: ProjectId,
    name: str,
    size_bytes: int,
    extent_bytes: int,
    layout: Layout,
    purpose: Purpose,
    now_ms: int,
    user_id: str = "",
    description: str = "",
    metadata: dict[str, str] | None = None,
    node_id: NodeId | None = None,
    type_id: str = "",
    replicas: int = REPLICAS_WANTED,
    multiattach: bool = False,
    encryption: Encryption | None = None,
) -> Volume:
    """A new, empty volume; `node_id` is the node that will write it at once. Raises `Refused` where it can't be."""
    if tx.get(Volume, volume_id) is not None:
        raise Conflict(f"Volume {volume_id} exists already.")
    if not 0 < size_bytes <= VOLUME_BYTES_MAX:
        raise Invalid(f"A volume has between 1 and {VOLUME_BYTES_MAX} bytes, not {size_bytes}.")
    size_bytes = whole_blocks(size_bytes)
    stored_bytes = size_bytes + (0 if encryption is None else encryption.header_bytes)
    if len(layout) != extent_count(stored_bytes, extent_bytes) or len(layout) > EXTENTS_MAX:
        raise Invalid(f"{len(layout)} extents of {extent_bytes} bytes do not hold {size_bytes} bytes.")
    _check_places(tx, layout, replicas)
    disks = disks_of(layout)
    volume = Volume(
        id=volume_id,
        project_id=project_id,
        user_id=user_id,
        name=name,
        description=description,
        metadata=metadata or {},
        size_bytes=size_bytes,
        extent_bytes=extent_bytes,
        layout=layout,
        disk_ids=disks,
        in_sync=disks,  # nothing has been written, so nothing is missing anywhere
        purpose=purpose,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        node_id=node_id,
        type_id=type_id,
        replicas_wanted=replicas,
        multiattach=multiattach,
        encryption=encryption,
        phase="" if encryption is None else FORMATTING,
    )
    tx.put(volume)
    return volume


def clone_volume(
    tx: Transaction,
    *,
    volume_id: VolumeId,
    parent_id: VolumeId,
    project_id: ProjectId,
    name: str,
    size_bytes: int,
    tail: Layout,
    purpose: Purpose,
    now_ms: int,
    server_id: str | None = None,
    node_id: NodeId | None = None,
) -> Volume:
    """A copy-on-write clone: on the parent's disks for the extents that both have, on those of `tail` beyond them.

    Instant whatever the size. `tail` comes from `choose_layout(..., range(len(parent.layout), extents))`. Raises
    `Refused` if the parent can still change or is going, or if the clone would be smaller than it.
    """
    if tx.get(Volume, volume_id) is not None:
        raise Conflict(f"Volume {volume_id} exists already.")
    parent = tx.need(Volume, parent_id)
    if parent.deleting or not parent.immutable:
        reason = "is being deleted" if parent.deleting else "can still change"
        raise Conflict(f"Volume {parent_id} can't be cloned: it {reason}.")
    size_bytes = whole_blocks(size_bytes)
    if size_bytes < parent.size_bytes:
        raise Invalid(f"A clone of {size_bytes} bytes is smaller than its source, which has {parent.size_bytes}.")
    layout = parent.layout + tail
    if len(layout) != extent_count(size_bytes + parent.header_bytes, parent.extent_bytes):
        raise Conflict(f"{len(layout)} extents of {parent.extent_bytes} bytes do not hold {size_bytes} bytes.")
    if len(layout) > EXTENTS_MAX:
        raise Invalid(f"A clone of volume {parent_id} can have at most {EXTENTS_MAX * parent.extent_bytes} bytes.")
    _check_places(tx, tail)
    disks = disks_of(layout)
    behind = set(parent.out_of_sync)
    volume = Volume(
        id=volume_id,
        project_id=project_id,
        name=name,
        size_bytes=size_bytes,
        encryption=parent.encryption,
        extent_bytes=parent.extent_bytes,
        layout=layout,
        disk_ids=disks,
        in_sync=tuple(disk for disk in disks if disk not in behind),
        purpose=purpose,
        parent_id=parent_id,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        server_id=server_id,
        node_id=node_id,
    )
    refuse_overcommit(tx, volume)
    tx.put(volume)
    return volume


def attach_volume(tx: Transaction, volume_id: VolumeId, *, server_id: str | None, node_id: NodeId) -> None:
    """From now on `node_id`, and no other node, may serve the volume for writing. Again, to move it with its server."""
    volume = tx.need(Volume, volume_id)
    if volume.deleting:
        raise Conflict(f"Volume {volume_id} is being deleted.")
    if volume.server_id not in (None, server_id):
        raise Conflict(f"Volume {volume_id} is in use by server {volume.server_id}.")
    tx.put(replace(volume, server_id=server_id, node_id=node_id))


def detach_volume(tx: Transaction, volume_id: VolumeId) -> None:
    """Nobody uses the volume any more."""
    tx.put(replace(tx.need(Volume, volume_id), server_id=None, node_id=None))


def hold_volume(tx: Transaction, volume_id: VolumeId, *, phase: str, node_id: NodeId | None) -> None:
    """What goes on with a volume that no server uses, and the one node that may serve it for that."""
    tx.put(replace(tx.need(Volume, volume_id), phase=phase, node_id=node_id))


def fill_volume(
    tx: Transaction, volume_id: VolumeId, *, metadata: dict[str, str], bootable: bool, image_metadata: dict[str, str]
) -> None:
    """What was known of other bytes is true of this volume now, or will be when they have been written to it."""
    volume = tx.need(Volume, volume_id)
    words = volume.metadata | metadata
    tx.put(replace(volume, metadata=words, bootable=bootable, image_metadata=image_metadata or volume.image_metadata))


def seal_volume(tx: Transaction, volume_id: VolumeId, size_bytes: int) -> Volume:
    """The volume never changes again, and ends after `size_bytes`. What lies beyond must never have been written."""
    volume = tx.need(Volume, volume_id)
    size_bytes = whole_blocks(size_bytes)
    assert size_bytes <= volume.size_bytes, f"{volume_id} has {volume.size_bytes} bytes, not {size_bytes}"
    layout = volume.layout[: extent_count(size_bytes + volume.header_bytes, volume.extent_bytes)]
    disks = disks_of(layout)
    sealed = replace(
        volume,
        size_bytes=size_bytes,
        layout=layout,
        in_sync=tuple(disk for disk in volume.in_sync if disk in disks),
        joining=tuple(each for each in volume.joining if each.extent < len(layout)),
        leaving=tuple(each for each in volume.leaving if each.extent < len(layout)),
        immutable=True,
        node_id=None,
        server_id=None,
    )
    tx.put(sealed)
    return sealed


def forget_disk(tx: Transaction, disk_id: DiskId) -> None:
    """No record names the disk any more. Raises `Conflict` where one still needs it, or has bytes there."""
    for volume in tx.find(Volume, "disk_ids", disk_id):
        holds = disk_id in disks_of(volume.layout) or any(each.disk_id == disk_id for each in volume.joining)
        left = any(each.disk_id == disk_id for each in volume.leftovers)
        if holds or left or (volume.deleting and disk_id not in volume.removed_from):
            what = "has a replica" if holds else "has bytes that are to be removed"
            raise Conflict(f"Volume {volume.id} {what} on disk {disk_id}. Drain the disk, and wait until it is empty.")
        tx.put(without_disks(volume, {disk_id}))


def delete_volume(tx: Transaction, volume_id: VolumeId) -> None:
    """A tombstone, whoever uses the volume; for services that end its use in the same change."""
    volume = tx.need(Volume, volume_id)
    if not volume.disk_ids:
        tx.delete(Volume, volume_id)  # it was not made yet: no disk has anything of it
    else:
        tx.put(replace(volume, deleting=True, server_id=None, node_id=None, attachments=(), group_id=None))
    discharge(tx, volume_id)
    drop_key_after(tx, volume)


def must_be_deletable(tx: Transaction, volume: Volume, *, force: bool = False) -> None:
    """Raise `Invalid` while something goes on with the volume (unless `force`), or somebody or something needs it."""
    if not force and volume.phase not in DELETABLE_PHASES:
        raise Invalid(
            f"Invalid volume: Volume {volume.id} is {volume.phase}. It must be available or in error, not attached"
            " and not in a transfer, to be deleted."
        )
    must_be_unused(volume)
    if has_snapshots(tx, volume.volume_id):
        raise Invalid(
            f"Invalid volume: Volume {volume.id} still has snapshots, or is being copied. Delete them first, or the"
            " volume with cascade."
        )


def must_be_unused(volume: Volume) -> None:
    """Raise `Invalid` while somebody has the volume."""
    user = volume.server_id or next((each.server_id or each.host for each in volume.attachments), None)
    if volume.attachments or user is not None:
        raise Invalid(f"Invalid volume: volume {volume.id} is in use by {user or 'somebody'}; detach it first.")


def mark_volume(tx: Transaction, volume_id: VolumeId, phase: str, *, expected: Collection[str], doing: str) -> Volume:
    """Say what goes on with a volume; the empty phase: nothing any more. Raises `Invalid` unless its status is one of
    `expected`, where any are given; `doing` is what the caller wants to do, for the message."""
    volume = tx.need(Volume, volume_id)
    if volume.deleting or (expected and volume.status not in expected):
        raise Invalid(
            f"Invalid volume: Volume {volume.id} status must be {' or '.join(expected)} to {doing}, but it is"
            f" {volume.status}."
        )
    marked = replace(volume, phase="" if phase == volume.resting else phase)
    tx.put(marked)
    return marked


def charge_volume(tx: Transaction, volume: Volume) -> None:
    """Count the volume, as it is now, against its project's quota: after each change of size, type or owner."""
    kind = need_type(tx, volume.type_id)
    check_size(tx, volume.project_id, volume.gib)
    refuse_overcommit(tx, volume)
    amounts = {"volumes": 1, "gigabytes": volume.gib}
    charge(tx, volume.id, volume.project_id, amounts, type_id=kind.id, type_name=kind.name)


def _check_places(tx: Transaction, layout: Layout, replicas: int = REPLICAS_WANTED) -> None:
    """The handler chose by what it saw; here it is decided by what is."""
    wanted = copies_wanted(tx, replicas)
    for extent, disk_ids in enumerate(layout):
        disks = [disk for disk_id in disk_ids if (disk := tx.get(Disk, disk_id)) is not None]
        if len(disks) != len(disk_ids) or len({disk.node_id for disk in disks}) != len(disk_ids):
            raise Conflict(
                f"Extent {extent} is not on distinct nodes' disks: the pool changed. Try again.",
                code=PLACES_CHANGED,
            )
        if len(disks) < wanted:
            raise Conflict(
                f"Extent {extent} has {len(disks)} replicas where {wanted} are possible. Try again.",
                code=PLACES_CHANGED,
            )
