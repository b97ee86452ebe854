"""What a node measures of volumes: of those that it serves, and of those at rest whose first replica it has."""

from typing import Final

from noded.core.errors import Refused
from noded.core.ids import DiskId, NodeId
from noded.core.metric import Metric, MetricKind
from noded.core.service import PeerContext
from storage.pools.model import Disk
from storage.volumes.links import VolumeServers
from storage.volumes.model import Volume, is_needed

_COUNTER: Final = MetricKind.COUNTER
_IO: Final = {
    "reads": "Reads of whoever uses it",
    "read_bytes": "What was read of it",
    "writes": "Writes of whoever uses it",
    "written_bytes": "What was written to it",
    "zeroed_bytes": "What was discarded or zeroed of it",
}


async def measure_volumes(context: PeerContext) -> list[Metric]:
    """Each volume is measured by one node alone, so that sums over all nodes are right."""
    size = Metric(name="noded_volume_size_bytes", help="Size of a volume as its user sees it")
    wanted = Metric(name="noded_volume_replicas_wanted", help="How many replicas each extent is to have")
    in_sync = Metric(name="noded_volume_disks_in_sync", help="Disks whose replica of it counts")
    behind = Metric(name="noded_volume_disks_behind", help="Disks whose replica of it misses writes")
    joining = Metric(name="noded_volume_replicas_joining", help="Replicas of extents that are being made")
    latency = Metric(name="noded_volume_replica_latency_seconds", help="How fast a replica answered its newest ping")
    requests = Metric(name="noded_volume_requests_under_way", help="Requests of its guest that are not answered yet")
    damaged = Metric(
        name="noded_volume_damaged_blocks_total",
        help="Blocks that were found damaged and mended, since its server started",
        kind=_COUNTER,
    )
    io = {
        word: Metric(name=f"noded_volume_{word}_total", help=f"{help_text}, since its server started", kind=_COUNTER)
        for word, help_text in _IO.items()
    }
    view, node_id = context.cluster.view(), context.cluster.node_id
    servers = context.drivers.get(VolumeServers)
    running = set(await servers.running())
    node_of = {disk.disk_id: disk.node_id for disk in view.all(Disk)}
    for volume in view.all(Volume):
        if _home(volume, node_of) != node_id or not is_needed(view, volume):
            continue
        labels = {"volume": volume.id, "purpose": volume.purpose.value, "project": volume.project_id}
        size.set(volume.size_bytes, labels)
        wanted.set(volume.replicas_wanted, labels)
        in_sync.set(len(volume.in_sync), labels)
        behind.set(len(volume.out_of_sync), labels)
        joining.set(len(volume.joining), labels)
        if volume.volume_id not in running:
            continue
        try:
            served = await servers.report(volume.volume_id)
        except Refused:
            continue  # it has just ended
        if served is not None:
            requests.set(served.requests_under_way, labels)
            damaged.set(served.damaged_blocks, labels)
            for word, count in served.io.items():
                if word in io:
                    io[word].set(count, labels)
            for disk_id, milliseconds in served.latencies_ms.items():
                latency.set(milliseconds / 1000, labels | {"disk": disk_id})
    return [size, wanted, in_sync, behind, joining, latency, requests, damaged, *io.values()]


def _home(volume: Volume, node_of: dict[DiskId, NodeId]) -> NodeId | None:
    """The node that tells of it: where it is used, else the first of its replicas that counts."""
    return volume.node_id or next((node_of[disk_id] for disk_id in volume.in_sync if disk_id in node_of), None)
