"""Which volume servers run here, what is removed from which disk, and who repairs what. Decides; touches nothing."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from noded.core.ids import DiskId, NodeId, VolumeId
from noded.core.store import View
from storage.pools.model import Disk, DiskState
from storage.volumes.model import (
    Cut,
    Leftover,
    Volume,
    ancestors,
    children,
    draw_weight,
    is_needed,
    may_read_through,
    repairer_of,
)

DROP_AFTER_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Removal:
    """What is left of a deleted volume on one disk is to go. `layer` is the name that the disk knows it by."""

    volume_id: VolumeId
    disk_id: DiskId
    layer: VolumeId


def wanted_here(view: View, node_id: NodeId) -> list[VolumeId]:
    """The volumes that servers on this node use: each has a volume server here."""
    return [
        volume.volume_id
        for volume in view.find(Volume, "node_id", node_id)
        if volume.server_id is not None and not volume.deleting
    ]


def strays(running: Iterable[VolumeId], wanted: Iterable[VolumeId], held: Collection[VolumeId]) -> list[VolumeId]:
    """The volume servers that nobody here needs. To be decided on a fresh view only."""
    needed = {*wanted, *held}
    return sorted(volume_id for volume_id in running if volume_id not in needed)


def removals(view: View, node_id: NodeId) -> list[Removal]:
    """What is to be removed from this node's disks: tombstones without clones, on disks that haven't confirmed."""
    return [
        Removal(volume.volume_id, disk.disk_id, volume.layer)
        for disk in view.find(Disk, "node_id", node_id)
        for volume in view.find(Volume, "disk_ids", disk.disk_id)
        if volume.deleting and disk.disk_id not in volume.removed_from and not children(view, volume.volume_id)
    ]


@dataclass(frozen=True, slots=True)
class Drop:
    """What is left on a disk of extents that are elsewhere now is to go. `layer` is the name that the disk knows."""

    volume_id: VolumeId
    disk_id: DiskId
    extents: tuple[int, ...]
    changes: int
    layer: VolumeId


def drops(view: View, node_id: NodeId, now_ms: int) -> list[Drop]:
    """What is to be dropped from this node's disks, of each volume what left first: a disk takes them in order.

    Not at once: by then the volume's owner has another map, and need not be told by a refusal. And clones before their
    sources: who still reads a clone there by an old map must be refused before what it reads through to is gone.
    """
    mine = {disk.disk_id for disk in view.find(Disk, "node_id", node_id)}
    found: list[Drop] = []
    for volume in view.all(Volume):
        seen: set[DiskId] = set()
        for left in volume.leftovers:
            if left.disk_id not in mine or left.disk_id in seen:
                continue
            seen.add(left.disk_id)
            if now_ms - left.since_ms >= DROP_AFTER_MS and not _is_left_of_clone(view, volume, left):
                found.append(Drop(volume.volume_id, left.disk_id, left.extents, left.changes, volume.layer))
    return found


def _is_left_of_clone(view: View, source: Volume, left: Leftover) -> bool:
    return any(
        each.disk_id == left.disk_id and not set(left.extents).isdisjoint(each.extents)
        for clone in children(view, source.volume_id)
        for each in clone.leftovers
    )


def layouts(view: View, volume_ids: Iterable[VolumeId]) -> dict[VolumeId, tuple[object, ...]]:
    """What the servers of these volumes must know: one whose entry has changed is told to look."""
    found: dict[VolumeId, tuple[object, ...]] = {}
    for volume_id in volume_ids:
        volume = view.get(Volume, volume_id)
        if volume is not None:
            sources = tuple((parent.id, parent.changes, parent.leaving) for parent in ancestors(view, volume))
            found[volume_id] = (volume.size_bytes, volume.layout, volume.joining, sources if volume.joining else ())
    return found


def repairs(view: View, node_id: NodeId, reachable: Collection[NodeId]) -> list[VolumeId]:
    """The volumes that this node is to make whole: out of sync, used by nobody, their sources whole."""
    mine = []
    disks = {disk.disk_id: disk for disk in view.all(Disk)}
    for volume in view.all(Volume):
        if volume.node_id is not None or not (volume.out_of_sync or volume.joining) or not is_needed(view, volume):
            continue
        if _repairable(view, volume, disks, reachable) and repairer_of(volume, disks, reachable) == node_id:
            mine.append(volume.volume_id)
    return mine


def cuts(view: View, node_id: NodeId, reachable: Collection[NodeId]) -> list[Cut]:
    """The cuts that this node is to make, the oldest first."""
    due = [cut for cut in view.all(Cut) if _cutter(view, cut, reachable) == node_id]
    return sorted(due, key=lambda cut: (cut.asked_ms, cut.id))


def freezer_of(volume: Volume, cutter: NodeId) -> NodeId | None:
    """The node that lets a volume stand still: where it is served, else the one that cuts; None if nothing needs to."""
    if volume.epoch == 0:
        return None  # nobody ever wrote it
    return volume.node_id or cutter


def _cutter(view: View, cut: Cut, reachable: Collection[NodeId]) -> NodeId | None:
    """One node, the same whoever asks: where the first volume is served; else one that has it, drawn by hash."""
    volume = view.get(Volume, cut.parts[0].volume_id)
    if volume is not None and volume.node_id in reachable:
        return volume.node_id
    disks = {disk.disk_id: disk for disk in view.all(Disk)}
    drawn = repairer_of(volume, disks, reachable) if volume is not None and volume.node_id is None else None
    return drawn or max(reachable, key=lambda node: draw_weight(cut.id, node), default=None)


def _repairable(view: View, volume: Volume, disks: Mapping[DiskId, Disk], reachable: Collection[NodeId]) -> bool:
    """Whether a replica that is behind can be reached, and reads through to nothing that is behind itself."""
    behind = [
        disk_id
        for disk_id in volume.out_of_sync
        if (disk := disks.get(disk_id)) and disk.node_id in reachable and disk.state is not DiskState.FAILED
    ]
    if any(all(disk_id not in ancestor.out_of_sync for ancestor in ancestors(view, volume)) for disk_id in behind):
        return True
    return any(
        (disk := disks.get(join.disk_id)) is not None
        and disk.node_id in reachable
        and may_read_through(view, volume, join.extent, join.disk_id, stays=True)
        for join in volume.joining
    )
