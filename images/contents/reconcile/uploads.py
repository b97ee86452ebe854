"""What ends uploads that nobody carries on: when the daemon, its node or the image is gone."""

import structlog
import trio

from images.catalog.model import Image
from images.contents.commands import AbortUpload, waits
from images.contents.live import LiveUploads
from images.contents.model import Upload
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from noded.core.store import View

log = structlog.get_logger(__name__)

RESUMABLE_MS_MAX = 24 * 3600 * 1000  # what nobody carried on for so long goes
SILENCE_S_MAX = 60.0  # a node that was not heard from for so long has lost its uploads


class UploadsReconciler:
    """Aborts this node's dead uploads; on the leader, those of lost nodes too."""

    name = "uploads"
    watches = (Upload, Image)
    period_s = 20.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._live = drivers.get(LiveUploads)
        self._silent_since: dict[NodeId, float] = {}

    async def reconcile(self) -> None:
        """One pass."""
        view = self._cluster.view()
        ours = view.find(Upload, "node_id", self._cluster.node_id)
        dead = [upload for upload in ours if upload.id not in self._live and not waits(view, upload)]
        dead += self._of_lost_nodes([upload for upload in view.all(Upload) if not waits(view, upload)])
        for upload in dead:
            log.info("upload ended", upload=upload.id, image=upload.image_id, node=upload.node_id)
            await self._cluster.propose(AbortUpload(upload_id=upload.id))
        for upload in self._forgotten(view):
            log.info("kept upload ended", upload=upload.id, image=upload.image_id, kept_bytes=upload.kept_bytes)
            await self._cluster.propose(AbortUpload(upload_id=upload.id, even_kept=True))

    def _forgotten(self, view: View) -> list[Upload]:
        if self._cluster.leader_id != self._cluster.node_id:
            return []
        kept = [upload for upload in view.all(Upload) if upload.resumable and upload.staged is None]
        return [upload for upload in kept if now_ms() - upload.kept_at_ms > RESUMABLE_MS_MAX]

    def _of_lost_nodes(self, uploads: list[Upload]) -> list[Upload]:
        if self._cluster.leader_id != self._cluster.node_id:
            self._silent_since.clear()
            return []
        now = trio.current_time()
        silent = {upload.node_id for upload in uploads} - self._cluster.reachable()
        self._silent_since = {node: self._silent_since.get(node, now) for node in silent}
        return [upload for upload in uploads if now - self._silent_since.get(upload.node_id, now) >= SILENCE_S_MAX]
