"""Who has a volume's replicas checked, and what does its record keep of it? Used by the service `scrubs`."""

from collections.abc import Collection

from msgspec.structs import replace

from noded.core.ids import NodeId, VolumeId
from noded.core.store import Transaction, View
from storage.pools.commands import count_rotten
from storage.pools.model import Disk
from storage.volumes.model import ScrubPass, Volume, disks_of
from storage.volumes.plan import repairer_of


def keep_scrub(tx: Transaction, volume_id: VolumeId, found: ScrubPass, *, done: bool) -> None:
    """Keep how far a pass has come, or what came of it. What an older pass says does not count."""
    volume = tx.need(Volume, volume_id)
    before = volume.scrub
    if found.begun_ms <= volume.scrubbed_ms or (before is not None and found.begun_ms < before.begun_ms):
        return
    if not done:
        tx.put(replace(volume, scrub=found))
        return
    for disk_id in sorted({*found.rotten, *found.different}):
        count_rotten(tx, disk_id, found.rotten.get(disk_id, 0), found.different.get(disk_id, 0))
    tx.put(replace(volume, scrub=None, scrubbed_ms=found.begun_ms, scrub_found=found))


def scrub_asked_ms(view: View, volume: Volume) -> int:
    """When an operator asked last for a disk that has a replica of the volume; 0: never."""
    disks = (view.get(Disk, disk_id) for disk_id in disks_of(volume.layout))
    return max((disk.scrub_asked_ms for disk in disks if disk is not None), default=0)


def checker(view: View, volume: Volume, reachable: Collection[NodeId]) -> NodeId | None:
    """The node that has a volume checked: the one that serves it, else one that has a replica, drawn by hash."""
    if volume.node_id is not None:
        return volume.node_id
    known = ((disk_id, view.get(Disk, disk_id)) for disk_id in disks_of(volume.layout))
    return repairer_of(volume, {disk_id: disk for disk_id, disk in known if disk is not None}, reachable)
