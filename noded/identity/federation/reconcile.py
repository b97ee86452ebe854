"""When do memberships end that an identity provider gave for a time? The node that leads takes them away."""

from typing import Final

from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.reconciler import Drivers
from noded.core.record import Record
from noded.identity.federation.commands import ForgetExpiredMemberships
from noded.identity.model import Membership

AT_ONCE_MAX: Final = 500


class ExpiringMembershipsReconciler:
    """Takes away those whose time is over."""

    name = "expiring memberships"
    watches: tuple[type[Record], ...] = ()
    period_s = 30.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:  # noqa: ARG002  # it needs no machine
        self._cluster = cluster

    async def reconcile(self) -> None:
        """One pass."""
        if self._cluster.leader_id != self._cluster.node_id:
            return
        now = now_ms()
        memberships = self._cluster.view().all(Membership)
        over = tuple(each.id for each in memberships if each.expires_ms is not None and each.expires_ms <= now)
        if over:
            await self._cluster.propose(ForgetExpiredMemberships(membership_ids=over[:AT_ONCE_MAX], now_ms=now))
