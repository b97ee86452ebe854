"""What an entry of the log does to the store. The same on every node, and total: no entry can stop it.

But one: an entry of a newer release. Applied as nothing here and as something there, it would part the nodes' states
for ever, so a node that meets one ends. None is proposed before all members understand it (`consensus/levels`).
"""

import gc
import itertools
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import structlog
import xxhash

from consensus.chain import START, Keeper, Link, NoKeeper, next_line
from consensus.codec import Codec
from consensus.levels.model import ClusterLevel, cluster_level
from consensus.log import ReleaseTooOld
from consensus.recent import Recent
from consensus.store import Change, Loading, Picture
from noded.core.command import Command
from noded.core.errors import Kind, Refused, refusal
from noded.core.ids import Revision
from noded.core.record import table_of
from noded.core.unreadable import UNREADABLE
from noded.core.watch import Watched

log = structlog.get_logger(__name__)

_RECORDS_PER_BLOCK = 500
_SPARED_MIN = 20_000
_LEVELS = frozenset({table_of(ClusterLevel)})


@dataclass(frozen=True, slots=True)
class Applied:
    """The entry changed the store."""

    revision: Revision


@dataclass(frozen=True, slots=True)
class Declined:
    """The entry changed nothing, and why."""

    revision: Revision
    kind: Kind
    message: str
    code: str

    def refusal(self) -> Refused:
        """The refusal as its proposer raises it."""
        return refusal(self.kind, self.message, self.code)


Outcome = Applied | Declined


class _Standing(msgspec.Struct, frozen=True, array_like=True):
    """A picture's first block: its revision, and the newest line of history."""

    revision: int
    line_revision: int
    line_head: bytes


class Machine:
    """The replicated state machine: decodes entries, applies their commands to the store, all or none."""

    def __init__(self, codec: Codec, keeper: Keeper | None = None, *, level: int | None = None) -> None:
        """`keeper` keeps a line of history for each entry; `level` is what this release understands (None: all)."""
        self._codec = codec
        self._level = level
        self._picture = Picture.empty()
        self._link = START
        self._keeper = keeper or NoKeeper()
        self._recent = Recent()
        self._spared = 0  # records, when the collector was last told to leave them alone

    @property
    def picture(self) -> Picture:
        """The newest state."""
        return self._picture

    def changes_after(self, revision: int, tables: Collection[str]) -> Watched:
        """Which records of these tables changed after that revision, as far as it is remembered."""
        return self._recent.since(revision, tables, self._picture.revision)

    @property
    def link(self) -> Link:
        """Where the chain of history stands."""
        return self._link

    def apply(self, index: int, payload: bytes) -> Outcome:
        """Apply one entry. A refusal, and even a bug in a command, leaves the state as it was, alike on every node."""
        revision = Revision(index)
        change = self._picture.begin(revision)
        commands: tuple[Command, ...] = ()
        try:
            commands = self._codec.decode_entry(payload).commands
            for command in commands:
                command.apply(change)
        except Refused as refused:
            outcome: Outcome = Declined(revision, refused.kind, refused.message, refused.code)
        except UNREADABLE as fault:
            if self._codec.is_of_newer_release(payload):
                raise _too_old(f"entry {index} of the log", fault) from fault
            log.error("entry can't be read", index=index, fault=str(fault))
            outcome = Declined(revision, Kind.BUG, "This release can't read the change.", "")
        except Exception:  # an entry that raises must not stop the log: it is applied as nothing
            log.exception("command failed", index=index)
            outcome = Declined(revision, Kind.BUG, "The change failed for an unexpected reason; it was not made.", "")
        else:
            outcome = Applied(revision)
        self._take(outcome, payload, commands, change)
        if self._picture.changed_at(_LEVELS) == revision:
            self._check_level()
        return outcome

    def _check_level(self) -> None:
        reached = cluster_level(self._picture)
        if self._level is not None and reached > self._level:
            raise ReleaseTooOld(
                f"The cluster is at level {reached} and this release understands level {self._level}: install the newer"
                " release on this node. `noded level show` on another node tells which level each has."
            )

    def _take(self, outcome: Outcome, payload: bytes, commands: tuple[Command, ...], change: Change) -> None:
        """The new state, and its line of history."""
        revision, link = outcome.revision, self._link
        if isinstance(outcome, Applied):
            line = next_line(link, revision, payload, commands, change)
            self._picture = change.commit()
            self._recent.add(revision, change)
        else:
            words = (outcome.kind.value, outcome.code, outcome.message)
            line = next_line(link, revision, payload, commands, None, *words)
            self._picture = self._picture.at(revision)
        self._link = line.link
        self._keeper.keep(line, link)

    def capture(self) -> "MachineCapture":
        """A picture of now, written out later."""
        self._spare_collections()
        return MachineCapture(self._codec, self._picture, self._link, self._keeper)

    def _spare_collections(self) -> None:
        """Take what the store holds out of the cycle collector's sight, now and then as it grows.

        It never holds cycles, and one look at the maps of a million records stops every thread for a second.
        """
        size = self._picture.size
        if size > max(_SPARED_MIN, self._spared + self._spared // 4):
            self._spared = size
            gc.freeze()

    def restore(self, blocks: Iterable[bytes]) -> None:
        """Become what a capture wrote. The first block says where it stands.

        Raises `ReleaseTooOld`, `msgspec.DecodeError`.
        """
        pieces = iter(blocks)
        standing = msgspec.msgpack.decode(next(pieces), type=_Standing)
        loading = Loading(Revision(standing.revision))
        with _without_collections():
            self._load(pieces, loading)
            self._picture, self._link = loading.finish(), Link(standing.line_revision, standing.line_head)
            self._spare_collections()
        self._check_level()
        self._keeper.resume(self._link)
        self._recent.restart(self._picture.revision)

    def _load(self, pieces: Iterable[bytes], loading: Loading) -> None:
        for piece in pieces:
            try:
                records = self._codec.decode_records(piece)
            except UNREADABLE as fault:
                if self._codec.is_of_newer_release(piece):
                    raise _too_old("the checkpoint", fault) from fault
                raise
            loading.add(records)

    def digest(self) -> str:
        """A hash of every record: equal on all nodes that applied the same log."""
        hasher = xxhash.xxh3_128()
        picture = MachineCapture(self._codec, self._picture, self._link, NoKeeper())
        for block in itertools.islice(picture.blocks(), 1, None):
            hasher.update(block)
        return hasher.hexdigest()


@contextmanager
def _without_collections() -> Iterator[None]:
    """Load without the cycle collector: it would look at every record again and again, and stop all threads for it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _too_old(where: str, fault: Exception) -> ReleaseTooOld:
    return ReleaseTooOld(
        f"This release does not understand {where} ({fault}): install the newer release, which the other nodes run, on"
        " this node. Nothing of it was applied here."
    )


class MachineCapture:
    """A consistent picture on its way to a checkpoint."""

    def __init__(self, codec: Codec, picture: Picture, link: Link, keeper: Keeper) -> None:
        self._codec = codec
        self._picture = picture
        self._link = link
        self._keeper = keeper

    def blocks(self) -> Iterator[bytes]:
        """Where it stands, then the records in batches."""
        # Entries that a checkpoint stands for are never applied again, so their lines must last as long as it does.
        self._keeper.settle()
        yield msgspec.msgpack.encode(_Standing(int(self._picture.revision), *self._link))
        records = self._picture.records()
        while batch := list(itertools.islice(records, _RECORDS_PER_BLOCK)):
            yield self._codec.encode_records(batch)
