"""Whether the cluster knows what this node can carry; if not, it is told."""

import msgspec

from compute.hypervisor import Capacity, Hypervisor
from compute.placement.commands import ReportComputeNode
from compute.placement.model import ComputeNode
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.reconciler import Drivers
from noded.core.record import Record


class CapacityReporter:
    """Measures once a pass and reports a difference; an unchanged node costs the log nothing."""

    name = "capacity"
    watches: tuple[type[Record], ...] = (ComputeNode,)
    period_s = 60.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._hypervisor = drivers.get(Hypervisor)

    async def reconcile(self) -> None:
        """One pass."""
        measured = self._described(await self._hypervisor.capacity())
        known = self._cluster.view().get(ComputeNode, self._cluster.node_id)
        if known is None or msgspec.structs.replace(known, reported_ms=measured.reported_ms) != measured:
            await self._cluster.propose(ReportComputeNode(node=measured))

    def _described(self, capacity: Capacity) -> ComputeNode:
        return ComputeNode(
            id=self._cluster.node_id,
            name=capacity.name,
            address=capacity.address,
            cpus=capacity.cpus,
            memory_mib=capacity.memory_mib,
            kvm=capacity.kvm,
            hypervisor=capacity.hypervisor,
            version=capacity.version,
            cpu_model=capacity.cpu_model,
            reported_ms=now_ms(),
        )
