"""What makes each node show the certificate that the records say, and warns before it ends."""

from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from consensus.own_certificates.links import ApiFace
from consensus.own_certificates.model import OwnCertificate, own_certificate
from consensus.own_certificates.reading import facts_of
from noded.core.cluster import Cluster
from noded.core.reconciler import Drivers
from noded.core.record import Record

WARN_BEFORE: Final = timedelta(days=14)

log = structlog.get_logger(__name__)


class OwnCertificatesReconciler:
    """Every node."""

    name = "own certificates"
    watches: tuple[type[Record], ...] = (OwnCertificate,)
    period_s = timedelta(hours=6).total_seconds()

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._face = drivers.get(ApiFace)

    async def reconcile(self) -> None:
        """One pass."""
        own = own_certificate(self._cluster.view(), self._cluster.node_id)
        if await self._face.show(None if own is None else (own.chain_pem, own.key_pem)):
            log.info("another certificate is shown", names=None if own is None else facts_of(own.chain_pem).names)
        if own is not None:
            left = facts_of(own.chain_pem).not_after - datetime.now(UTC)
            if left < WARN_BEFORE:
                log.warning("the operator's certificate ends soon", days=left.days)
