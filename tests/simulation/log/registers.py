"""What do clients do in a world of the log, and is what they saw linearizable? Versioned compare-and-set registers.

A write names the version that it expects and makes the next one, so the order of the writes to a key is known from
what clients saw alone. What remains to be checked is time: nobody may see less than what was seen before they asked.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf

import msgspec


class Violation(Exception):
    """The log broke a promise."""


class Write(msgspec.Struct, frozen=True, array_like=True):
    """Set `key` to `value` if its version still is `expected`. `ballast` only makes the entry large."""

    key: str
    expected: int
    value: int
    ballast: bytes = b""


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """What a key held: 0 and 0 before the first write."""

    version: int = 0
    value: int = 0


@dataclass(frozen=True)
class Answer:
    """What an attempt to write met: `seen` is what the key holds afterwards."""

    done: bool
    seen: Seen


_encode = msgspec.msgpack.Encoder().encode
_decode_write = msgspec.msgpack.Decoder(Write).decode
_decode_cells = msgspec.msgpack.Decoder(dict[str, Seen]).decode


class Registers:
    """The state machine."""

    def __init__(self) -> None:
        self.cells: dict[str, Seen] = {}

    def apply(self, index: int, payload: bytes) -> Answer:
        write = _decode_write(payload)
        seen = self.read(write.key)
        if seen.version != write.expected:
            return Answer(False, seen)
        self.cells[write.key] = Seen(seen.version + 1, write.value)
        return Answer(True, self.cells[write.key])

    def read(self, key: str) -> Seen:
        return self.cells.get(key, Seen())

    def capture(self) -> "Picture":
        return Picture(_encode(self.cells))

    def restore(self, blocks: Iterable[bytes]) -> None:
        [block] = blocks
        self.cells = _decode_cells(block)


@dataclass(frozen=True)
class Picture:
    """A copy on its way to a checkpoint."""

    content: bytes

    def blocks(self) -> Iterator[bytes]:
        yield self.content


class Outcome(Enum):
    """What a client learned of its call."""

    READ = auto()
    WRITTEN = auto()
    REFUSED = auto()
    UNKNOWN = auto()


@dataclass
class Call:
    """One call of one client: when, what, and what came of it. Times are the world's."""

    key: str
    began: float
    write: Write | None = None
    ended: float = inf
    outcome: Outcome = Outcome.UNKNOWN
    seen: Seen = field(default_factory=Seen)

    def end(self, now: float, outcome: Outcome, seen: Seen) -> None:
        self.ended, self.outcome, self.seen = now, outcome, seen

    @property
    def place(self) -> int:
        """Where it stands in its key's order: a write just before those who saw it."""
        return 2 * self.seen.version + (self.outcome is not Outcome.WRITTEN)


def check_linearizable(calls: Iterable[Call]) -> int:
    """Raise Violation if no order of the calls explains what each saw. How many answers were checked."""
    by_key: defaultdict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_key[call.key].append(call)
    return sum(_check_key(key, history) for key, history in sorted(by_key.items()))


def _check_key(key: str, history: list[Call]) -> int:
    writes = {call.write.value: call for call in history if call.write is not None}
    makers: dict[int, Call] = {}
    answered = [call for call in history if call.outcome is not Outcome.UNKNOWN]
    for call in answered:
        _check_answer(key, call, writes, makers)
    placed = [*answered, *_unclear_but_seen(makers)]
    _check_time(key, placed)
    return len(answered)


def _check_answer(key: str, call: Call, writes: dict[int, Call], makers: dict[int, Call]) -> None:
    """What it saw was written by one call, which expected the version before and had begun."""
    seen = call.seen
    if seen.version == 0:
        if seen.value != 0:
            raise Violation(f"{key} held {seen.value} before anybody wrote")
        return
    maker = writes.get(seen.value)
    if maker is None or maker.write is None or maker.write.expected != seen.version - 1:
        raise Violation(f"{key}: somebody saw {seen}, which nobody wrote like that")
    if makers.setdefault(seen.version, maker) is not maker:
        raise Violation(f"{key}: version {seen.version} was {seen.value} for one, something else for another")
    if call.outcome is Outcome.WRITTEN and maker is not call:
        raise Violation(f"{key}: a write was told the success of another one, {seen}")
    if call.ended < maker.began:
        raise Violation(f"{key}: {seen} was seen before it was written")


def _unclear_but_seen(makers: dict[int, Call]) -> Iterator[Call]:
    """Writes whose client heard nothing, but whose effect somebody saw: they happened, some time after they began."""
    for version, maker in makers.items():
        if maker.outcome is Outcome.UNKNOWN:
            assert maker.write is not None
            yield Call(maker.key, maker.began, maker.write, inf, Outcome.WRITTEN, Seen(version, maker.write.value))
        elif maker.outcome is Outcome.REFUSED:
            raise Violation(f"{maker.key}: a refused write made version {version}")


def _check_time(key: str, placed: list[Call]) -> None:
    """No call may stand before one that had ended when it began. Complete, as the places are certain."""
    by_end = sorted(placed, key=lambda call: call.ended)
    ended, newest = 0, Call(key, 0.0)
    for call in sorted(placed, key=lambda call: call.began):
        while by_end[ended].ended < call.began:
            newest = max(newest, by_end[ended], key=lambda one: one.place)
            ended += 1
        if newest.ended < call.began and call.place < newest.place:
            what = "a write" if call.outcome is Outcome.WRITTEN else "a read"
            raise Violation(
                f"{key}: {what} at {call.began:.3f}-{call.ended:.3f} stands at version {call.seen.version}, though"
                f" version {newest.seen.version} had been seen by {newest.ended:.3f}"
            )
