"""What has the volumes of this node checked for rot, one after the other."""

from contextlib import AsyncExitStack

import structlog
import trio

from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Refused
from noded.core.ids import DiskId, VolumeId
from noded.core.reconciler import Drivers
from storage.pools.model import Disk, MovePolicy
from storage.scrubs.commands import ReportScrub
from storage.scrubs.plan import is_mine, scrubs
from storage.volumes.links import ScrubState, VolumeServers
from storage.volumes.model import ScrubPass, Volume

log = structlog.get_logger(__name__)

CHECK_S = 2.0
REPORTS_MAX = 8  # of one pass, beside its beginning and its end


class ScrubsReconciler:
    """Each volume's replicas are read and compared now and then; on one node one volume at a time."""

    name = "volume-scrubs"
    watches = (Disk, MovePolicy)
    period_s = 10.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._servers = drivers.get(VolumeServers)

    async def reconcile(self) -> None:
        """One pass; it ends when every check that is due has been made, or can't be."""
        refused: set[VolumeId] = set()
        while due := [each for each in self._due() if each not in refused]:
            try:
                await self._scrub(due[0])
            except Refused as refusal:
                refused.add(due[0])
                log.info("volume not checked", volume=due[0], why=refusal.message)

    def _due(self) -> list[VolumeId]:
        return scrubs(self._cluster.view(), self._cluster.node_id, self._cluster.reachable(), now_ms())

    def _is_mine(self, volume_id: VolumeId) -> bool:
        cluster = self._cluster
        return is_mine(cluster.view(), volume_id, cluster.node_id, cluster.reachable(), now_ms())

    async def _scrub(self, volume_id: VolumeId) -> None:
        """See one pass through, or as far as the volume is this node's."""
        volume = self._cluster.view().need(Volume, volume_id)
        before = volume.scrub or ScrubPass(begun_ms=now_ms())
        every = max(1, len(volume.layout) // REPORTS_MAX)
        async with AsyncExitStack() as stack:
            if volume.node_id is None:
                await stack.enter_async_context(self._servers.serving(volume_id))
            reported, is_begun = before.extents, volume.scrub is not None
            while self._is_mine(volume_id):
                state = await self._servers.scrub(volume_id, before.begun_ms, before.extents)
                if state.done or state.extent >= reported + every or not is_begun:
                    await self._cluster.propose(_report(volume_id, before, state))
                    reported, is_begun = state.extent, True
                if state.done:
                    return
                await trio.sleep(CHECK_S)


def _report(volume_id: VolumeId, before: ScrubPass, state: ScrubState) -> ReportScrub:
    """What the record is to say: what it said when this server began with the pass, and what that has found since."""
    if state.first != before.extents:
        before = ScrubPass(begun_ms=before.begun_ms)  # the server began before this daemon: most is in what it says
    return ReportScrub(
        volume_id=volume_id,
        begun_ms=before.begun_ms,
        extents=state.extent,
        done=state.done,
        rotten=_sums(before.rotten, state.rotten),
        different=_sums(before.different, state.different),
        gone=before.gone + state.gone,
    )


def _sums(before: dict[DiskId, int], since: dict[DiskId, int]) -> dict[DiskId, int]:
    return {disk_id: before.get(disk_id, 0) + since.get(disk_id, 0) for disk_id in sorted({*before, *since})}
