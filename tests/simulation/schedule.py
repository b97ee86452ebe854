"""How does trio run the same way twice? Its clock is the world's, and the order in which it runs tasks a seed's."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

import trio
import trio._core._run as scheduler  # the only way to its dice: hypothesis-trio seeds them here too


class WorldClock(trio.abc.Clock):
    """Time moves when the world says so, and never while somebody has something to do."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def start_clock(self) -> None:
        """Nothing to start."""

    def current_time(self) -> float:
        return self._now()

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Never sleep for real: the world waits until all tasks are blocked, which must be seen at once."""
        return 0.0 if deadline <= self._now() else inf


@contextmanager
def seeded_scheduler(seed: int) -> Iterator[None]:
    """Let trio choose between tasks that could run by dice of this seed."""
    before = scheduler._r, scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    scheduler._r = random.Random(f"{seed} scheduler")
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    try:
        yield
    finally:
        scheduler._r, scheduler._ALLOW_DETERMINISTIC_SCHEDULING = before
