"""What the cluster remembers of its own beginnings, and what nodes say of their logs when one is to begin anew."""

from enum import StrEnum
from typing import ClassVar

import msgspec

from consensus.incarnation import Incarnation
from noded.core.ids import NodeId
from noded.core.record import Record


class Beginning(StrEnum):
    """Why a life of the log began."""

    RECOVERED = "recovered"  # its majority was lost
    RESTORED = "restored"  # from a backup


class Life(Record, frozen=True, kw_only=True, tag="cluster_life.1"):
    """A life of the cluster's log that did not begin with its founding. The id is its incarnation's."""

    NOUN: ClassVar[str] = "life of the cluster"

    id: str
    count: int
    beginning: Beginning
    began_at_ms: int
    node_id: NodeId  # on which it began
    revision: int  # what it took over: the index of the newest entry, or that of the backup
    backup_taken_at_ms: int | None = None
    left_behind: tuple[str, ...] = ()  # who voted before and had no say in it


class LogStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the log a node holds, and what it thinks of the cluster."""

    node_id: NodeId
    incarnation: Incarnation | None
    last_term: int
    last_index: int
    committed_index: int  # that this node knows of; the true one may be higher
    voters: tuple[NodeId, ...]
    leader_id: NodeId | None

    @property
    def newest(self) -> tuple[int, int]:
        """Of two logs of one life, the one with the greater holds all that was committed in the other."""
        return (self.last_term, self.last_index)


class KnownMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member as a node knows it, perhaps from long ago. Without a record of it, the name is the id's beginning."""

    node_id: NodeId
    name: str
    addresses: tuple[str, ...]


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What a node knows when nobody leads: enough to ask the others."""

    cluster: str
    node_name: str
    standing: LogStanding
    others: tuple[KnownMember, ...]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A member as the node that is to recover sees it. Without `standing` it did not answer: `silent` says why."""

    node_id: NodeId
    name: str
    votes: bool
    standing: LogStanding | None
    silent: str = ""


class RecoveryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What recovering on this node would mean."""

    cluster: str
    node_id: NodeId
    node_name: str
    standing: LogStanding
    others: tuple[Seen, ...]
    obstacles: tuple[str, ...]  # why it must not be done; none of them can be overridden
    warnings: tuple[str, ...]  # why it should rather not: only with `--force`
    losses: tuple[str, ...]  # what may be lost, in words
    steps: tuple[str, ...]


class BeginAgainCall(msgspec.Struct, frozen=True, kw_only=True):
    """Asks the daemon to make its node the only voter of a new life."""

    cluster: str  # its name, so that a slip of the hand can't do it
    left_behind: tuple[str, ...]


class OpenBackupCall(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for a backup: sealed with a passphrase or for a recipient's public key."""

    passphrase: str | None = None
    recipient: bytes | None = None
    stale: bool = False  # take what this node has, although no majority says that it is the newest

    def __repr__(self) -> str:
        """The call without its secret."""
        return f"{type(self).__name__}(recipient={self.recipient!r}, stale={self.stale})"


class OpenedBackup(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that waits to be fetched piece by piece."""

    id: str
    cluster: str
    revision: int
