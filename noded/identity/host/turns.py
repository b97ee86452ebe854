"""Whose turn is it? A few places, and queues before them that take turns, so that no crowd holds all others up."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from noded.core.errors import Unavailable


class Turns:
    """`places` at once. One waits behind others of the same crowd; a place that is freed goes to the next crowd."""

    def __init__(self, places: int, waiting_max: int, waiting_max_of_one: int) -> None:
        self._free = places
        self._waiting_max = waiting_max
        self._waiting_max_of_one = waiting_max_of_one
        self._crowds: dict[str, deque[trio.Event]] = {}  # in the order of their turns

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._crowds.values()))

    @asynccontextmanager
    async def turn(self, crowd: str) -> AsyncIterator[None]:
        """Hold a place. Raises `Unavailable` at once if too many wait, of that crowd or of all together."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(crowd)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, crowd: str) -> None:
        queue = self._crowds.get(crowd)
        is_full = queue is not None and len(queue) >= self._waiting_max_of_one
        if is_full or self.waiting >= self._waiting_max:
            raise Unavailable("Too many are signing in at this moment. Try again in a few seconds.")
        called = trio.Event()
        self._crowds.setdefault(crowd, deque()).append(called)
        try:
            await called.wait()
        except trio.Cancelled:
            if called.is_set():
                self._pass_on()  # it was given a place at the same moment
            else:
                self._leave(crowd, called)
            raise

    def _leave(self, crowd: str, called: trio.Event) -> None:
        self._crowds[crowd].remove(called)
        if not self._crowds[crowd]:
            del self._crowds[crowd]

    def _pass_on(self) -> None:
        if not self._crowds:
            self._free += 1
            return
        crowd = next(iter(self._crowds))
        queue = self._crowds.pop(crowd)
        queue.popleft().set()
        if queue:
            self._crowds[crowd] = queue  # behind the others
