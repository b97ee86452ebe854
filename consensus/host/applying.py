"""What happens when an entry is committed? It is applied once, and who waits for it on this node hears the result."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import trio

from consensus.host.requests import Requests, unseal
from consensus.host.seams import Failure
from consensus.log import StateMachine

log = structlog.get_logger(__name__)


class Waiter:
    """A proposal on its way."""

    def __init__(self) -> None:
        self.is_applied = False
        self.is_lost = False
        self.result: object = None
        self._progress = trio.Event()

    @property
    def is_settled(self) -> bool:
        """Whether waiting on makes no sense."""
        return self.is_applied or self.is_lost

    def resolve(self, result: object) -> None:
        """It was applied here."""
        self.is_applied, self.result = True, result
        self._progress.set()

    def lose(self) -> None:
        """Its result can't be learned any more, unless it is known already."""
        self.is_lost = not self.is_applied
        self._progress.set()

    def attempt_done(self, _result: object, failure: int) -> None:
        """The attempt failed, or found its place in the log: `resolve` tells when that is applied."""
        if failure != Failure.SUCCESS:
            self._progress.set()

    async def wait(self, patience_s: float) -> None:
        """Until it is settled, or an attempt failed, or patience ends."""
        with trio.move_on_after(patience_s):
            await self._progress.wait()
        if not self.is_settled:
            self._progress = trio.Event()


class Applier:
    """The state machine with what stands between it and the log: envelopes, request ids, waiting proposers."""

    def __init__(self, machine: StateMachine) -> None:
        self.machine = machine
        self.requests = Requests()
        self._waiters: dict[bytes, Waiter] = {}
        self._is_stopped = False

    def apply(self, index: int, content: bytes) -> object:
        """Apply a committed entry; a repetition, or one of an unknown form, is applied as nothing."""
        envelope = unseal(content)
        if envelope is None:
            log.error("entry has an unknown form; it is applied as nothing", index=index)
            return None
        waiter = self._waiters.get(envelope.request_id)
        if not self.requests.admit(index, envelope):
            # If its proposer still waits, the first one is inside a checkpoint that this node received.
            if waiter is not None:
                waiter.lose()
            return None
        result = self.machine.apply(index, envelope.payload)
        if waiter is not None:
            waiter.resolve(result)
        return result

    @contextmanager
    def waiting(self, request_id: bytes) -> Iterator[Waiter]:
        """Hear of that request's result inside the block."""
        waiter = self._waiters[request_id] = Waiter()
        if self._is_stopped:
            waiter.lose()
        try:
            yield waiter
        finally:
            del self._waiters[request_id]

    def restored(self, ids: list[bytes]) -> None:
        """The state machine is what a checkpoint says. Requests inside it were applied, with a result unknown here."""
        self.requests.replace(ids)
        for request_id, waiter in self._waiters.items():
            if request_id in self.requests:
                waiter.lose()

    def stop(self) -> None:
        """Nothing will be applied here any more."""
        self._is_stopped = True
        for waiter in self._waiters.values():
            waiter.lose()
