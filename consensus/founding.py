"""Which unclaimed node founds the cluster? The decision alone, without network or disk.

Every node promises itself to one node only: the lowest id in sight, once it sees `expect` nodes, itself included. The
promise is on disk before it is told, and it binds until the node that holds it gives it back. A node founds when it
holds `expect` promises, its own included.

Two groups of `expect` nodes out of fewer than `2 * expect` share a node, and that one promised once: so no partition,
restart or late message makes two clusters. While the holder of a promise can't be asked for it, the node waits,
however long: waiting can be mended by a person, two clusters can't.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from noded.core.ids import NodeId


class Stance(StrEnum):
    """How a node answers when another asks for its promise, or wants its own back."""

    YES = "yes"
    NO = "no"
    FOUNDED = "founded"


@dataclass(frozen=True)
class Round:
    """One request for a promise. Once the voter has been given its promise back, older rounds no longer count."""

    voter: NodeId
    number: int


class Founding:
    """One unclaimed node's part in the decision."""

    def __init__(self, node_id: NodeId, expect: int, promised: NodeId | None = None) -> None:
        """`promised`: what this node had on disk when it started."""
        self.node_id = node_id
        self.expect = expect
        self.promised = promised
        self.founded = False
        self._seen = {node_id}
        self._held: set[NodeId] = set()
        self._rounds: Counter[NodeId] = Counter()
        self._asking_back = False

    @property
    def seen(self) -> frozenset[NodeId]:
        """The authenticated, unclaimed nodes in sight, this one included."""
        return frozenset(self._seen)

    @property
    def favourite(self) -> NodeId | None:
        """Who ought to found, as far as this node sees; None while it sees too few."""
        return min(self._seen) if len(self._seen) >= self.expect else None

    def met(self, peer: NodeId) -> None:
        """`peer` is in sight, authenticated and unclaimed."""
        self._seen.add(peer)

    def lost(self, peer: NodeId) -> None:
        """`peer` is out of sight. Its promise still counts: it can't give it to another without asking here first."""
        self._seen.discard(peer)

    # The voter's part.

    def promise(self, candidate: NodeId) -> Stance:
        """`candidate` asks for this node's promise. After YES, `promised` must be on disk before the answer leaves."""
        if self.founded:
            return Stance.FOUNDED
        free = self.promised in (None, candidate) and not self._asking_back
        if not free or candidate != self.favourite:
            return Stance.NO
        self.promised = candidate
        return Stance.YES

    def holder_to_ask(self) -> NodeId | None:
        """Who holds this node's promise although another ought to; None if nobody does."""
        favourite = self.favourite
        if self.founded or self._asking_back or favourite is None:
            return None
        return self.promised if self.promised not in (None, self.node_id, favourite) else None

    def ask_back(self) -> None:
        """The holder is being asked. Until it answers, nobody gets a promise: it might count one made meanwhile."""
        assert not self._asking_back
        self._asking_back = True

    def answered_back(self, *, freed: bool) -> None:
        """The holder gave the promise back, or (`freed` is False) refused or could not be understood."""
        self._asking_back = False
        if freed:
            self.promised = None

    # The candidate's part.

    def consider_itself(self) -> bool:
        """Promise this node to itself, or take that back for a better one. Whether `promised` must go to disk now."""
        if self.promised == self.node_id and self.favourite not in (None, self.node_id) and not self.founded:
            self.promised = None
            return False
        return self.promised is None and self.promise(self.node_id) is Stance.YES

    def round_for(self, voter: NodeId) -> Round | None:
        """The request to send to `voter` now, if this node lacks its promise and ought to found."""
        wanted = self.promised == self.favourite == self.node_id and not self.founded and voter not in self._held
        return Round(voter, self._rounds[voter]) if wanted else None

    def promised_in(self, asked: Round) -> None:
        """The voter of this round said YES."""
        if asked.number == self._rounds[asked.voter]:
            self._held.add(asked.voter)

    def give_back(self, voter: NodeId) -> Stance:
        """`voter` wants its promise back. After YES it is free to promise itself to another."""
        if self.founded:
            return Stance.FOUNDED
        self._held.discard(voter)
        self._rounds[voter] += 1
        return Stance.YES

    def decide(self) -> bool:
        """Whether this node founds. From the first True on, it never gives a promise back."""
        if self.promised == self.node_id and len(self._held | {self.node_id}) >= self.expect:
            self.founded = True
        return self.founded
