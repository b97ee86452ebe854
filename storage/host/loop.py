"""Who waits for sockets in the storage processes? A plain epoll loop: one system call brings a batch of events.

After each batch the `after` hooks run: they commit and send what the batch has brought together. That is what makes
one disk write and one send do for many requests. Nothing here knows what the sockets are for.
"""

import heapq
import itertools
import os
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Final

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT

Handler = Callable[[int], None]


class Loop:
    """The loop. All methods but `call_from_thread` belong to its own thread."""

    def __init__(self) -> None:
        self.after: list[Callable[[], None]] = []
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._calls: deque[Callable[[], None]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = False
        self._guest: Callable[[], None] | None = None
        self.add(self._wake, self._run_calls)

    def add(self, fd: int, handler: Handler, events: int = READ) -> None:
        """Call `handler` with the events of `fd` whenever there are some."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def watch(self, fd: int, events: int) -> None:
        """Change which events of `fd` count."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Forget `fd`; to be called before it is closed."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once, when `seconds` have passed."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), call))

    def call_from_thread(self, call: Callable[[], None]) -> None:
        """Call soon, in the loop's thread. The only method for other threads."""
        self._calls.append(call)
        os.eventfd_write(self._wake, 1)

    def stop(self) -> None:
        """Let `run` return after this batch."""
        self._stopping = True

    def run(self) -> None:
        """Wait and call, until `stop`."""
        while not self._stopping:
            self.turn(self.patience())
            if self._guest is not None:
                guest, self._guest = self._guest, None
                guest()

    def give_way(self, guest: Callable[[], None]) -> None:
        """Let `guest` wait and call in the place of `run`, after this batch, until it returns.

        It waits for `fileno` to be readable, for at most `patience`, and then calls `turn`.
        """
        self._guest = guest

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    def fileno(self) -> int:
        """Readable when `turn` has something to do."""
        return self._epoll.fileno()

    def patience(self) -> float:
        """How many seconds until a timer has something to do; -1: for ever."""
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1

    def turn(self, patience: float) -> None:
        """One batch: wait for at most `patience` seconds, and call."""
        handlers, after = self._handlers, self.after
        for fd, events in self._epoll.poll(patience):
            handler = handlers.get(fd)
            # Another handler of this batch may have closed it.
            if handler is not None:
                handler(events)
        for call in after:
            call()
        # Timers come when nothing of the batch is left to be done; what they bring about is done at once as well.
        if self._timers and self._timers[0][0] <= time.monotonic():
            self._run_timers()
            for call in after:
                call()

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _run_calls(self, _events: int) -> None:
        os.eventfd_read(self._wake)
        while self._calls:
            self._calls.popleft()()
