"""What ends uploads that nobody carries on: when the daemon, its node or the image is gone."""

import structlog
import trio

from images.catalog.model import Image
from images.contents.commands import AbortUpload, waits
from images.contents.live import LiveUploads
from images.contents.model import Upload
from noded.core.cluster import Cluster
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers

log = structlog.get_logger(__name__)

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

    def _of_lost_nodes(self, uploads: list[Upload]) -> list[Upload]:
        if self._cluster.leader_id != self._cluster.node_id:
            self._silent_since.clear()
            return []
        now = trio.current_time()
        silent = {upload.node_id for upload in uploads} - self._cluster.reachable()
        self._silent_since = {node: self._silent_since.get(node, now) for node in silent}
        return [upload for upload in uploads if now - self._silent_since.get(upload.node_id, now) >= SILENCE_S_MAX]
