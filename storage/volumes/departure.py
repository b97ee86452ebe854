"""What becomes of the replicas on a node that goes for good: volumes do without, as long as one is left elsewhere."""

from collections.abc import Collection
from typing import ClassVar, Final

from msgspec.structs import replace

from noded.core.command import Command
from noded.core.departure import Departure, Hold, Leaver
from noded.core.errors import Conflict
from noded.core.ids import DiskId, NodeId
from noded.core.store import Transaction, View
from storage.extents.layout import may_leave
from storage.pools.model import Disk
from storage.volumes.model import Volume, is_needed, without_disks

NAMED_MAX: Final = 20  # so many lost volumes are named one by one


class DropReplicas(Command, frozen=True, kw_only=True, tag="volume.drop_replicas.1"):
    """These disks go. A volume whose last up-to-date replica is on one still names it: only that disk has its data."""

    TOLD: ClassVar[str] = "dropped the replicas on disks {disk_ids} of node {node_id}"

    node_id: NodeId
    disk_ids: tuple[DiskId, ...]
    forced: bool

    def apply(self, tx: Transaction) -> None:
        for volume in _volumes_on(tx, self.disk_ids):
            if is_needed(tx, volume) and _is_lost(volume, self.disk_ids):
                if not self.forced:
                    raise Conflict(f"Volume {volume.id} would lose its last up-to-date replica.")
                continue
            _drop(tx, volume, set(self.disk_ids))
        for volume in tx.find(Volume, "node_id", self.node_id):
            if volume.server_id is None:
                tx.put(replace(volume, node_id=None))


def departure(view: View, leaver: Leaver) -> Departure:
    """The replicas, those that are the last ones, and the command that settles them."""
    disk_ids = tuple(disk.disk_id for disk in view.find(Disk, "node_id", leaver.node_id))
    volumes = [volume for volume in _volumes_on(view, disk_ids) if is_needed(view, volume)]
    lost = [volume for volume in volumes if _is_lost(volume, disk_ids)]
    holds = []
    for volume in volumes:
        left = len(set(volume.in_sync) - set(disk_ids))
        fate = "nothing of it is left elsewhere" if volume in lost else f"goes on with {left} up-to-date replicas"
        holds.append(Hold(noun="replica", id=volume.id, name=volume.name, fate=fate))
    words = [f"volume {volume.name or volume.id} has no other up-to-date replica" for volume in lost[:NAMED_MAX]]
    if len(lost) > NAMED_MAX:
        words.append(f"so have {len(lost) - NAMED_MAX} more volumes")
    if not disk_ids and not view.find(Volume, "node_id", leaver.node_id):
        return Departure()
    command = DropReplicas(node_id=leaver.node_id, disk_ids=disk_ids, forced=leaver.forced)
    return Departure(holds=tuple(holds), losses=tuple(words), commands=(command,))


def _volumes_on(view: View, disk_ids: Collection[DiskId]) -> list[Volume]:
    found = {volume.id: volume for disk_id in disk_ids for volume in view.find(Volume, "disk_ids", disk_id)}
    return [found[volume_id] for volume_id in sorted(found)]


def _is_lost(volume: Volume, disk_ids: Collection[DiskId]) -> bool:
    return not may_leave(volume.layout, volume.in_sync, disk_ids)


def _drop(tx: Transaction, volume: Volume, going: set[DiskId]) -> None:
    left = without_disks(volume, going)
    if left.deleting and set(left.disk_ids) <= set(left.removed_from):
        tx.delete(Volume, volume.id)
    else:
        tx.put(left)
