"""Whom does this node hear, and what do the others say? The board of `consensus/liveness` with a log and clocks."""

from collections.abc import Mapping, Sequence

import msgspec
import trio

from consensus.liveness.board import Board, round_s, whom_to_ask
from consensus.liveness.model import Change, Exchange, NodeVerdict, Outlook, Sight, State
from consensus.liveness.sight import Circle
from consensus.members.links import Electorate
from consensus.members.model import Node
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.ids import NodeId
from noded.core.store import View


class LogWatch:
    """Implements `Watch` and `Rounds`: a link of the log on which something was heard lately is hearing."""

    def __init__(self, cluster: Cluster, electorate: Electorate) -> None:
        self._cluster = cluster
        self._electorate = electorate
        self._board = Board(cluster.node_id, life=now_ms())
        self._circle = self._circle_now()
        self._turn = 0

    # -- what services ask

    def sights(self) -> Mapping[NodeId, Sight]:
        view = self._cluster.view()
        found = (self._board.sight(node_id) for node_id in self._circle.members)
        return {sight.node_id: _known_longer(sight, view) for sight in found if sight is not None}

    def usable(self) -> frozenset[NodeId]:
        return self._board.usable()

    def changes(self, node_id: NodeId) -> Sequence[Change]:
        return self._board.changes(node_id)

    def outlook(self) -> Outlook:
        return self._board.outlook({node.id: node.name for node in self._cluster.view().all(Node)})

    # -- the rounds

    @property
    def period_s(self) -> float:
        return round_s(len(self._circle.members))

    def look(self) -> bool:
        self._turn += 1
        self._circle = self._circle_now()
        return self._board.look(self._circle, trio.current_time(), now_ms())

    def whom_to_ask(self, *, has_news: bool) -> list[NodeId]:
        circle = self._circle
        if has_news:
            return sorted((circle.voters & circle.heard) - {circle.me})
        chosen = whom_to_ask(circle.me, circle.voters, circle.heard, self._turn)
        return [] if chosen is None else [chosen]

    def question(self) -> Exchange:
        return self._board.question()

    def answer(self, question: Exchange) -> Exchange:
        return self._board.answer(question, trio.current_time())

    def take(self, answer: Exchange) -> None:
        self._board.take(answer, trio.current_time())

    def _circle_now(self) -> Circle:
        cluster = self._cluster
        members = frozenset(NodeId(node.id) for node in cluster.view().all(Node))
        return Circle(
            me=cluster.node_id,
            members=members | {cluster.node_id},
            voters=frozenset(NodeId(voter) for voter in self._electorate.voters),
            heard=cluster.reachable() - {cluster.node_id},
            has_majority=cluster.has_majority,
        )


def _known_longer(sight: Sight, view: View) -> Sight:
    """With the time that the cluster's verdict gives: it may be older than this daemon."""
    verdict = view.get(NodeVerdict, sight.node_id)
    if verdict is None or sight.state is not State.DOWN:
        return sight
    return msgspec.structs.replace(sight, since_ms=min(sight.since_ms, verdict.down_since_ms))
