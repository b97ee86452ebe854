"""How members say what they understand, and how the cluster's level rises."""

from typing import ClassVar

from consensus.levels.model import ClusterLevel, MemberLevel, cluster_level
from consensus.levels.plan import level_of_all
from consensus.members.model import Node
from noded.core.command import Command
from noded.core.errors import Conflict
from noded.core.ids import NodeId
from noded.core.store import Transaction


class ReportLevel(Command, frozen=True, kw_only=True, tag="levels.report.1"):
    """A member understands commands up to this level. One that is behind the cluster's can't be a member."""

    TOLD: ClassVar[str] = "reported that node {node_id} understands level {level}"

    node_id: NodeId
    level: int

    def apply(self, tx: Transaction) -> None:
        node = tx.need(Node, self.node_id)
        reached = cluster_level(tx)
        if self.level < reached:
            raise Conflict(
                f"Node {node.name} runs a release of level {self.level}, and the cluster is at level {reached}: it"
                " would not understand the log. Install a newer release on that node."
            )
        tx.put(MemberLevel(id=self.node_id, level=self.level))


class RaiseLevel(Command, frozen=True, kw_only=True, tag="levels.raise.1"):
    """From here on commands of this level may be in the log: every member has said that it understands them."""

    TOLD: ClassVar[str] = "raised the cluster to level {level}"

    level: int

    def apply(self, tx: Transaction) -> None:
        if self.level <= cluster_level(tx):
            raise Conflict(f"The cluster is at level {cluster_level(tx)} already.")
        if self.level > level_of_all(tx):
            raise Conflict(f"Not every node understands level {self.level}.")
        tx.put(ClusterLevel(level=self.level))
        for member in tx.all(MemberLevel):
            if tx.get(Node, member.id) is None:
                tx.delete(MemberLevel, member.id)
