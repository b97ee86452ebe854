"""What is a node, by what all who listen to it say? Decides; touches nothing.

Voters listen to every member, and every member to the voters, as the links of the log go. So much is enough: whoever
can be reached by no voter can't take part, whatever else still reaches it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from consensus.liveness.model import Hearing, Row, State
from noded.core.ids import NodeId


@dataclass(frozen=True, slots=True)
class Circle:
    """Who counts: all members, which of them vote, whom the judging node hears, and whether that is a majority."""

    me: NodeId
    members: frozenset[NodeId]
    voters: frozenset[NodeId]
    heard: frozenset[NodeId]
    has_majority: bool

    def listens_to(self, listener: NodeId) -> frozenset[NodeId]:
        """Whom that node should hear."""
        return (self.members if listener in self.voters else self.members & self.voters) - {listener}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of a node now, not yet damped."""

    state: State
    seen_by: tuple[NodeId, ...]
    missed_by: tuple[NodeId, ...]
    up_since_ms: int | None  # the longest time that anybody has heard it without a break


def judge(rows: Mapping[NodeId, Row], circle: Circle) -> dict[NodeId, Judgement]:
    """What every member is. `rows`: what was said lately, the judging node's own row among it."""
    said: dict[NodeId, dict[NodeId, Hearing]] = {node_id: {} for node_id in circle.members}
    for teller, row in rows.items():
        if teller in circle.members:
            for hearing in row.hearings:
                if hearing.node_id in said and hearing.node_id != teller:
                    said[hearing.node_id][teller] = hearing
    # A voter that takes part in the log but says nothing here, such as one that is just starting, abstains.
    silent = sum(voter not in rows for voter in circle.voters & circle.heard)
    return {node_id: _judge(node_id, hearings, silent, circle) for node_id, hearings in said.items()}


def _judge(node_id: NodeId, hearings: Mapping[NodeId, Hearing], silent: int, circle: Circle) -> Judgement:
    seen_by = tuple(sorted(teller for teller, hearing in hearings.items() if hearing.heard))
    missed_by = tuple(sorted(teller for teller, hearing in hearings.items() if not hearing.heard))
    since_ms = min((hearings[teller].since_ms for teller in seen_by), default=None)
    if node_id == circle.me and not missed_by:
        state = State.UP
    elif not circle.has_majority:
        # What the other side sees can't be asked: a node that is cut off would take all others for dead.
        state = State.UP if node_id == circle.me or node_id in circle.heard else State.SUSPECT
    elif seen_by or node_id == circle.me:
        state = State.PARTLY if missed_by else State.UP
    else:
        confirmed = len(circle.voters & set(missed_by)) + silent > len(circle.voters) / 2
        state = State.DOWN if missed_by and confirmed else State.SUSPECT
    return Judgement(state, seen_by, missed_by, since_ms)
