"""What makes the disks that a node was given serve the pool: each gets an id for good, a server, and a record."""

import structlog

from noded.core import dice
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.command import Command
from noded.core.errors import Refused, Unavailable
from noded.core.ids import DiskId
from noded.core.reconciler import Drivers
from storage.pools.links import DiskServers, FoundDisk, Given
from storage.pools.model import Disk, GivenDisk
from storage.pools.plan import fault_report, served_report

log = structlog.get_logger(__name__)


class DisksReconciler:
    """Each configured disk: found, served, registered; what changed is reported."""

    name = "disks"
    watches = (Disk, GivenDisk)
    period_s = 10.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._servers = drivers.get(DiskServers)
        self._warned: dict[str, str] = {}
        self._served: set[DiskId] = set()

    async def nudged(self) -> None:
        """An extent server has ended: volumes go on without its replicas, and wait for them to return."""
        await self._servers.ended(self._served)

    async def reconcile(self) -> None:
        """One pass. One disk's fault keeps no other from serving."""
        self._served.clear()
        given = self._cluster.view().find(GivenDisk, "node_id", self._cluster.node_id)
        for each in given:
            await self._mount(each)
        found = await self._servers.find([each.name for each in given])
        for disk in found:
            command = await self._observe(disk)
            if command is not None:
                await self._cluster.propose(command)
        await self._report_missing({disk.name for disk in found})
        await self._end_strangers({disk.disk_id for disk in found if disk.disk_id is not None})

    async def _observe(self, found: FoundDisk) -> Command | None:
        view, node_id = self._cluster.view(), self._cluster.node_id
        twin = next((disk for disk in view.find(Disk, "node_id", node_id) if disk.name == found.name), None)
        known = view.get(Disk, found.disk_id) if found.disk_id else twin
        fault = found.fault or _contradiction(found, twin)
        if not fault:
            disk_id = found.disk_id or DiskId(dice.new_hex_id())
            try:
                served = await self._servers.serve(found.name, disk_id)
            except Refused as refused:
                fault = refused.message
            else:
                self._warned.pop(found.name, None)
                self._served.add(disk_id)
                return served_report(known, disk_id, node_id, found.name, served, now_ms())
        self._warn(found.name, fault)
        return fault_report(known, fault, now_ms()) if known is not None and known.node_id == node_id else None

    async def _report_missing(self, present: set[str]) -> None:
        for disk in self._cluster.view().find(Disk, "node_id", self._cluster.node_id):
            if disk.name in present:
                continue
            fault = "It was taken out of the node's configuration."
            command = fault_report(disk, fault, now_ms())
            if command is not None:
                self._warn(disk.name, fault)
                await self._cluster.propose(command)

    async def _mount(self, given: GivenDisk) -> None:
        try:
            await self._servers.mount(Given(name=given.name, uuid=given.uuid))
        except Unavailable as fault:
            self._warn(given.name, fault.message)

    async def _end_strangers(self, found: set[DiskId]) -> None:
        """A disk that was taken out of the pool while it served is let go of; its bytes stay on it."""
        running = set(await self._servers.running()) - found
        if running:
            # A view that lags must not cost anyone a disk: this is decided on one that surely doesn't.
            view = await self._cluster.fresh_view()
            for disk_id in sorted(each for each in running if view.get(Disk, each) is None):
                log.info("disk let go of", disk=disk_id)
                await self._servers.end(disk_id)

    def _warn(self, name: str, fault: str) -> None:
        if self._warned.get(name) != fault:
            log.warning("disk can't be used", disk=name, fault=fault)
            self._warned[name] = fault


def _contradiction(found: FoundDisk, twin: Disk | None) -> str:
    """Why a directory must not become a new disk: most likely the one that it was is just not mounted."""
    if twin is None or twin.id == found.disk_id:
        return ""
    return (
        f"{found.name} was disk {twin.id} before and is {found.disk_id or 'empty'} now. Mount the disk that was"
        " there, or give the new one another name in the node's configuration."
    )
