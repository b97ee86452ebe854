"""How does a replica get to another disk? It joins, is adopted, leaves, is removed: each a change of the record.

    JoinReplicas ─► the owner fills it ─► AdoptReplicas ─► LeaveDisk (the old one) ─► its bytes go ─► ConfirmDrop
                          └─ CancelJoins: what was filled so far goes too

A clone's replica reads through to its source's on the same disk. So a source is first on a disk that clones come to,
and last on one that they leave; even what is left of their bytes must be gone before, since only then does a disk
refuse those who still go by an old map.
"""

from collections.abc import Collection
from typing import ClassVar

from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict
from noded.core.ids import DiskId, VolumeId
from noded.core.store import Transaction, View
from storage.extents.authority import STALE_CHANGE
from storage.pools.commands import count_moved
from storage.pools.model import Disk
from storage.volumes.claims import current
from storage.volumes.model import (
    BLOCK_BYTES,
    Joining,
    Leaving,
    Leftover,
    Volume,
    children,
    disks_of,
    is_leaving,
    is_needed,
    may_read_through,
    still_leaving,
)


class JoinReplicas(Command, frozen=True, kw_only=True, tag="volume.join.1"):
    """Replicas are to be made on other disks. They count when the volume's owner has filled them."""

    TOLD: ClassVar[str] = "began to make replicas of the volume {volume_id} on other disks"

    volume_id: VolumeId
    joins: tuple[Joining, ...]

    def apply(self, tx: Transaction) -> None:
        volume = tx.need(Volume, self.volume_id)
        for join in self.joins:
            reason = why_not_join(tx, volume, join)
            if reason:
                raise Conflict(
                    f"Extent {join.extent} of volume {volume.id} can't come to disk {join.disk_id}: {reason}."
                )
            volume = replace(volume, joining=(*volume.joining, join))
            if join.instead is not None and not is_leaving(volume, join.extent, join.instead):
                leaving = Leaving(extent=join.extent, disk_id=join.instead)
                volume = replace(volume, leaving=(*volume.leaving, leaving))
        disk_ids = dict.fromkeys((*volume.disk_ids, *(join.disk_id for join in self.joins)))
        tx.put(replace(volume, disk_ids=tuple(disk_ids)))


class AdoptReplicas(Command, frozen=True, kw_only=True, tag="volume.adopt.1"):
    """The owner has filled these replicas: they have everything that was ever acknowledged, and count."""

    TOLD: ClassVar[str] = "counted new replicas of the volume {volume_id} on disk {disk_id}"

    volume_id: VolumeId
    epoch: int
    changes: int
    disk_id: DiskId
    extents: tuple[int, ...]
    blocks: int

    def apply(self, tx: Transaction) -> None:
        volume = current(tx, self.volume_id, self.epoch, self.changes)
        joining = {join.extent: join for join in volume.joining if join.disk_id == self.disk_id}
        if not set(self.extents) <= set(joining):
            raise Conflict(f"Not all of extents {self.extents} are joining on disk {self.disk_id}.", code=STALE_CHANGE)
        holds = self.disk_id in disks_of(volume.layout)
        if holds and self.disk_id not in volume.in_sync:
            raise Conflict(f"Disk {self.disk_id} is behind in volume {volume.id}.", code=STALE_CHANGE)
        if not all(may_read_through(tx, volume, extent, self.disk_id, stays=True) for extent in self.extents):
            raise Conflict(f"A source of volume {volume.id} is not in sync on {self.disk_id}.", code=STALE_CHANGE)
        layout = list(volume.layout)
        for extent in self.extents:
            layout[extent] = _beside(layout[extent], self.disk_id, joining[extent].instead)
        tx.put(
            replace(
                volume,
                layout=tuple(layout),
                joining=_without(volume.joining, self.disk_id, self.extents),
                in_sync=volume.in_sync if holds else (*volume.in_sync, self.disk_id),
                changes=volume.changes + 1,
            )
        )
        count_moved(tx, self.disk_id, self.blocks * BLOCK_BYTES)


class LeaveDisk(Command, frozen=True, kw_only=True, tag="volume.leave_disk.1"):
    """Replicas that were to leave go: all that stay are in sync, and no clone needs them."""

    TOLD: ClassVar[str] = "gave up the replicas of the volume {volume_id} on disk {disk_id}"

    volume_id: VolumeId
    disk_id: DiskId
    extents: tuple[int, ...]
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        volume = tx.need(Volume, self.volume_id)
        for extent in self.extents:
            reason = why_not_leave(tx, volume, extent, self.disk_id)
            if reason:
                raise Conflict(f"Extent {extent} of volume {volume.id} stays on disk {self.disk_id}: {reason}.")
        layout = tuple(
            tuple(disk for disk in disks if disk != self.disk_id or extent not in self.extents)
            for extent, disks in enumerate(volume.layout)
        )
        still = set(disks_of(layout))
        leaving = tuple(
            each for each in volume.leaving if each.disk_id != self.disk_id or each.extent not in self.extents
        )
        volume = replace(
            volume,
            layout=layout,
            leaving=leaving,
            in_sync=tuple(disk for disk in volume.in_sync if disk in still),
            changes=volume.changes + 1,
        )
        tx.put(_with_leftover(tx, volume, self.disk_id, self.extents, self.now_ms))


class CancelJoins(Command, frozen=True, kw_only=True, tag="volume.join.cancel.1"):
    """Replicas that were to be made are not: their disk can't be used, or their place is another's."""

    TOLD: ClassVar[str] = "gave up making replicas of the volume {volume_id} on disk {disk_id}"

    volume_id: VolumeId
    disk_id: DiskId
    extents: tuple[int, ...]
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        volume = tx.need(Volume, self.volume_id)
        given_up = {each.extent for each in volume.joining if each.disk_id == self.disk_id} & set(self.extents)
        if not given_up:
            return
        extents = tuple(sorted(given_up))
        joining = _without(volume.joining, self.disk_id, extents)
        volume = replace(volume, joining=joining, leaving=still_leaving(volume, joining), changes=volume.changes + 1)
        tx.put(_with_leftover(tx, volume, self.disk_id, extents, self.now_ms))


class ConfirmDrop(Command, frozen=True, kw_only=True, tag="volume.drop.confirm.1"):
    """Nothing is left on a disk of what left it at that change."""

    TOLD: ClassVar[str] = "confirmed that nothing of what left is on disk {disk_id} of the volume {volume_id}"
    FREES_ROOM: ClassVar[bool] = True

    volume_id: VolumeId
    disk_id: DiskId
    changes: int

    def apply(self, tx: Transaction) -> None:
        volume = tx.get(Volume, self.volume_id)
        if volume is not None:
            left = tuple(
                each for each in volume.leftovers if (each.disk_id, each.changes) != (self.disk_id, self.changes)
            )
            tx.put(replace(volume, leftovers=left))


def why_not_join(view: View, volume: Volume, join: Joining) -> str:
    """Why a replica of the extent can't be made on the disk; empty if it can."""
    disk = view.get(Disk, join.disk_id)
    if disk is None or not disk.takes_replicas:
        return "the disk takes no replicas"
    if not is_needed(view, volume):
        return "the volume is being deleted"
    if not 0 <= join.extent < len(volume.layout):
        return "there is no such extent"
    if not may_read_through(view, volume, join.extent, join.disk_id, stays=True, in_sync=False):
        return "a source of the volume is not there"
    return _why_no_place(view, volume, join, disk)


def _why_no_place(view: View, volume: Volume, join: Joining, disk: Disk) -> str:
    here = volume.layout[join.extent]
    there = [*here, *(each.disk_id for each in volume.joining if each.extent == join.extent)]
    going = {join.instead, *(each.disk_id for each in volume.leaving if each.extent == join.extent)}
    nodes = {other.node_id for each in there if each not in going and (other := view.get(Disk, each)) is not None}
    left = any(each.disk_id == join.disk_id and join.extent in each.extents for each in volume.leftovers)
    reasons = {
        "it has a replica already, or gets one": join.disk_id in there,
        f"disk {join.instead} has none to give up": join.instead is not None and join.instead not in here,
        "what left it before is not removed yet": left,
        "its node has another replica": disk.node_id in nodes,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def why_not_leave(view: View, volume: Volume, extent: int, disk_id: DiskId) -> str:
    """Why a replica must stay for now; empty if it may go."""
    source = view.get(Volume, volume.parent_id) if volume.parent_id is not None else None
    follows = source is not None and is_leaving(source, extent, disk_id)
    if not (is_leaving(volume, extent, disk_id) or follows) or disk_id not in volume.layout[extent]:
        return "it is not to leave"
    if any(each.extent == extent and each.instead == disk_id for each in volume.joining):
        return "what comes in its stead is not there yet"
    stays = [each for each in volume.layout[extent] if each != disk_id and not is_leaving(volume, extent, each)]
    if not stays or not set(stays) <= set(volume.in_sync):
        return "those that stay are not all in sync"
    for child in children(view, volume.volume_id):
        if is_on(child, extent, disk_id):
            return f"volume {child.id} reads through to it"
    return ""


def is_on(volume: Volume, extent: int, disk_id: DiskId) -> bool:
    """Whether the volume has an extent on a disk, or gets it there. What is left over there is nobody's any more."""
    return (extent < len(volume.layout) and disk_id in volume.layout[extent]) or any(
        (each.extent, each.disk_id) == (extent, disk_id) for each in volume.joining
    )


def _beside(disks: tuple[DiskId, ...], disk_id: DiskId, instead: DiskId | None) -> tuple[DiskId, ...]:
    """The new one before the one that it replaces: the order says who is read first."""
    at = disks.index(instead) if instead in disks else len(disks)
    return (*disks[:at], disk_id, *disks[at:])


def _without(joining: tuple[Joining, ...], disk_id: DiskId, extents: Collection[int]) -> tuple[Joining, ...]:
    return tuple(each for each in joining if each.disk_id != disk_id or each.extent not in extents)


def _with_leftover(tx: Transaction, volume: Volume, disk_id: DiskId, extents: tuple[int, ...], now_ms: int) -> Volume:
    if tx.get(Disk, disk_id) is None:
        return volume  # it is no disk of the cluster any more
    left = Leftover(disk_id=disk_id, extents=extents, changes=volume.changes, since_ms=now_ms)
    return replace(volume, leftovers=(*volume.leftovers, left))
