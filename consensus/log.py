"""What the replicated log is to the rest of the house: opaque entries in, outcomes out.

`consensus/host/raft.py` is the real one, `consensus/host/twin.py` the simulated.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from consensus.incarnation import Incarnation
from consensus.room import LogRoom, Shortage


class OutcomeUnknown(Exception):  # noqa: N818
    """A proposal whose time ran out: it may or may not have been committed."""


class NotLeader(Exception):  # noqa: N818
    """Asked of a node that does not lead the log now."""


class ReleaseTooOld(Exception):  # noqa: N818
    """The log says what this release does not understand. The node must stop here: what it skipped, others applied."""


class NoRoom(Exception):  # noqa: N818
    """The disks of these nodes are too full for the cluster to take writes. Nothing was proposed."""

    def __init__(self, shortages: Mapping[str, Shortage]) -> None:
        super().__init__(f"the log's disk is too full on {', '.join(sorted(shortages))}")
        self.shortages = dict(shortages)


class MembershipRefused(Exception):  # noqa: N818
    """A change of voters or of the leader that can't be made now; the message says why."""


class StorageFailed(Exception):  # noqa: N818
    """The log can't be made durable on this node: its process must end, for it may acknowledge nothing any more."""


class Superseded(Exception):  # noqa: N818
    """The cluster's log began anew elsewhere: this node's own is of the past, and must be set aside."""

    def __init__(self, own: Incarnation | None, newer: Incarnation, node_id: str) -> None:
        super().__init__(
            f"node {node_id} follows a newer log of this cluster (life {newer.count}, {newer.id[:8]}) than this node"
            f" (life {own.count if own else 0}, {own.id[:8] if own else ''}): the cluster was recovered or restored"
            " there. This node sets its log aside and joins that one."
        )
        self.newer = newer


class Capture(Protocol):
    """A consistent picture of the state machine, taken in an instant and written out later."""

    def blocks(self) -> Iterator[bytes]:
        """The picture in pieces of moderate size; drained in a worker thread."""


class StateMachine(Protocol):
    """What the log drives. Every node calls `apply` with the same entries in the same order."""

    def apply(self, index: int, payload: bytes) -> object:
        """Apply one entry and say what came of it. Raises nothing but `ReleaseTooOld`, which ends the node."""

    def capture(self) -> Capture:
        """A picture of now. Must return at once."""

    def restore(self, blocks: Iterable[bytes]) -> None:
        """Become what an earlier capture wrote.

        Runs in a worker thread while readers go on: it builds the new state aside and changes over at the end. Raises
        `ReleaseTooOld`.
        """


class Log(Protocol):
    """The log as this node takes part in it."""

    @property
    def node_id(self) -> str: ...
    @property
    def leader_id(self) -> str | None: ...
    @property
    def applied_index(self) -> int: ...
    @property
    def incarnation(self) -> Incarnation | None:
        """Which life of the cluster's log this is; None until this node knows."""

    @property
    def voters(self) -> frozenset[str]:
        """The voters of the newest configuration that this node knows; empty before it knows any."""

    @property
    def room(self) -> LogRoom:
        """How the log's disk is on this node, and what keeps the cluster from writing."""

    async def propose(self, payload: bytes, *, deadline_s: float = ..., frees_room: bool = ...) -> object:
        """Commit the entry and apply it here; what `apply` answered. Applied exactly once however often it is retried.

        `frees_room`: it makes the state smaller, so it may use what is left of the disks. Raises `OutcomeUnknown`, and
        `NoRoom` if the cluster's disks are too full.
        """

    async def read_barrier(self, *, deadline_s: float = ...) -> int:
        """Wait until everything acknowledged anywhere before the call is applied here; raises `OutcomeUnknown`."""

    def reachable(self) -> frozenset[str]:
        """The other nodes that this one heard from within the last seconds."""
