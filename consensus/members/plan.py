"""Who should vote on the log, and whom must a node dial at another address? Decides; touches nothing.

The voters are 1, 3 or 5 nodes (7 in large clusters), spread over failure zones. They change one at a time, and of all
orders the one is taken in which as many further failures as possible are survived on the way:

    1. a voter that is gone for good, or silent for long while a learner stands ready, loses its vote: it was of no use
    2. a learner that has caught up gets one
    3. only then a living voter that should not vote any more loses its own; a leader hands over first
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from consensus.discovery import NodeState, Sighting
from consensus.members.model import ZONE_LABELS, Node
from noded.core.ids import NodeId

VOTERS_MAX: Final = 5
VOTERS_MAX_OF_MANY: Final = 7
MANY_NODES: Final = 40
SILENT_S_MAX: Final = 30.0  # a voter unheard of for so long is replaced, where somebody can take its place


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the leader knows when it looks."""

    leader: str
    nodes: Collection[Node]
    voters: Collection[str]
    ready: Collection[str]  # learners that follow the log right now
    silent_s: Mapping[str, float]  # voters that are not heard, and since how long

    def hears(self, voter: str) -> bool:
        """Whether that voter answers."""
        return voter not in self.silent_s


@dataclass(frozen=True, slots=True)
class Promote:
    """A learner gets a vote."""

    node_id: NodeId


@dataclass(frozen=True, slots=True)
class Demote:
    """A voter loses its vote."""

    node_id: NodeId


@dataclass(frozen=True, slots=True)
class HandOver:
    """The leader, which is to lose its vote, lets another voter lead first."""

    node_id: NodeId


Step = Promote | Demote | HandOver


def voters_wanted(members: int) -> int:
    """How many of so many nodes vote: an odd number, so that one more never makes a majority harder to reach."""
    most = VOTERS_MAX_OF_MANY if members >= MANY_NODES else VOTERS_MAX
    return min(most, members if members % 2 else max(1, members - 1))


def next_step(now: Situation) -> Step | None:
    """The one change of voters to make now, or None. Never one after which the voters heard were no majority."""
    wanted = _wanted_voters(now)
    staying = {node.id for node in now.nodes if not node.leaving}
    surplus = sorted(set(now.voters) - wanted, key=lambda voter: (voter in staying, voter))
    useless = [voter for voter in surplus if not now.hears(voter)]
    for voter in useless:
        if _keeps_majority(now, voter):
            return Demote(NodeId(voter))
    for node_id in sorted(wanted - set(now.voters)):
        return Promote(NodeId(node_id))
    if now.leader in surplus:
        heirs = sorted(heir for heir in wanted & set(now.voters) if now.hears(heir))
        if heirs:
            return HandOver(NodeId(heirs[0]))
        # Until an heir answers, those who leave need not wait for the leader: they go in any case.
        surplus = [voter for voter in surplus if voter not in staying and voter != now.leader]
    return next((Demote(NodeId(voter)) for voter in surplus if _keeps_majority(now, voter)), None)


def can_give_up_vote(now: Situation, node_id: NodeId) -> bool:
    """Whether the steps that follow from here take the node's vote away, if nothing else happens meanwhile."""
    voters, ready, leader = set(now.voters), set(now.ready), now.leader
    for _ in range(2 * (len(voters) + VOTERS_MAX_OF_MANY)):
        if node_id not in voters:
            return True
        step = next_step(Situation(leader=leader, nodes=now.nodes, voters=voters, ready=ready, silent_s=now.silent_s))
        match step:
            case Promote(chosen):
                voters.add(chosen)
                ready.discard(chosen)
            case Demote(chosen):
                voters.discard(chosen)
            case HandOver(chosen):
                leader = chosen
            case None:
                return False
    return node_id not in voters


def spread(nodes: Iterable[Node]) -> tuple[int, ...]:
    """How unevenly nodes lie in failure zones, the widest kind first: less is better.

    At each width, the sum of the squares of the numbers in each zone: moving one from a fuller to an emptier zone
    always makes it smaller, so moves end.
    """
    counts: list[Counter[tuple[str, ...]]] = [Counter() for _ in ZONE_LABELS]
    for node in nodes:
        path = tuple(node.labels.get(key, "") for key in ZONE_LABELS)
        for width in range(len(ZONE_LABELS)):
            counts[width][path[: width + 1]] += 1
    return tuple(sum(count * count for count in zones.values()) for zones in counts)


def _wanted_voters(now: Situation) -> set[str]:
    """The set of voters to work towards. It changes as little as it can."""
    by_id = {str(node.id): node for node in now.nodes if not node.leaving}
    voters = [voter for voter in sorted(now.voters) if voter in by_id]
    # Who is to be kept, best first; a draining or long silent voter keeps its vote until another can take it.
    firm = [voter for voter in voters if not by_id[voter].draining and not _is_lost(now, voter)]
    loose = [voter for voter in voters if voter not in firm]
    ready = [each for each in sorted(now.ready) if each in by_id and each not in voters and not by_id[each].draining]
    count = voters_wanted(len(by_id))
    if len(voters) < count:
        # Two voters are worse than one: a cluster goes from one to three when two learners are ready.
        count = min(count, max(voters_wanted(len(voters) + len(ready)), len(voters)))
    chosen = _fewest_apart(firm, count, by_id, now)
    while len(chosen) < count and ready:
        best = min(ready, key=lambda each: (spread(by_id[other] for other in (*chosen, each)), each))
        ready.remove(best)
        chosen.append(best)
    loose.sort(key=lambda voter: (not now.hears(voter), now.silent_s.get(voter, 0.0), voter != now.leader, voter))
    chosen += loose[: max(0, count - len(chosen))]
    return set(_balanced(chosen, ready, by_id, now))


def _is_lost(now: Situation, voter: str) -> bool:
    return now.silent_s.get(voter, 0.0) >= SILENT_S_MAX


def _fewest_apart(firm: list[str], count: int, by_id: Mapping[str, Node], now: Situation) -> list[str]:
    """So many of the firm voters: first go the silent ones, then those that crowd a zone, last the leader."""
    kept = list(firm)
    while len(kept) > count:
        going = min(
            kept,
            key=lambda voter: (
                now.hears(voter),
                voter == now.leader,
                spread(by_id[other] for other in kept if other != voter),
                [-ord(character) for character in voter],  # the highest id, where nothing else decides
            ),
        )
        kept.remove(going)
    return kept


def _balanced(chosen: list[str], ready: list[str], by_id: Mapping[str, Node], now: Situation) -> list[str]:
    """The same number of voters, one moved to an emptier zone if that helps: one move at a time is enough."""
    present = spread(by_id[each] for each in chosen)

    def moved(old: str, new: str) -> tuple[int, ...]:
        return spread(by_id[each] for each in (*(other for other in chosen if other != old), new))

    best = min(((moved(old, new), old == now.leader, old, new) for old in chosen for new in ready), default=None)
    if best is None or best[0] >= present:
        return chosen
    return [*(each for each in chosen if each != best[2]), best[3]]


def _keeps_majority(now: Situation, going: str) -> bool:
    """Whether those that answer are still a majority of the voters without this one."""
    left = [voter for voter in now.voters if voter != going]
    return 2 * sum(now.hears(voter) for voter in left) > len(left)


def best_addresses(
    nodes: Iterable[Node], sightings: Mapping[NodeId, Sighting], cluster_id: str = ""
) -> dict[NodeId, str]:
    """Where to dial each node: where it announces itself now, else where its record says.

    A node that moved while the cluster was down can't change its record before it has been dialed. An announcement
    that lies leads to a node without the right certificate, and no further; one of a member of another cluster, which
    may bear the same name, is not followed at all.
    """
    best = {}
    for node in nodes:
        sighting = sightings.get(node.id)
        seen = (
            sighting is not None
            and sighting.state is NodeState.MEMBER
            and (not cluster_id or sighting.cluster_id in {"", cluster_id})
        )
        best[node.id] = sighting.addresses[0] if sighting and seen else node.addresses[0]
    return best
