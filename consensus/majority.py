"""Does this node see enough of the voters to change anything, and who is missing? Decides; touches nothing.

A node that is cut off from the majority can't change anything, however long it waits. Waiting is then unkind: whoever
asks is told at once, and may go to another node. A blink, such as a neighbour's restart or an election, is waited out.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from consensus.members.model import Node
from noded.core.ids import NodeId
from noded.core.store import View

MINORITY_S_MAX: Final = 2.0  # how long a change waits for lost voters before it is refused
LEADERLESS_S_MAX: Final = 6.0  # the same where a majority is there: elections take 1 to 2 s, slow machines longer


@dataclass(frozen=True, slots=True)
class Ballot:
    """What one node sees of the voters now."""

    me: NodeId
    voters: frozenset[str]  # of the newest configuration that this node knows; empty before it knows any
    heard: frozenset[str]  # the others that it heard from within the last seconds
    leader: str | None

    @property
    def needed(self) -> int:
        """How many voters make a majority."""
        return len(self.voters) // 2 + 1

    @property
    def seen(self) -> frozenset[str]:
        """The voters that this node sees, itself included if it is one."""
        return self.voters & (self.heard | {self.me})

    @property
    def missing(self) -> frozenset[str]:
        """The voters that it doesn't see."""
        return self.voters - self.seen

    @property
    def has_majority(self) -> bool:
        """Whether a majority is there. Who follows a leader has one: the leader steps down without it."""
        return self.leader is not None or not self.voters or len(self.seen) >= self.needed


class Patience:
    """How long has nobody led, as far as this node knows? Times are seconds of one steady clock."""

    def __init__(self) -> None:
        self._leaderless_since_s: float | None = None

    def is_over(self, ballot: Ballot, now_s: float) -> bool:
        """Whether waiting longer for a leader is in vain, by what is known now."""
        if ballot.leader is not None:
            self._leaderless_since_s = None
            return False
        if self._leaderless_since_s is None:
            self._leaderless_since_s = now_s
        limit_s = LEADERLESS_S_MAX if ballot.has_majority else MINORITY_S_MAX
        return now_s - self._leaderless_since_s >= limit_s


def names_of(view: View, node_ids: Collection[str]) -> str:
    """The nodes' names in order, as a sentence has them; the id where no name is known."""
    names = sorted(node.name if (node := view.get(Node, node_id)) else node_id[:12] for node_id in node_ids)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def why_not(ballot: Ballot, view: View) -> str:
    """Why nothing can be changed from this node now, who can't be reached, and the way out."""
    if ballot.has_majority:
        return (
            "This node reaches a majority of the voting nodes but none that leads: none is elected yet, or the leader"
            " can't be reached from here. Ask another node, or try again in a moment; `noded status` shows the nodes."
        )
    return (
        f"This node sees only {len(ballot.seen)} of {len(ballot.voters)} voting nodes, and {ballot.needed} are needed:"
        f" {names_of(view, ballot.missing)} can't be reached from here. Ask a node on the side of the majority, or"
        " bring the missing ones back; this node goes on by itself then."
    )
