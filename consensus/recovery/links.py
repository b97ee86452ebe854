"""What recovery asks of the running node: how much of the log it holds, a copy of its state, and to begin anew."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from consensus.recovery.model import LogStanding
from consensus.recovery.sealing import Passphrase, Recipient
from noded.core.ids import NodeId


class LogFacts(Protocol):
    """The node's end of the log, looked at."""

    @property
    def cluster_name(self) -> str:
        """Of which cluster it is, known before the store is."""

    def standing(self) -> LogStanding:
        """As it is now."""

    def peers(self) -> Mapping[NodeId, tuple[str, ...]]:
        """Where the other members were at the last start of this node."""


class Taking(Protocol):
    """A backup under way."""

    @property
    def revision(self) -> int:
        """At which revision of the store it was taken."""

    def pieces(self) -> AsyncIterator[bytes]:
        """The file, in pieces of moderate size."""


class Backups(Protocol):
    """Takes sealed copies of the whole state. Bounded: each holds a picture of the store until it is done."""

    async def take(self, secret: Passphrase | Recipient) -> Taking:
        """The state of now. Raises `Unavailable` when too many are under way."""

    def shelve(self, taking: Taking) -> str:
        """Keep a backup for somebody who fetches it piece by piece; by this id."""

    async def next_piece(self, id: str) -> bytes:
        """Its next piece, or nothing at its end. Raises `NotFound` if it was finished, or waited too long."""


class Rebirth(Protocol):
    """Ends this process's part in the log, so that the next one begins a new life of it."""

    def begin_again(self, left_behind: tuple[str, ...]) -> None:
        """Soon: the caller still gets its answer."""
