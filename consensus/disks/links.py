"""What is asked of this node's end of the log."""

from typing import Protocol

from consensus.incarnation import Incarnation
from consensus.room import LogRoom


class LogEnd(Protocol):
    """Where this node stands in the log, and on which disk. `consensus.host.raft.RaftNode` is one."""

    @property
    def applied_index(self) -> int:
        """How far this node has applied the log."""

    @property
    def incarnation(self) -> Incarnation | None:
        """Which life of the log it takes part in."""

    @property
    def room(self) -> LogRoom:
        """How full its disk is."""
