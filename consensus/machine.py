"""What an entry of the log does to the store. The same on every node, and total: no entry can stop it."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
import structlog
import xxhash

from consensus.codec import Codec
from consensus.store import Picture
from noded.core.errors import Kind, Refused, refusal
from noded.core.ids import Revision

log = structlog.get_logger(__name__)

_RECORDS_PER_BLOCK = 500


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


class Machine:
    """The replicated state machine: decodes entries, applies their commands to the store, all or none."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._picture = Picture.empty()

    @property
    def picture(self) -> Picture:
        """The newest state."""
        return self._picture

    def apply(self, index: int, payload: bytes) -> Outcome:
        """Apply one entry. A refusal, and even a bug in a command, leaves the state as it was, alike on every node."""
        revision = Revision(index)
        change = self._picture.begin(revision)
        try:
            for command in self._codec.decode_entry(payload).commands:
                command.apply(change)
        except Refused as refused:
            self._picture = self._picture.at(revision)
            return Declined(revision, refused.kind, refused.message, refused.code)
        except msgspec.DecodeError as fault:
            log.error("entry can't be read", index=index, fault=str(fault))
            self._picture = self._picture.at(revision)
            return Declined(revision, Kind.BUG, "This release can't read the change.", "")
        except Exception:  # an entry that raises must not stop the log: it is applied as nothing
            log.exception("command failed", index=index)
            self._picture = self._picture.at(revision)
            return Declined(revision, Kind.BUG, "The change failed for an unexpected reason; it was not made.", "")
        self._picture = change.commit()
        return Applied(revision)

    def capture(self) -> "MachineCapture":
        """A picture of now, written out later."""
        return MachineCapture(self._codec, self._picture)

    def restore(self, blocks: Iterable[bytes]) -> None:
        """Become what a capture wrote. The first block is the revision; raises `msgspec.DecodeError`."""
        pieces = iter(blocks)
        revision = Revision(msgspec.msgpack.decode(next(pieces), type=int))
        change = Picture.empty().begin(revision)
        for piece in pieces:
            for record in self._codec.decode_records(piece):
                change.put(record)
        self._picture = change.commit()

    def digest(self) -> str:
        """A hash of every record: equal on all nodes that applied the same log."""
        hasher = xxhash.xxh3_128()
        for block in itertools.islice(self.capture().blocks(), 1, None):
            hasher.update(block)
        return hasher.hexdigest()


class MachineCapture:
    """A consistent picture on its way to a checkpoint."""

    def __init__(self, codec: Codec, picture: Picture) -> None:
        self._codec = codec
        self._picture = picture

    def blocks(self) -> Iterator[bytes]:
        """The revision, then the records in batches."""
        yield msgspec.msgpack.encode(int(self._picture.revision))
        records = self._picture.records()
        while batch := list(itertools.islice(records, _RECORDS_PER_BLOCK)):
            yield self._codec.encode_records(batch)
