"""What keeps a node's knowledge of its clock fresh: it asks a few others every few seconds, and says when it is off."""

from typing import Final

import msgspec
import structlog
import trio

from consensus.clocks.model import ClockSight, Told, off, own_ahead_ms
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Refused
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from noded.core.record import Record

ASKED_MAX: Final = 6
ANSWER_S_MAX: Final = 2.0

log = structlog.get_logger(__name__)


class ClockReconciler:
    """Compares this node's clock with others'."""

    name = "clock"
    watches: tuple[type[Record], ...] = ()
    period_s = 10.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._sight = drivers.get(ClockSight)
        self._said = ""

    async def reconcile(self) -> None:
        """One round."""
        cluster = self._cluster
        others = sorted(cluster.reachable() - {cluster.node_id}, key=lambda node: node != cluster.leader_id)
        told: list[Told] = []
        async with trio.open_nursery() as nursery:
            for node_id in others[:ASKED_MAX]:
                nursery.start_soon(self._ask, node_id, told)
        ahead_ms = own_ahead_ms(told, leads=cluster.leader_id == cluster.node_id)
        if told:
            self._sight.take(ahead_ms, now_ms(), trio.current_time())
        said = off(ahead_ms)
        if said and not self._said:
            log.warning("this node's clock is off: it hands out no tokens until the clock is set", off=said)
        elif self._said and told and not said:
            log.info("this node's clock goes right again")
        self._said = said if told else self._said

    async def _ask(self, node_id: NodeId, told: list[Told]) -> None:
        asked_ms = now_ms()
        with trio.move_on_after(ANSWER_S_MAX):
            try:
                answer = await self._cluster.call(node_id, "clocks.tell", b"")
            except Refused:
                return  # it is just starting, or of a release that is not asked this
            told.append(Told(msgspec.msgpack.decode(answer, type=int), asked_ms, now_ms()))
