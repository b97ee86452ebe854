"""How the whole cluster comes to know that a node is down. Few such entries are made: only what has lasted is said."""

from typing import ClassVar

from consensus.liveness.model import NodeVerdict
from consensus.members.model import Node
from noded.core.command import Command
from noded.core.ids import NodeId
from noded.core.store import Transaction


class DeclareDown(Command, frozen=True, kw_only=True, tag="liveness.down.1"):
    """A node is down, by what a majority of the voters says. Said again, the first time counts."""

    TOLD: ClassVar[str] = "declared node {node_id} down"

    node_id: NodeId
    down_since_ms: int
    missed_by: tuple[NodeId, ...]
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        tx.need(Node, self.node_id)
        if tx.get(NodeVerdict, self.node_id) is None:
            tx.put(
                NodeVerdict(
                    id=self.node_id,
                    down_since_ms=self.down_since_ms,
                    missed_by=self.missed_by,
                    declared_at_ms=self.now_ms,
                )
            )


class DeclareUp(Command, frozen=True, kw_only=True, tag="liveness.up.1"):
    """A node that was down is heard again, or is no member any more."""

    TOLD: ClassVar[str] = "declared node {node_id} up again"
    FREES_ROOM: ClassVar[bool] = True

    node_id: NodeId

    def apply(self, tx: Transaction) -> None:
        if tx.get(NodeVerdict, self.node_id) is not None:
            tx.delete(NodeVerdict, self.node_id)
