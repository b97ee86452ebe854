"""What keeps the watch going: each node's rounds, and the leader's verdicts."""

import msgspec
import structlog
import trio

from consensus.liveness.links import Rounds, Watch
from consensus.liveness.model import Exchange, NodeVerdict
from consensus.liveness.plan import declarations
from consensus.members.model import Node
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Refused
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from noded.core.record import Record

EXCHANGE = "liveness.exchange"
ANSWER_S_MAX = 1.0  # who answers later is asked again in a later round

log = structlog.get_logger(__name__)


class PulseReconciler:
    """Every node: looks whom it hears, tells a voter, and learns from it what the others hear."""

    name = "pulse"
    watches: tuple[type[Record], ...] = (Node,)

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._rounds = drivers.get(Rounds)

    @property
    def period_s(self) -> float:
        """A round."""
        return self._rounds.period_s

    async def reconcile(self) -> None:
        """One round."""
        has_news = self._rounds.look()
        async with trio.open_nursery() as nursery:
            for node_id in self._rounds.whom_to_ask(has_news=has_news):
                nursery.start_soon(self._ask, node_id)

    async def _ask(self, node_id: NodeId) -> None:
        question = msgspec.msgpack.encode(self._rounds.question())
        with trio.move_on_after(ANSWER_S_MAX):
            try:
                answer = await self._cluster.call(node_id, EXCHANGE, question)
            except Refused as refused:
                log.debug("node does not say whom it hears", peer=node_id, reason=refused.message)
                return
            self._rounds.take(msgspec.msgpack.decode(answer, type=Exchange))


class VerdictsReconciler:
    """The leader: says to the whole cluster which nodes are down, and which are so no longer."""

    name = "verdicts"
    watches: tuple[type[Record], ...] = (Node, NodeVerdict)
    period_s = 1.0  # what the watch sees changes without any record's changing

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._watch = drivers.get(Watch)

    async def reconcile(self) -> None:
        """One pass."""
        if self._cluster.leader_id != self._cluster.node_id:
            return
        view = self._cluster.view()
        members = [node.id for node in view.all(Node)]
        for command in declarations(self._watch.sights(), view.all(NodeVerdict), members, now_ms()):
            log.info("verdict", command=type(command).__name__, about=getattr(command, "node_id", ""))
            await self._cluster.propose(command)
