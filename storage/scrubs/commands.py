"""What the record of a volume is told of a pass over its replicas."""

from typing import ClassVar

import msgspec

from noded.core.command import Command
from noded.core.ids import DiskId, VolumeId
from noded.core.store import Transaction
from storage.volumes.commands import keep_scrub
from storage.volumes.model import ScrubPass


class ReportScrub(Command, frozen=True, kw_only=True, tag="volume.scrub.1"):
    """How far a pass has come: so many extents are checked. What an older pass says does not count."""

    TOLD: ClassVar[str] = "checked {extents} extents of the volume {volume_id}"

    volume_id: VolumeId
    begun_ms: int
    extents: int
    done: bool = False
    rotten: dict[DiskId, int] = msgspec.field(default_factory=dict)
    different: dict[DiskId, int] = msgspec.field(default_factory=dict)
    gone: int = 0

    def apply(self, tx: Transaction) -> None:
        found = ScrubPass(
            begun_ms=self.begun_ms,
            extents=self.extents,
            rotten=self.rotten,
            different=self.different,
            gone=self.gone,
        )
        keep_scrub(tx, self.volume_id, found, done=self.done)
