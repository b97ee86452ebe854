"""What lets running guests see that a volume of theirs has grown."""

import structlog
import trio

from compute.hypervisor import GuestFault, Hypervisor
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Refused, Unavailable
from noded.core.ids import ServerId, VolumeId
from noded.core.reconciler import Drivers
from storage.volume_sizes.commands import EXTENDING, ConfirmExtension
from storage.volumes.links import VolumeAttachments, VolumeServers
from storage.volumes.model import Volume

log = structlog.get_logger(__name__)

SOON_S = 0.5
IDLE_S = 30.0
TRIES_MAX = 5
STEP_S_MAX = 30.0


class GrowthReconciler:
    """A volume is `extending` until its guest has seen its size, or is off and will see it when it starts."""

    name = "volume-growth"
    watches = (Volume,)

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._hypervisor = drivers.get(Hypervisor)
        self._attachments = drivers.get(VolumeAttachments)
        self._servers = drivers.get(VolumeServers)
        self._tries: dict[VolumeId, int] = {}

    @property
    def period_s(self) -> float:
        """Until the next try, where one is due."""
        return SOON_S if self._tries else IDLE_S

    async def reconcile(self) -> None:
        """One pass."""
        mine = self._cluster.view().find(Volume, "node_id", self._cluster.node_id)
        due = [volume for volume in mine if volume.phase == EXTENDING and volume.server_id is not None]
        self._tries = {volume.volume_id: self._tries.get(volume.volume_id, 0) for volume in due}
        for volume in due:
            await self._grow(volume)

    async def _grow(self, volume: Volume) -> None:
        fault = None
        try:
            with trio.fail_after(STEP_S_MAX):
                await self._show(volume)
        except (Refused, trio.TooSlowError) as waits:
            log.info("guest does not see yet that its volume has grown", volume=volume.id, why=str(waits))
            return
        except GuestFault as refusal:
            self._tries[volume.volume_id] += 1
            log.warning("guest not shown that its volume has grown", volume=volume.id, why=str(refusal))
            if self._tries[volume.volume_id] < TRIES_MAX:
                return
            fault = str(refusal)
        await self._cluster.propose(
            ConfirmExtension(
                volume_id=volume.volume_id,
                size_bytes=volume.size_bytes,
                fault=fault,
                message_id=dice.new_uuid(),
                now_ms=now_ms(),
            )
        )

    async def _show(self, volume: Volume) -> None:
        await self._attachments.attach(volume.volume_id)
        served = await self._servers.report(volume.volume_id)
        if served is None or served.size_bytes < volume.stored_bytes:
            await self._servers.look(volume.volume_id)  # it ends then, and is started again
            raise Unavailable(f"Volume {volume.id} is still served with its old size.")
        await self._hypervisor.resize(ServerId(str(volume.server_id)), volume.volume_id, volume.size_bytes)
