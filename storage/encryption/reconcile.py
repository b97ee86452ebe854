"""What makes encrypted volumes usable: a header is written, and behind it an image's disk where one was asked for."""

import structlog
import trio

from consensus.liveness.links import Watch
from consensus.vault.links import VaultAccess
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Invalid, NotFound, Refused
from noded.core.reconciler import Drivers
from storage.encryption.commands import OVER, FailFormat, FinishFormat, TakeFormat
from storage.encryption.links import LuksDisks
from storage.encryption.plan import formats
from storage.volumes.links import VolumeFiles
from storage.volumes.model import Encryption, Volume

log = structlog.get_logger(__name__)

FORMATS_AT_ONCE = 4
TROUBLE_S_MAX = 300.0  # after so long of failing the user is told


class FormatsReconciler:
    """No encrypted volume waits for a node that is gone, and none is written by two."""

    name = "volume-formats"
    watches = (Volume,)
    period_s = 5.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._files = drivers.get(VolumeFiles)
        self._luks = drivers.get(LuksDisks)
        self._vault = drivers.get(VaultAccess)
        self._watch = drivers.get(Watch)
        self._failing: dict[str, float] = {}

    async def reconcile(self) -> None:
        """One pass; it ends when what it began is done."""
        due = formats(self._cluster.view(), self._cluster.node_id, self._watch.usable())
        self._failing = {each.id: self._failing[each.id] for each in due if each.id in self._failing}
        slots = trio.CapacityLimiter(FORMATS_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for volume in due:
                nursery.start_soon(self._turn, volume, slots)

    async def _turn(self, volume: Volume, slots: trio.CapacityLimiter) -> None:
        async with slots:
            try:
                await self._make(volume)
            except (Invalid, NotFound) as fault:
                await self._fail(volume, fault)
            except Refused as refused:
                if refused.code != OVER:
                    await self._trouble(volume, refused)

    async def _make(self, volume: Volume) -> None:
        encryption, node_id = volume.encryption, self._cluster.node_id
        assert encryption is not None, "nothing else is formatted"
        if volume.node_id != node_id:
            order = TakeFormat(volume_id=volume.volume_id, node_id=node_id, before_id=volume.node_id)
            await self._cluster.propose(order)
        key = self._vault.open(self._cluster.view(), encryption.key_id)
        async with self._files.open(volume.volume_id, writable=True) as target:
            await self._luks.format(target.path, encryption, key)
            if encryption.source_id is not None:
                source = self._source(encryption)
                async with self._files.open(source.volume_id, writable=False) as disk:
                    await self._luks.fill(disk.socket, target.socket, key)
        await self._cluster.propose(FinishFormat(volume_id=volume.volume_id, node_id=node_id))
        log.info("encrypted volume made", volume=volume.id, source=encryption.source_id)

    def _source(self, encryption: Encryption) -> Volume:
        source = self._cluster.view().get(Volume, str(encryption.source_id))
        if source is None or source.deleting:
            raise Invalid("The image was deleted before the volume was made of it.")
        return source

    async def _trouble(self, volume: Volume, refused: Refused) -> None:
        """A fault that may pass is waited out, for a while."""
        log.warning("encrypted volume not made yet", volume=volume.id, why=refused.message)
        since = self._failing.setdefault(volume.id, trio.current_time())
        if trio.current_time() - since > TROUBLE_S_MAX:
            await self._fail(volume, refused)

    async def _fail(self, volume: Volume, fault: Refused) -> None:
        log.warning("encrypted volume given up", volume=volume.id, why=fault.message)
        await self._cluster.propose(
            FailFormat(
                volume_id=volume.volume_id,
                node_id=self._cluster.node_id,
                reason=fault.message,
                message_id=dice.new_uuid(),
                now_ms=now_ms(),
            )
        )
