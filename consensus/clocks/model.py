"""What does a node know of its clock? Pure; never stored, never in the log.

Each node asks some others for their time. A difference that the time for asking can explain is none. Of all clocks, its
own among them, the middle one is right: so one that is far off is told from the many that agree. Of two, the leader's
is. Between two rounds the node's own steady clock tells when somebody sets the other one.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

OFF_MS_MAX: Final = 60_000  # a node whose clock is further off must not say until when something holds


class Told(msgspec.Struct, frozen=True):
    """Another node's time, and between which of our own moments it was said."""

    said_ms: int
    asked_ms: int
    answered_ms: int

    @property
    def ahead_ms(self) -> int:
        """By how much that clock is surely ahead of ours; negative if it is behind."""
        if self.said_ms > self.answered_ms:
            return self.said_ms - self.answered_ms
        return min(0, self.said_ms - self.asked_ms)


def own_ahead_ms(told: Iterable[Told], *, leads: bool) -> int:
    """By how much our own clock is ahead of the right one; negative if it is behind."""
    others = sorted(each.ahead_ms for each in told)
    if not others or (len(others) == 1 and leads):
        return 0
    if len(others) == 1:
        return -others[0]
    every = sorted([0, *others])
    # Of an even number the two in the middle: the one that is nearer to us, lest a node blames itself for others.
    middle = every[(len(every) - 1) // 2 : len(every) // 2 + 1]
    return -min(middle, key=abs)


class ClockSight:
    """This node's clock as it was compared last. Times come from the caller."""

    def __init__(self) -> None:
        self._ahead_ms = 0
        self._at: tuple[int, float] | None = None  # the clock and the steady clock when it was compared

    def take(self, ahead_ms: int, now_ms: int, steady_s: float) -> None:
        """It was compared just now."""
        self._ahead_ms, self._at = ahead_ms, (now_ms, steady_s)

    def ahead_ms(self, now_ms: int, steady_s: float) -> int:
        """By how much it is ahead; negative if it is behind. What it jumped since it was compared counts at once."""
        if self._at is None:
            return 0
        then_ms, then_s = self._at
        jumped = now_ms - then_ms - round((steady_s - then_s) * 1000)
        return self._ahead_ms + jumped


def off(ahead_ms: int) -> str:
    """How far off it is in words, if that is too far; else nothing."""
    if abs(ahead_ms) <= OFF_MS_MAX:
        return ""
    return f"{abs(ahead_ms) // 1000} s {'ahead of' if ahead_ms > 0 else 'behind'} the other nodes'"
