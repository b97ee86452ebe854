"""Who is up? The one notion of it for placement and every other service; and what the rounds that find out need."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from consensus.liveness.model import Change, Exchange, Outlook, Sight
from noded.core.ids import NodeId


class Watch(Protocol):
    """What this node knows of the others, damped. `consensus/host/watch.py` is one."""

    def sights(self) -> Mapping[NodeId, Sight]:
        """Every member, this node too, as last looked at."""

    def usable(self) -> frozenset[NodeId]:
        """The nodes that new things may be given to: up, or partly so but reached by this one."""

    def changes(self, node_id: NodeId) -> Sequence[Change]:
        """What that node became lately, oldest first."""

    def outlook(self) -> Outlook:
        """What this node itself may do."""


class Rounds(Protocol):
    """How the watch learns: each round one look, one question, and the answers to those of others."""

    @property
    def period_s(self) -> float:
        """How long a round takes."""

    def look(self) -> bool:
        """Judge everyone anew; whether there is news that should be told at once."""

    def whom_to_ask(self, *, has_news: bool) -> list[NodeId]:
        """Which nodes are asked in this round."""

    def question(self) -> Exchange:
        """What this node tells and asks."""

    def answer(self, question: Exchange) -> Exchange:
        """What this node answers, having taken what was told."""

    def take(self, answer: Exchange) -> None:
        """Take another node's answer."""
