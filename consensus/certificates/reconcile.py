"""What keeps a node's certificates good, and carries a rotation of the authority on, whoever restarts meanwhile."""

from datetime import timedelta

import structlog

from consensus.authority import Authority
from consensus.certificates.commands import NoteRotation
from consensus.certificates.links import Certificates
from consensus.certificates.model import ROTATION, Rotation, Stage, trusted_pems
from consensus.members.model import AUTHORITY, ClusterAuthority, Node
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.reconciler import Drivers
from noded.core.record import Record
from noded.core.store import View

log = structlog.get_logger(__name__)


class CertificatesReconciler:
    """Every node: renews its own certificates early, trusts whom the records say, and reports that it does."""

    name = "certificates"
    watches: tuple[type[Record], ...] = (ClusterAuthority, Rotation, Node)
    period_s = timedelta(hours=1).total_seconds()

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._certificates = drivers.get(Certificates)

    async def reconcile(self) -> None:
        """One pass."""
        view = self._cluster.view()
        record = view.get(ClusterAuthority, AUTHORITY)
        if record is None:
            return
        rotation = view.get(Rotation, ROTATION)
        authority = Authority(record.certificate_pem.encode(), record.key_pem.encode())
        if await self._certificates.keep(authority, [pem.encode() for pem in trusted_pems(record, rotation)]):
            log.info("certificates renewed", rotation=rotation.stage.value if rotation else None)
        if rotation is not None and rotation.stage is not Stage.DONE and self._has_news(view, rotation):
            await self._cluster.propose(
                NoteRotation(
                    node_id=self._cluster.node_id, number=rotation.number, stage=rotation.stage, now_ms=now_ms()
                )
            )

    def _has_news(self, view: View, rotation: Rotation) -> bool:
        """This node has not reported yet; or all that are still members have, since one that had not is gone."""
        if self._cluster.node_id not in rotation.done:
            return True
        return {node.id for node in view.all(Node)} <= set(rotation.done)
