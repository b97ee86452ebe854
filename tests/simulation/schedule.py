"""How does a program run the same way twice? Time, dice, threads and the order of tasks come from a seed."""

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, tzinfo
from math import inf
from typing import Any, Final

import trio
import trio._core._run as scheduler  # the only way to its dice: hypothesis-trio seeds them here too
import trio.to_thread

from consensus.host.seams import set_clock
from noded.core import clock

EPOCH_S: Final = 1_700_000_000.0  # when virtual time began, for those who ask for the date
THREAD_S: Final = 0.001

SLOWNESS: ContextVar[Callable[[], float]] = ContextVar("SLOWNESS", default=lambda: 1.0)
"""How many times slower than usual the disk of the node is for which a task works."""


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


def until(seconds: float, seeds: Iterable[int]) -> Iterator[int]:
    """The seeds that can be begun within so many real seconds."""
    end = time.monotonic() + seconds
    for seed in seeds:
        if time.monotonic() > end:
            return
        yield seed


@contextmanager
def seeded_scheduler(seed: int) -> Iterator[None]:
    """Let trio choose between tasks that could run by dice of this seed."""
    dice = random.Random(f"{seed} scheduler")
    with _put(scheduler, "_r", dice), _put(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True):
        yield


@contextmanager
def virtual(seed: int) -> Iterator[None]:
    """Inside, everything in this process that asks for time, chance or a thread gets what the seed says.

    The time is trio's: run with `trio.testing.MockClock(autojump_threshold=0)`.
    """
    dice = random.Random(f"{seed} chance")
    random.seed(seed)
    before = set_clock(trio.current_time)
    try:
        with ExitStack() as stack:
            stack.enter_context(seeded_scheduler(seed))
            stack.enter_context(_put(os, "urandom", dice.randbytes))
            stack.enter_context(_put(random, "_urandom", dice.randbytes))
            stack.enter_context(_put(clock, "datetime", _VirtualDate))
            threads = _Threads(seed)
            stack.enter_context(_put(trio.to_thread, "run_sync", threads.run_sync))
            stack.enter_context(_put(trio.from_thread, "check_cancelled", lambda: None))
            yield
    finally:
        set_clock(before)


class _VirtualDate:
    """What `noded.core.clock` asks of `datetime`."""

    @staticmethod
    def now(zone: tzinfo | None = UTC) -> datetime:
        return datetime.fromtimestamp(EPOCH_S + trio.current_time(), zone)


class _Threads:
    """Worker threads without threads: the work is done at once, some time later. Who is cancelled before has not done
    it, as a process that is killed has not."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(f"{seed} threads")

    async def run_sync(
        self,
        work: Callable[..., Any],
        *arguments: object,
        thread_name: str | None = None,
        abandon_on_cancel: bool = False,
        limiter: trio.CapacityLimiter | None = None,
    ) -> Any:
        async with limiter or trio.CapacityLimiter(1):
            await trio.sleep(self._dice.expovariate(1 / THREAD_S) * SLOWNESS.get()())
            return work(*arguments)


@contextmanager
def _put(place: object, name: str, value: object) -> Iterator[None]:
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)
