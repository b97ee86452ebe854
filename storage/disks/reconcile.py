"""What notes every few minutes how full the pool is, so that it can be said when it will be full."""

from consensus.members.model import Node
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.reconciler import Drivers
from noded.core.record import Record
from storage.disks.forecast import Sample
from storage.disks.links import CapacityBook
from storage.pools.model import Disk

PERIOD_S = 600.0


class CapacityReconciler:
    """Takes a sample. Changes nothing in the cloud."""

    name = "capacity"
    watches: tuple[type[Record], ...] = ()
    period_s = PERIOD_S

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._book = drivers.get(CapacityBook)

    async def reconcile(self) -> None:
        """One pass; a pool without a disk has nothing to tell."""
        view = self._cluster.view()
        disks = view.all(Disk)
        if disks and view.get(Node, self._cluster.node_id) is not None:
            size_bytes = sum(disk.size_bytes - disk.reserve_bytes for disk in disks)
            used_bytes = sum(disk.used_bytes for disk in disks)
            await self._book.add(Sample(now_ms(), used_bytes, size_bytes))
