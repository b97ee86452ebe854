"""Which builds of the block engine are broken on purpose, so that it shows whether the fault tests would notice?

python -m tests.faults.block.builds BUILD MODULE ARGUMENTS...    is a process of that build
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from storage.extents.lease import Lease
from storage.extents.requests import Write
from storage.extents.serving import Session
from storage.host import extent, extent_server, extent_store, volume_server
from storage.host.extent import DiskReplica
from storage.host.journal import Journal

SOUND = "sound"
NO_FSYNC = "no-fsync"
NO_FENCING = "no-fencing"
NO_CHECKSUM = "no-checksum"
EARLY_ACK = "early-ack"
NO_LEASE = "no-lease"
BUILDS = {
    SOUND: "the product",
    NO_FSYNC: "extent servers acknowledge what is in memory only",
    NO_FENCING: "extent servers take writes of any owner",
    NO_CHECKSUM: "extent servers do not compare what they read with its hash",
    EARLY_ACK: "volume servers acknowledge what two of three replicas have",
    NO_LEASE: "volume servers answer reads although no other node has answered them for long",
}


class ForgetfulJournal(Journal):
    """Writes, and waits for no disk."""

    def __init__(self, path: Path, segment_bytes: int) -> None:
        super().__init__(path, segment_bytes)
        lazy = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(lazy, self._direct, inheritable=False)
        os.close(lazy)


class OpenSession(Session[DiskReplica]):
    """Lets everybody write, and tells no former owner that it is one."""

    def _ping(self, changes: int, mark: int) -> None:
        writer, self._sealed = self._sealed, False
        super()._ping(changes, mark)
        self._sealed = writer

    def _writable(self, op: int, flags: int, extent: int, offset: int, length: int) -> DiskReplica:
        replica = self._bound(extent, offset, length)
        replica.writer = self
        return super()._writable(op, flags, extent, offset, length)

    def _bound(self, extent: int, offset: int, length: int) -> DiskReplica:
        assert self.replica is not None
        self.epoch = max(self.epoch, self.replica.sealed_epoch)
        return super()._bound(extent, offset, length)


class CredulousExtent(extent.Extent):
    """Believes what is on the disk."""

    def load(self, *arguments: Any, **named: Any) -> list[int]:
        super().load(*arguments, **named)
        return []


def release_early(write: Write, bits: int) -> None:
    """In the place of `Write.release_from`: two replicas are enough."""
    write.missing &= ~bits
    if write.missing.bit_count() <= 1 and write.stamp in write._owner.inflight:
        write._owner.written(write)


def breaks(build: str) -> None:
    """Break this process's copy of the product."""
    match build:
        case "no-fsync":
            extent_store.Journal = ForgetfulJournal  # type: ignore[misc]
        case "no-fencing":
            extent_server.Session = OpenSession  # type: ignore[misc]
        case "no-checksum":
            extent.Extent = CredulousExtent  # type: ignore[misc]
        case "early-ack":
            Write.release_from = release_early  # type: ignore[method-assign]
        case "no-lease":
            Lease.holds = lambda _lease: True  # type: ignore[method-assign]


def main(build: str, module: str, words: Sequence[str]) -> int | None:
    """Be that process."""
    breaks(build)
    mains = {"storage.host.extent_server": extent_server.main, "storage.host.volume_server": volume_server.main}
    return mains[module](words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
