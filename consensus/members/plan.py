"""Who should vote on the log, and whom must a node dial at another address? Decides; touches nothing."""

from collections.abc import Collection, Iterable, Mapping

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


def new_addresses(nodes: Iterable[Node], told: Mapping[NodeId, str]) -> dict[NodeId, str]:
    """The best address of each node whose record has changed since it was last told."""
    best = {node.id: node.addresses[0] for node in nodes}
    return {node_id: address for node_id, address in best.items() if told.get(node_id) != address}
