"""How do the records of a full journal segment get to their places, while the loop goes on? In a thread of its own."""

import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from storage.host.extent import DiskReplica, Extent
from storage.host.extent_files import Entry, VolumeFacts, settle_extent, write_facts
from storage.host.journal import Journal


class ExtentPart(NamedTuple):
    """The frozen overlay of one extent."""

    replica: DiskReplica
    extent: Extent
    entries: Mapping[int, Entry]


class FactsPart(NamedTuple):
    """What is to be kept of one volume: its seal and its watermark as the segment left them."""

    replica: DiskReplica
    facts: VolumeFacts
    sequence: int


class Settling:
    """One segment on its way into the files. `error` is what the disk said, if it failed."""

    def __init__(
        self,
        sequence: int,
        journal: Journal,
        extents: list[ExtentPart],
        facts: list[FactsPart],
        wake: Callable[[], None],
    ) -> None:
        self.sequence = sequence
        self.extents = extents
        self.error: OSError | None = None
        self.ended = False
        self._journal = journal
        self._facts = facts
        self._wake = wake
        self._thread = threading.Thread(target=self._run, name="settle", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until it has ended."""
        self._thread.join()

    def _run(self) -> None:
        try:
            for part in self.extents:
                self._settle(part)
            for replica, facts, sequence in self._facts:
                if not replica.removed:
                    write_facts(replica.directory, facts, sequence)
            self._journal.forget()
        except OSError as error:
            self.error = error
        self.ended = True
        self._wake()

    def _settle(self, part: ExtentPart) -> None:
        replica = part.replica
        try:
            settle_extent(
                replica.directory, part.extent.index, replica.extent_bytes, part.entries, self._journal.content
            )
        except FileNotFoundError:
            # The volume was removed in the meantime: its directory has another name now.
            if not replica.removed:
                raise
