"""What makes the levels in the store true: each node reports its own, and the leader raises the cluster's."""

import structlog

from consensus.levels.commands import RaiseLevel, ReportLevel
from consensus.levels.links import Understanding
from consensus.levels.model import MemberLevel, cluster_level
from consensus.levels.plan import level_of_all
from consensus.members.model import Node
from noded.core.cluster import Cluster
from noded.core.reconciler import Drivers
from noded.core.record import Record

log = structlog.get_logger(__name__)


class LevelsReconciler:
    """Every node: reports itself. The leader: raises the cluster's level as soon as all members understand more."""

    name = "levels"
    watches: tuple[type[Record], ...] = (Node, MemberLevel)
    period_s = 60.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._own = drivers.get(Understanding)

    async def reconcile(self) -> None:
        """One pass."""
        view = self._cluster.view()
        me = self._cluster.node_id
        told = view.get(MemberLevel, me)
        if view.get(Node, me) is not None and (told is None or told.level != self._own.level):
            await self._cluster.propose(ReportLevel(node_id=me, level=self._own.level))
            view = self._cluster.view()
        reached = level_of_all(view)
        if self._cluster.leader_id == me and reached > cluster_level(view):
            await self._cluster.propose(RaiseLevel(level=reached))
            log.info("cluster level raised", level=reached)
