"""When does what is seen of a node count? A small automaton that holds changes back until they last. Pure.

    raw:    up ───┐ down ─────────────────────┐ up ────────┐
    shown:  up    └ suspect ─ HOLD_S ─ down    └─ steady_s ─┴ up

A node that was lost is suspect at once, so nothing new is given to it, and it is down only when that lasts. To be up
again it must be heard for a while; each time that it was lost lately doubles that while (the idea of RFC 2439, route
flap damping), so that a bad cable does not make everyone run to and fro.
"""

from typing import Final

from consensus.liveness.model import State

HOLD_S: Final = 4.0  # a daemon that is restarted is back before
SETTLE_S: Final = 2.0  # nodes notice a loss one after another: until all have, it looks partial
STEADY_S: Final = 1.0
STEADY_S_MAX: Final = 60.0
FLAPS_FREE: Final = 1.0
FLAPS_HALVED_S: Final = 60.0


class Damper:
    """One node's state over time. `now_s` never goes back; `now_ms` is the clock that people read."""

    def __init__(self, now_s: float, now_ms: int) -> None:
        self.shown = State.SUSPECT
        self.since_ms = now_ms
        self._never_lost = True
        self._raw = State.SUSPECT
        self._raw_since_s = now_s
        self._turned_s = now_s  # when raw last became up or last ceased to be
        self._turned_ms = now_ms
        self._flaps = 0.0
        self._faded_s = now_s

    def feed(self, raw: State, now_s: float, now_ms: int, *, up_since_ms: int | None = None) -> None:
        """Take what is seen now. `up_since_ms`: since when others hear it, for a watcher that has just started."""
        if raw is not self._raw:
            if State.UP in (raw, self._raw):
                self._turn(now_s, now_ms)
            self._raw, self._raw_since_s = raw, now_s
        if raw is State.UP:
            self._feed_up(now_s, up_since_ms)
        elif self.shown is State.UP:
            self._show(State.SUSPECT, self._turned_ms)
        elif now_s - self._turned_s >= HOLD_S and now_s - self._raw_since_s >= SETTLE_S:
            self._show(raw, self._turned_ms)

    def flaps(self, now_s: float) -> float:
        """How often the node was lost lately, old times counting less."""
        return float(self._flaps * 0.5 ** ((now_s - self._faded_s) / FLAPS_HALVED_S))

    def steady_s(self, now_s: float) -> float:
        """How long the node must be heard before it is up again."""
        if self._never_lost:
            return 0.0
        return float(min(STEADY_S_MAX, STEADY_S * 2 ** max(0.0, self.flaps(now_s) - FLAPS_FREE)))

    def _feed_up(self, now_s: float, up_since_ms: int | None) -> None:
        if self.shown is not State.UP and now_s - self._turned_s >= self.steady_s(now_s):
            self._show(State.UP, self._turned_ms)
        if self.shown is State.UP and self._never_lost and up_since_ms is not None:
            self.since_ms = min(self.since_ms, up_since_ms)

    def _turn(self, now_s: float, now_ms: int) -> None:
        if self._raw is State.UP:
            self._never_lost = False
            self._flaps, self._faded_s = self.flaps(now_s) + 1.0, now_s
        self._turned_s, self._turned_ms = now_s, now_ms

    def _show(self, state: State, since_ms: int) -> None:
        if state is not self.shown:
            self.shown, self.since_ms = state, since_ms
