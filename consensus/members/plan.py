"""Who should vote on the log, and whom must a node dial at another address? Decides; touches nothing."""

from collections.abc import Collection, Iterable, Mapping

from consensus.discovery import NodeState, Sighting
from consensus.members.model import Node
from noded.core.ids import NodeId

VOTERS_MAX = 5


def voters_wanted(members: int) -> int:
    """How many of so many nodes vote: an odd number, so that one more never makes a majority harder to reach."""
    return min(VOTERS_MAX, members if members % 2 else max(1, members - 1))


def next_voter(members: Collection[NodeId], voters: Collection[str], ready: Collection[str]) -> NodeId | None:
    """Which member to promote now, one at a time, or None. `ready`: the learners that follow the log right now.

    A cluster does not stop at two voters, where the loss of either one stops it: it leaves one for three when two
    are ready.
    """
    candidates = sorted(node_id for node_id in members if node_id in ready and node_id not in voters)
    possible = voters_wanted(len(voters) + len(candidates))
    if len(voters) >= min(possible, voters_wanted(len(members))):
        return None
    return candidates[0]


def best_addresses(nodes: Iterable[Node], sightings: Mapping[NodeId, Sighting]) -> dict[NodeId, str]:
    """Where to dial each node: where it announces itself now, else where its record says.

    A node that moved while the cluster was down can't change its record before it has been dialed. An announcement
    that lies leads to a node without the right certificate, and no further.
    """
    best = {}
    for node in nodes:
        sighting = sightings.get(node.id)
        seen = sighting is not None and sighting.state is NodeState.MEMBER
        best[node.id] = sighting.addresses[0] if sighting and seen else node.addresses[0]
    return best
