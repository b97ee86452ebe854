"""What does the owner know of one replica, and what has it asked of it? One `Member` a disk; bytes in, bytes out."""

import math
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple, Protocol

from noded.core.ids import DiskId
from storage.extents import frame
from storage.extents.frame import HEADER, HEADER_BYTES, PAYLOAD, BadFrame, Op, Why, hash_of
from storage.extents.serving import Buffer

# Above every stamp.
NOTHING_IS_SENT: Final = 1 << 64
_HASHED_BYTES: Final = HEADER_BYTES - 8


class MemberState(Enum):
    """How far a replica has come since its connection was made. Whether it counts is said by the in-sync set."""

    AWAY = "away"  # no connection
    GREETING = "greeting"  # it is being sealed
    SEALED = "sealed"  # it refuses older owners, but may miss writes, and is not sent new ones
    SYNCING = "syncing"  # it is sent every new write, while what it missed is copied
    CURRENT = "current"  # it has everything that was ever acknowledged


class Reply(NamedTuple):
    """An answer. `payload` is valid only until the handler returns. `why` is None unless the request was refused."""

    flags: int
    length: int
    offset: int
    payload: memoryview
    why: Why | None = None

    @property
    def words(self) -> str:
        """The reason of a refusal."""
        return bytes(self.payload).decode(errors="replace")


class Asked(Protocol):
    """Something that a replica was asked. One of the two is called, once."""

    def answered(self, member: "Member", reply: Reply | None) -> None:
        """The replica has answered; None: what was asked is on its stable storage."""

    def lost(self, member: "Member") -> None:
        """The connection ended first. Whether the replica carried it out is not known."""


class Question:
    """An `Asked` made of two functions."""

    __slots__ = ("_answered", "_lost")

    def __init__(self, answered: Callable[[Reply | None], None], lost: Callable[[], None]) -> None:
        self._answered = answered
        self._lost = lost

    def answered(self, _member: "Member", reply: Reply | None) -> None:
        self._answered(reply)

    def lost(self, _member: "Member") -> None:
        self._lost()


class Member:
    """One replica. `out` is what is to be sent to it; `pending` what it has not answered, oldest first."""

    __slots__ = (
        "_watched",
        "_watched_since",
        "away_since",
        "bit",
        "checks",
        "confirmed_at",
        "disk_id",
        "greeted_at",
        "is_full",
        "is_local",
        "latency_s",
        "out",
        "pending",
        "pinged_at",
        "reason",
        "resent",
        "sealed_at",
        "sent_after",
        "shares_files",
        "state",
        "watermark",
    )

    def __init__(self, disk_id: DiskId, bit: int, now: float, *, is_local: bool) -> None:
        self.disk_id = disk_id
        self.bit = bit
        self.is_local = is_local
        self.state = MemberState.AWAY
        self.out: list[Buffer] = []
        self.pending: dict[int, Asked] = {}
        self.watermark = 0
        # The writes that it is sent in this connection: all after a stamp, and those that were under way then.
        self.sent_after = NOTHING_IS_SENT
        self.resent: frozenset[int] = frozenset()
        self.is_full = False
        self.latency_s: float | None = None  # of the newest answer to a ping: the way there and back, and a commit
        self.shares_files = self.checks = False
        # For the lease (lease.py): when the newest question was sent to which it answered that nobody else sealed it;
        # when it was greeted and pinged last; when it said for the first time that it is sealed by this owner.
        self.confirmed_at = self.greeted_at = self.pinged_at = -math.inf
        self.sealed_at: float | None = None
        self.reason = "not connected yet"
        self.away_since = now
        self._watched = -1
        self._watched_since = now

    def is_sent(self, stamp: int) -> bool:
        """Whether the write of that stamp is sent to it in this connection, so that nobody else needs to give it."""
        return stamp > self.sent_after or stamp in self.resent

    def ask(self, asked: Asked, request: int, head: bytes, payload: Buffer = b"") -> None:
        """Send one frame; `asked` hears of the answer."""
        assert self.state is not MemberState.AWAY, "it would never be sent"
        self.pending[request] = asked
        self.out.append(head)
        if payload:
            self.out.append(payload)

    def receive(self, view: memoryview, start: int, end: int) -> int:
        """Take all whole answers of `view[start:end]`; where the first that is not whole begins. Raises BadFrame."""
        pending = self.pending
        while end - start >= HEADER_BYTES:
            magic, op, flags, _, length, request, _, _, _, offset, digest, head_hash = HEADER.unpack_from(view, start)
            if magic != frame.MAGIC or hash_of(view[start : start + _HASHED_BYTES]) != head_hash:
                raise BadFrame("the header's hash does not match")
            stop = start + HEADER_BYTES
            payload = view[stop:stop]
            if flags & PAYLOAD:
                stop += length
                if length > frame.PAYLOAD_BYTES_MAX:
                    raise BadFrame(f"an answer of {length} bytes")
                if stop > end:
                    break
                payload = view[start + HEADER_BYTES : stop]
                if hash_of(payload) != digest:
                    raise BadFrame("the payload's hash does not match")
            start = stop
            if op == Op.ACK:
                # The answer to one may end the connection, and with it the rest: hence the question each time.
                for number in payload.cast("I"):
                    if (asked := pending.pop(number, None)) is not None:
                        asked.answered(self, None)
            elif (asked := pending.pop(request, None)) is not None:
                why = Why(offset) if op == Op.REFUSED else None
                asked.answered(self, Reply(flags, length, offset, payload, why))
        return start

    def disconnect(self, now: float, reason: str) -> list[Asked]:
        """The connection has ended; what was asked, and is lost. It may be asked elsewhere, but not before the owner
        has taken note: so it is the owner that passes the news on."""
        self.state = MemberState.AWAY
        self.away_since = now
        self.reason = reason
        self.sent_after = NOTHING_IS_SENT
        self.resent = frozenset()
        self.out.clear()
        lost = list(self.pending.values())
        self.pending.clear()
        return lost

    def start_again(self) -> None:
        """The same connection is to be bound to another layer: nothing is known of the replica there."""
        self.watermark = 0
        self.sent_after = NOTHING_IS_SENT
        self.resent = frozenset()

    def is_late(self, now: float, seconds: float) -> bool:
        """Whether its oldest unanswered request has been so for `seconds`. To be asked regularly."""
        oldest = next(iter(self.pending), -1)
        if oldest != self._watched:
            self._watched = oldest
            self._watched_since = now
        if oldest >= 0:
            return now - self._watched_since > seconds
        return False
