"""What fills the gaps of this node's history: the lines that it missed, asked of the nodes that have them."""

from datetime import timedelta
from functools import partial
from typing import Final

import msgspec
import structlog
import trio

from consensus.chain import Link
from consensus.history.links import Book, ChainState
from consensus.history.paging import missing, proved
from consensus.members.model import Node
from noded.core.cluster import Cluster
from noded.core.errors import Refused
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from noded.core.record import Record

PAGES_MAX: Final = 512  # of one pass

log = structlog.get_logger(__name__)


class HistoryReconciler:
    """Every node: has the same lines as the others, as far as any of them keeps them."""

    name = "history"
    watches: tuple[type[Record], ...] = (Node,)
    period_s = timedelta(seconds=30).total_seconds()

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._book = drivers.get(Book)
        self._state = drivers.get(ChainState)
        self._nowhere: set[int] = set()  # revisions up to which no other node had anything

    async def reconcile(self) -> None:
        """One pass."""
        filled = 0
        for _ in range(PAGES_MAX):
            link = self._state.link
            gap = missing(await trio.to_thread.run_sync(self._book.spans), link)
            if gap is None or gap[0].revision in self._nowhere or not await self._fill(*gap):
                break
            filled += 1
        if filled:
            log.info("history filled from other nodes", pages=filled)

    async def _fill(self, link: Link, after: int) -> bool:
        """Ask for the newest page of a gap. Whether some of it came."""
        others = [NodeId(node.id) for node in self._cluster.view().all(Node) if node.id != self._cluster.node_id]
        asked = 0
        for node_id in others:
            if node_id not in self._cluster.reachable():
                continue
            try:
                answer = await self._cluster.call(node_id, "history.page", msgspec.msgpack.encode(link.revision))
            except Refused as refused:
                log.info("no history from a node", peer=node_id, reason=refused.message)
                continue
            asked += 1
            stretch = await trio.to_thread.run_sync(proved, answer, link, after)
            if stretch is not None:
                return await trio.to_thread.run_sync(partial(self._book.fill, stretch))
        if asked and asked == len(others):
            self._nowhere.add(link.revision)
        return False
