"""What the node that leads the log measures of the pool as a whole: one node tells of it, so that it is told once."""

from noded.core.metric import Metric
from noded.core.service import PeerContext
from storage.disks.forecast import forecast
from storage.disks.links import CapacityBook
from storage.disks.views import listing


async def measure_pool(context: PeerContext) -> list[Metric]:
    """The pool's line of `noded disk list`, and the forecast."""
    cluster = context.cluster
    if cluster.leader_id != cluster.node_id:
        return []
    pool = listing(cluster.view(), cluster.reachable())["pool"]
    told = forecast(context.drivers.get(CapacityBook).samples())
    figures = {
        "noded_pool_size_bytes": ("Size of all disks", pool["size_bytes"]),
        "noded_pool_used_bytes": ("What is used of it", pool["used_bytes"]),
        "noded_pool_promised_bytes": ("What thin volumes may grow to, all replicas", pool["promised_bytes"]),
        "noded_pool_volumes": ("Volumes, images and snapshots among them", pool["volumes"]),
        "noded_pool_degraded_volumes": ("Volumes with a replica that is behind", pool["degraded_volumes"]),
        "noded_pool_moves": ("Replicas of extents that are being made", pool["moves"]),
        "noded_pool_full_in_days": (
            "When it is full if it fills as it did; absent if it does not",
            told["full_in_days"],
        ),
    }
    found = []
    for name, (help_text, value) in figures.items():
        metric = Metric(name=name, help=help_text)
        if value is not None:
            metric.set(value, {})
        found.append(metric)
    return found
