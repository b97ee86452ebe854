"""When does checkpoint work happen, and where? In worker threads, one at a time, while the loop goes on."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import structlog
import trio

from consensus.host import checkpoint
from consensus.host.applying import Applier
from consensus.host.checkpoint import CheckpointRefused, Header, Part
from consensus.host.journal import FULL
from consensus.host.requests import encode_ids
from consensus.host.shelf import Shelf
from consensus.log import Capture

_IDLE_S: Final = 0.001  # between two blocks: the loop must not wait for the interpreter's lock

log = structlog.get_logger(__name__)


class Checkpointing:
    """Writes the state machine to the shelf, and reads it back."""

    def __init__(
        self, shelf: Shelf, applier: Applier, *, make_room: Callable[[int], bool] = lambda _bytes: False
    ) -> None:
        """`make_room` frees so many bytes on a full disk, if it can."""
        self._shelf = shelf
        self._applier = applier
        self._make_room = make_room
        self.fault = ""  # why the last checkpoint could not be written
        # One at a time: an own checkpoint must never replace the newer one that the leader sent.
        self._limiter = trio.CapacityLimiter(1)

    def load(self) -> None:
        """At start: become what the checkpoint says, if there is one. Raises CheckpointRefused, OSError."""
        if self._shelf.path.exists():
            checkpoint.verify(self._shelf.path)
            self._applier.restored(self._restore(lambda: None))

    def capture(self, header: Header) -> "Writing":
        """Take the picture now; `Writing.run` writes it."""
        return Writing(self, header, self._applier.requests.capture(), self._applier.machine.capture())

    async def write(self, header: Header, parts: Callable[[], Iterator[tuple[Part, bytes]]]) -> bool:
        """Write a picture. False if that failed: the older checkpoint stays, and the journal grows until it works."""
        write = partial(self._write, header, parts)
        try:
            await trio.to_thread.run_sync(write, limiter=self._limiter)
        except (OSError, CheckpointRefused) as error:
            self.fault = str(error)
            log.error("checkpoint can't be written; the journal grows", reason=self.fault)
            return False
        self.fault = ""
        return True

    def _write(self, header: Header, parts: Callable[[], Iterator[tuple[Part, bytes]]]) -> None:
        path = self._shelf.path
        try:
            checkpoint.write(path, header, parts(), _breathe)
        except OSError as error:
            likely_bytes = (path.stat().st_size if path.exists() else 0) * 5 // 4
            if error.errno not in FULL or not self._make_room(likely_bytes):
                raise
            checkpoint.write(path, header, parts(), _breathe)

    async def install(self, newer_than: int) -> Header | None:
        """Verify and load what the leader sent. None: it is damaged, or says nothing new."""
        try:
            adopt = partial(self._shelf.adopt_incoming, newer_than)
            header = await trio.to_thread.run_sync(adopt, limiter=self._limiter)
        except (OSError, CheckpointRefused) as error:
            log.error("checkpoint from the leader refused", reason=str(error))
            return None
        if header is not None:
            self._applier.restored(await trio.to_thread.run_sync(self._restore, _breathe, limiter=self._limiter))
        return header

    def _restore(self, breathe: Callable[[], None]) -> list[bytes]:
        """Load the state machine; the blocks of request ids."""
        ids: list[bytes] = []

        def states() -> Iterator[bytes]:
            for part, content in checkpoint.read(self._shelf.path):
                if part == Part.REQUESTS:
                    ids.append(content)
                else:
                    yield content
                    breathe()

        self._applier.machine.restore(states())
        return ids


class Writing:
    """A picture on its way to the disk."""

    def __init__(
        self, checkpointing: Checkpointing, header: Header, ids: list[tuple[bytes, int]], capture: Capture
    ) -> None:
        self._checkpointing = checkpointing
        self._header = header
        self._parts = partial(_parts, ids, capture)

    async def run(self) -> Header | None:
        """Write it; None if that failed."""
        return self._header if await self._checkpointing.write(self._header, self._parts) else None


def _parts(ids: list[tuple[bytes, int]], capture: Capture) -> Iterator[tuple[Part, bytes]]:
    for block in encode_ids(ids):
        yield Part.REQUESTS, block
    for block in capture.blocks():
        yield Part.STATE, block


def _breathe() -> None:
    """Between two blocks: let the loop run, and stop when the node stops."""
    time.sleep(_IDLE_S)
    trio.from_thread.check_cancelled()
