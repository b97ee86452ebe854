"""How does what a volume is become a snapshot? Its layer goes to the snapshot, and it gets a new, empty one above.

    before   volume ──► parent               after   volume (new layer) ──► snapshot (the layer it had) ──► parent

Nothing is copied and nothing moves: clones of the snapshot, and the volume itself, read through to it. The volume must
stand still for it (`extents/freezing.py`); whether it did is what its mark says.
"""

from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from noded.core.errors import Conflict, Invalid
from noded.core.ids import DiskId, ProjectId, VolumeId
from noded.core.store import Transaction, View
from storage.extents.authority import Mark
from storage.extents.layout import extent_count
from storage.volumes.model import CHAIN_MAX, Cut, CutPart, Layout, Purpose, Source, Volume, ancestors, disks_of

CREATING: Final = "creating"  # the phase of a clone that waits for its source's snapshot
MARK_GONE: Final = "VolumeMarkGone"  # the code of the refusal: the volume went on; let it stand still again


def ask_for_cut(tx: Transaction, cut_id: str, parts: Collection[CutPart], *, hidden: bool, now_ms: int) -> None:
    """Have snapshots made of these volumes, all at the same moment. Raises `Refused` where that can't be.

    Commands of one change that name the same cut get one moment.
    """
    for part in parts:
        volume = tx.need(Volume, part.volume_id)
        if volume.deleting or volume.waits_for is not None or volume.immutable:
            raise Invalid(f"Invalid volume: volume {volume.id} is not ready: no snapshot of it can be made now.")
        if tx.get(Volume, part.frozen_id) is not None or tx.find(Cut, "frozen_ids", part.frozen_id):
            raise Conflict(f"Snapshot {part.frozen_id} exists already.")
        _check_depth(tx, volume)
    before = tx.get(Cut, cut_id)
    asked = before.parts if before is not None else ()
    tx.put(Cut(id=cut_id, parts=(*asked, *parts), asked_ms=now_ms, hidden=hidden))


def make_cut(tx: Transaction, cut: Cut, marks: dict[VolumeId, Mark], layers: dict[VolumeId, str], now_ms: int) -> None:
    """All volumes of the cut at once. Raises `Conflict` with `MARK_GONE` if one of them was written since its mark."""
    for part in cut.parts:
        mark, volume = marks[part.volume_id], tx.need(Volume, part.volume_id)
        if volume.deleting:
            raise Conflict(f"Volume {volume.id} is being deleted.")
        if (volume.epoch, volume.changes) != (mark.epoch, mark.changes):
            raise Conflict(f"Volume {volume.id} has been written since it stood still. Try again.", code=MARK_GONE)
        _check_depth(tx, volume)
        _push_layer(tx, volume, part.frozen_id, layers[part.volume_id], hidden=cut.hidden, now_ms=now_ms)
    tx.delete(Cut, cut.id)


def _push_layer(
    tx: Transaction, volume: Volume, frozen_id: VolumeId, layer_id: str, *, hidden: bool, now_ms: int
) -> None:
    frozen = Volume(
        id=frozen_id,
        project_id=volume.project_id,
        user_id=volume.user_id,
        name=volume.name,
        size_bytes=volume.size_bytes,
        encryption=volume.encryption,
        extent_bytes=volume.extent_bytes,
        layout=volume.layout,
        disk_ids=volume.disk_ids,
        in_sync=volume.in_sync,
        purpose=Purpose.SNAPSHOT,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        parent_id=volume.parent_id,
        immutable=True,
        epoch=volume.epoch,
        changes=volume.changes,
        # Nobody can name it: it goes as soon as nothing reads through to it any more.
        deleting=hidden,
        layer_id=volume.layer,
        snapshot_of=None if hidden else volume.volume_id,
        made_from=volume.made_from,
        type_id=volume.type_id,
        replicas_wanted=volume.replicas_wanted,
        bootable=_is_bootable(volume),
        image_metadata=volume.image_metadata,
        # What is on its way to another disk, or away from one, is so in both layers.
        joining=volume.joining,
        leaving=volume.leaving,
        leftovers=volume.leftovers,
    )
    tx.put(frozen)
    tx.put(
        replace(
            volume,
            bootable=_is_bootable(volume),
            layer_id=layer_id,
            parent_id=frozen_id,
            changes=volume.changes + 1,
            disk_ids=_places_of(volume),
            leftovers=(),
        )
    )
    for waiting in tx.find(Volume, "waits_for", frozen_id):
        tx.put(joined(waiting, frozen))


def clone_of_moment(
    tx: Transaction,
    source: Volume,
    *,
    volume_id: VolumeId,
    frozen_id: VolumeId,
    cut_id: str,
    project_id: ProjectId,
    name: str,
    purpose: Purpose,
    now_ms: int,
    size_bytes: int | None = None,
    tail: Layout = (),
) -> Volume:
    """A volume that begins as what `source` is at the moment of the cut, and is `creating` until that was made.

    `size_bytes`, where it shall be larger, with the places of what lies beyond in `tail`.
    """
    if tx.get(Volume, volume_id) is not None:
        raise Conflict(f"Volume {volume_id} exists already.")
    ask_for_cut(tx, cut_id, [CutPart(volume_id=source.volume_id, frozen_id=frozen_id)], hidden=True, now_ms=now_ms)
    clone = Volume(
        id=volume_id,
        project_id=project_id,
        name=name,
        size_bytes=source.size_bytes if size_bytes is None else size_bytes,
        encryption=source.encryption,
        extent_bytes=source.extent_bytes,
        layout=tail,
        disk_ids=(),
        in_sync=(),
        purpose=purpose,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        type_id=source.type_id,
        replicas_wanted=source.replicas_wanted,
        waits_for=frozen_id,
        phase=CREATING,
        made_from=Source(volume_id=source.id),
    )
    tx.put(clone)
    return clone


def joined(waiting: Volume, parent: Volume) -> Volume:
    """A clone whose source has come to exist; so far its layout was what lies beyond the source."""
    extents = extent_count(waiting.stored_bytes, parent.extent_bytes)
    layout = (parent.layout + waiting.layout)[:extents]
    disks = disks_of(layout)
    behind = set(parent.out_of_sync)
    return replace(
        waiting,
        extent_bytes=parent.extent_bytes,
        layout=layout,
        disk_ids=disks,
        in_sync=tuple(disk for disk in disks if disk not in behind),
        parent_id=parent.volume_id,
        waits_for=None,
        phase="" if waiting.phase == CREATING else waiting.phase,
    )


def give_up_cut(tx: Transaction, cut: Cut) -> None:
    """Nothing comes out of it: snapshots and clones that wait for it are in error from now on."""
    tx.delete(Cut, cut.id)
    for part in cut.parts:
        for waiting in tx.find(Volume, "waits_for", part.frozen_id):
            tx.put(replace(waiting, phase="error"))


def _is_bootable(volume: Volume) -> bool:
    """As long as nobody had said, what was cloned could be booted from; from now on every volume has a parent."""
    return volume.parent_id is not None if volume.bootable is None else volume.bootable


def delete_snapshot(tx: Transaction, frozen_id: VolumeId) -> None:
    """Nobody can name the snapshot any more. What reads through to it goes on doing so. Again: nothing."""
    for cut in tx.find(Cut, "frozen_ids", frozen_id):
        left = tuple(part for part in cut.parts if part.frozen_id != frozen_id)
        if left:
            tx.put(replace(cut, parts=left))
        else:
            tx.delete(Cut, cut.id)
    frozen = tx.get(Volume, frozen_id)
    if frozen is not None and frozen.purpose is Purpose.SNAPSHOT:
        tx.put(replace(frozen, deleting=True, snapshot_of=None))


def has_snapshots(view: View, volume_id: VolumeId) -> bool:
    """Whether there are snapshots of the volume, or one is being made."""
    return bool(view.find(Volume, "snapshot_of", volume_id) or view.find(Cut, "volume_ids", volume_id))


def revert(tx: Transaction, volume: Volume, snapshot: Volume, *, leftover_id: VolumeId, layer_id: str) -> None:
    """The volume is what its newest snapshot is; nobody may be using it. What was written since is given back."""
    if volume.parent_id != snapshot.id:
        raise Invalid(f"Snapshot {snapshot.id} is not the newest of volume {volume.id}: only that one is reverted to.")
    leftover = replace(
        volume,
        id=leftover_id,
        purpose=Purpose.SNAPSHOT,
        name="",
        immutable=True,
        deleting=True,
        layer_id=volume.layer,
        snapshot_of=None,
        owner_id=None,
        claim_id="",
        phase="",
        group_id=None,
    )
    tx.put(leftover)
    # Whoever serves it, to repair it, must not go on in the layer that is going.
    tx.put(
        replace(
            volume,
            layer_id=layer_id,
            epoch=volume.epoch + 1,
            changes=volume.changes + 1,
            claim_id="",
            disk_ids=_places_of(volume),
            leftovers=(),
            in_sync=tuple(disk for disk in disks_of(volume.layout) if disk not in snapshot.out_of_sync),
        )
    )


def _places_of(volume: Volume) -> tuple[DiskId, ...]:
    """Where something of a new layer may come to lie."""
    return tuple(dict.fromkeys((*disks_of(volume.layout), *(join.disk_id for join in volume.joining))))


def _check_depth(view: View, volume: Volume) -> None:
    if sum(1 for _ in ancestors(view, volume)) >= CHAIN_MAX:
        raise Invalid(
            f"Invalid volume: volume {volume.id} has {CHAIN_MAX} layers of snapshots and clones below it. Delete"
            " snapshots that are not needed, or go on with a full copy."
        )
