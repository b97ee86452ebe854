"""Who may write a volume, and which of its replicas count? The changes that a volume server asks for.

The rules are those of `storage/extents/authority.py`; the simulator shows that each of them is needed.
"""

from typing import ClassVar

from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict, NotFound
from noded.core.ids import DiskId, NodeId, VolumeId
from noded.core.store import Transaction, View
from storage.extents.authority import (
    LAST_REPLICA,
    STALE_CHANGE,
    SUPERSEDED,
    DiskAddress,
    Joiner,
    ParentMap,
    VolumeMap,
)
from storage.extents.layout import may_leave
from storage.pools.model import Disk, policy
from storage.volumes.model import Volume, ancestors, disks_of, is_needed, may_read_through


class ClaimVolume(Command, frozen=True, kw_only=True, tag="volume.claim.1"):
    """A volume server starts on `node_id`: older claims end. Asked again with the same `claim_id` it claims once."""

    TOLD: ClassVar[str] = "let node {node_id} write to the volume {volume_id}"

    volume_id: VolumeId
    node_id: NodeId
    claim_id: str

    def apply(self, tx: Transaction) -> None:
        volume = _served(tx, self.volume_id)
        if volume.node_id not in (None, self.node_id):
            # A repairer that acts on an old view must never take a volume away from a guest.
            raise Conflict(f"Volume {volume.id} is in use on node {volume.node_id}.", code=SUPERSEDED)
        if volume.claim_id != self.claim_id:
            tx.put(replace(volume, epoch=volume.epoch + 1, owner_id=self.node_id, claim_id=self.claim_id))


class ShrinkInSync(Command, frozen=True, kw_only=True, tag="volume.shrink.1"):
    """These replicas missed a write, or are about to: they don't count until they have been brought up to date."""

    TOLD: ClassVar[str] = "counted the replicas of volume {volume_id} on disks {disk_ids} as behind"

    volume_id: VolumeId
    epoch: int
    changes: int
    disk_ids: tuple[DiskId, ...]

    def apply(self, tx: Transaction) -> None:
        volume = current(tx, self.volume_id, self.epoch, self.changes)
        leaving = set(self.disk_ids) & set(volume.in_sync)
        if not leaving:
            return
        if not may_leave(volume.layout, volume.in_sync, leaving):
            raise Conflict(f"Volume {volume.id} would lose its last up-to-date replica.", code=LAST_REPLICA)
        staying = tuple(disk for disk in volume.in_sync if disk not in leaving)
        tx.put(replace(volume, in_sync=staying, changes=volume.changes + 1))


class GrowInSync(Command, frozen=True, kw_only=True, tag="volume.grow.1"):
    """This replica has everything that was ever acknowledged: it counts again."""

    TOLD: ClassVar[str] = "counted the replica of volume {volume_id} on disk {disk_id} as in step again"

    volume_id: VolumeId
    epoch: int
    changes: int
    disk_id: DiskId

    def apply(self, tx: Transaction) -> None:
        volume = current(tx, self.volume_id, self.epoch, self.changes)
        if self.disk_id in volume.in_sync:
            return
        if self.disk_id not in disks_of(volume.layout):
            raise Conflict(f"Disk {self.disk_id} holds no replica of volume {volume.id}.", code=STALE_CHANGE)
        if not _may_count(tx, volume, self.disk_id):
            raise Conflict(f"Disk {self.disk_id} is behind in a source of volume {volume.id}.", code=STALE_CHANGE)
        tx.put(replace(volume, in_sync=(*volume.in_sync, self.disk_id), changes=volume.changes + 1))


class ThawVolume(Command, frozen=True, kw_only=True, tag="volume.thaw.1"):
    """The owner writes again: whatever mark it gave with this count of changes is worth nothing any more."""

    TOLD: ClassVar[str] = "let the volume {volume_id} be written again"

    volume_id: VolumeId
    epoch: int
    changes: int

    def apply(self, tx: Transaction) -> None:
        volume = _served(tx, self.volume_id)
        if volume.epoch != self.epoch:
            raise Conflict(f"Volume {volume.id} was claimed again: epoch {volume.epoch} now.", code=SUPERSEDED)
        if volume.changes == self.changes:
            tx.put(replace(volume, changes=volume.changes + 1))


def volume_map(view: View, volume_id: VolumeId) -> VolumeMap:
    """What a volume server needs to know of a volume. Raises `NotFound` if it is gone or going."""
    volume = _served(view, volume_id)
    parents = tuple(
        ParentMap(volume_id=parent.layer, size_bytes=parent.stored_bytes, epoch=parent.epoch, in_sync=parent.in_sync)
        for parent in ancestors(view, volume)
        if parent.epoch  # what nobody ever claimed is on no disk
    )
    disk_ids = dict.fromkeys((*disks_of(volume.layout), *(join.disk_id for join in volume.joining)))
    disks = [disk for disk_id in disk_ids if (disk := view.get(Disk, disk_id)) is not None]
    return VolumeMap(
        volume_id=volume.volume_id,
        size_bytes=volume.stored_bytes,
        extent_bytes=volume.extent_bytes,
        layout=volume.layout,
        epoch=volume.epoch,
        changes=volume.changes,
        in_sync=volume.in_sync,
        parents=parents,
        disks={disk.disk_id: DiskAddress(node_id=disk.node_id, host=disk.host, port=disk.port) for disk in disks},
        writable=not volume.immutable,
        joining=tuple(
            Joiner(extent=join.extent, disk_id=join.disk_id)
            for join in volume.joining
            if may_read_through(view, volume, join.extent, join.disk_id, stays=True)
        ),
        held_back=tuple(disk_id for disk_id in volume.out_of_sync if not _may_count(view, volume, disk_id)),
        copy_bytes_s=policy(view).bytes_s,
        scrub_bytes_s=policy(view).scrub_bytes_s,
        layer_id=volume.layer_id,
    )


def _may_count(view: View, volume: Volume, disk_id: DiskId) -> bool:
    """Whether what a replica reads through to, on the same disk, is up to date."""
    return all(
        may_read_through(view, volume, extent, disk_id)
        for extent, disks in enumerate(volume.layout)
        if disk_id in disks
    )


def _served(view: View, volume_id: VolumeId) -> Volume:
    volume = view.need(Volume, volume_id)
    if volume.waits_for is not None:
        raise Conflict(f"Volume {volume_id} is not made yet.")
    if not is_needed(view, volume):
        raise NotFound.of("volume", volume_id)
    return volume


def current(view: View, volume_id: VolumeId, epoch: int, changes: int) -> Volume:
    """The volume, if its record is what an owner believes it to be. Raises `Conflict` with what the owner must do."""
    volume = _served(view, volume_id)
    if volume.epoch != epoch:
        raise Conflict(f"Volume {volume_id} was claimed again: epoch {volume.epoch} now.", code=SUPERSEDED)
    if volume.changes != changes:
        raise Conflict(f"The in-sync set of volume {volume_id} is not the one meant.", code=STALE_CHANGE)
    return volume
