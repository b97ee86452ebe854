"""What keeps and reads the copies of volumes that become images, and ends what nobody waits for."""

import structlog
import trio

from consensus.liveness.links import Watch
from images.catalog.model import Image
from images.contents.links import ImageBytes, Received
from images.exports.commands import OVER, AbortExport, FinishExport, TakeExport, is_wanted
from images.exports.model import Export
from images.exports.plan import Task, reads, tasks
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Conflict, Refused
from noded.core.reconciler import Drivers
from storage.volumes.links import VolumeFiles
from storage.volumes.model import Volume

log = structlog.get_logger(__name__)

READS_AT_ONCE = 2
TROUBLE_S_MAX = 300.0  # after so long of failing the user is told


class ExportsReconciler:
    """A volume whose copy is there is its user's again, and what nothing can come of is gone."""

    name = "image-exports"
    watches = (Export, Image, Volume)
    period_s = 5.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._watch = drivers.get(Watch)

    async def reconcile(self) -> None:
        """One pass."""
        for task in tasks(self._cluster.view(), self._cluster.node_id, self._watch.usable()):
            try:
                await self._cluster.propose(self._order(task))
            except Conflict as conflict:
                log.debug("export went on without this node", image=task.export.id, why=conflict.message)

    def _order(self, task: Task) -> TakeExport | AbortExport:
        export = task.export
        if task.over is None:
            return TakeExport(image_id=export.image_id, node_id=self._cluster.node_id, before_id=export.worker_id)
        log.info("image of volume given up", image=export.id, volume=export.volume_id, why=task.over)
        return AbortExport(image_id=export.image_id, reason=task.over, now_ms=now_ms())


class ExportReadsReconciler:
    """What this node has taken is read for its hashes: then the image has it."""

    name = "image-export-reads"
    watches = (Export,)
    period_s = 5.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._bytes = drivers.get(ImageBytes)
        self._files = drivers.get(VolumeFiles)
        self._failing: dict[str, float] = {}

    async def reconcile(self) -> None:
        """One pass; it ends when the reads that it began have."""
        due = reads(self._cluster.view(), self._cluster.node_id)
        self._failing = {each.id: self._failing[each.id] for each in due if each.id in self._failing}
        async with trio.open_nursery() as nursery:
            for export in due[:READS_AT_ONCE]:
                nursery.start_soon(self._finish, export)

    async def _finish(self, export: Export) -> None:
        try:
            read = await self._read(export)
            if read is not None:
                await self._cluster.propose(
                    FinishExport(
                        image_id=export.image_id,
                        size_bytes=read.size_bytes,
                        md5=read.md5,
                        sha512=read.sha512,
                        now_ms=now_ms(),
                    )
                )
                log.info("image made of volume", image=export.id, volume=export.volume_id, bytes=read.size_bytes)
        except Refused as refused:
            if refused.code != OVER:
                await self._trouble(export, refused)

    async def _read(self, export: Export) -> Received | None:
        """Its hashes; None where nobody waits for them any more."""
        read, fault = None, None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_when_over, export, nursery.cancel_scope)
            try:
                async with self._files.open(export.copy_id, writable=False) as file:
                    read = await self._bytes.digest(file.path, export.size_bytes)
            except Refused as refused:
                fault = refused
            nursery.cancel_scope.cancel()
        if fault is not None:
            raise fault
        return read

    async def _cancel_when_over(self, export: Export, scope: trio.CancelScope) -> None:
        while True:
            view = self._cluster.view()
            if not is_wanted(view, export):
                scope.cancel()
            await self._cluster.changed([Export, Image], view.revision)

    async def _trouble(self, export: Export, refused: Refused) -> None:
        """A fault that may pass is waited out, for a while."""
        log.warning("volume not read for its image yet", image=export.id, why=refused.message)
        since = self._failing.setdefault(export.id, trio.current_time())
        if trio.current_time() - since > TROUBLE_S_MAX:
            order = AbortExport(image_id=export.image_id, reason=refused.message, now_ms=now_ms())
            await self._cluster.propose(order)
