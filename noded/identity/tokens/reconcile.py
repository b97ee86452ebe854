"""When does a new key seal tokens? Once a day the node that leads stages one; the one staged before takes over."""

from typing import Final

import structlog
from cryptography.fernet import Fernet

from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.dice import new_hex_id
from noded.core.reconciler import Drivers
from noded.core.record import Record
from noded.identity.model import TokenKey
from noded.identity.tokens.commands import AddTokenKey

# Keys are kept for several rotations, so no token outlives its key: a token lives eight hours.
ROTATION_MS: Final = 24 * 3_600_000

log = structlog.get_logger(__name__)


class TokenKeysReconciler:
    """Rotates the keys. A cluster that was switched off for a year rotates once when it is back, not 365 times."""

    name = "token keys"
    watches: tuple[type[Record], ...] = (TokenKey,)
    period_s = 600.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:  # noqa: ARG002  # it needs no machine
        self._cluster = cluster

    async def reconcile(self) -> None:
        """One pass."""
        newest = max(self._cluster.view().all(TokenKey), key=lambda key: key.number, default=None)
        now = now_ms()
        if newest is None or self._cluster.leader_id != self._cluster.node_id or now - newest.created_ms < ROTATION_MS:
            return
        await self._cluster.propose(
            AddTokenKey(key_id=new_hex_id(), secret=Fernet.generate_key(), now_ms=now, after_number=newest.number)
        )
        log.info("token keys rotated", number=newest.number + 1)
