"""How a volume gets more bytes."""

from typing import ClassVar

from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict, Invalid
from noded.core.ids import VolumeId
from noded.core.store import Transaction
from storage.extents.layout import extent_count
from storage.volumes.commands import charge_volume
from storage.volumes.model import EXTENTS_MAX, Layout, Volume


class ExtendVolume(Command, frozen=True, kw_only=True, tag="volume.extend.1"):
    """The volume has more bytes, which are zero. Nobody may be using it."""

    TOLD: ClassVar[str] = "extended the volume {volume_id} to {size_bytes} bytes"

    volume_id: VolumeId
    size_bytes: int
    tail: Layout
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        volume = tx.need(Volume, self.volume_id)
        if volume.status != "available":
            raise Invalid(
                f"Invalid volume: Volume {volume.id} status must be available to extend, but current status is:"
                f" {volume.status}."
            )
        if self.size_bytes <= volume.size_bytes:
            raise Invalid(
                "Invalid input received: New size for extend must be greater than current size."
                f" (current: {volume.gib}, extended: {self.size_bytes >> 30})."
            )
        layout = volume.layout + self.tail
        extents = extent_count(self.size_bytes, volume.extent_bytes)
        if extents > EXTENTS_MAX:
            raise Invalid(f"Volume {volume.id} can have at most {EXTENTS_MAX * volume.extent_bytes} bytes.")
        if len(layout) != extents:
            raise Conflict(f"Volume {volume.id} has another size now. Try again.")
        added = [disk for disks in self.tail for disk in disks]
        whole = [disk for disk in added if disk not in volume.out_of_sync]
        extended = replace(
            volume,
            size_bytes=self.size_bytes,
            layout=layout,
            disk_ids=tuple(dict.fromkeys((*volume.disk_ids, *added))),
            in_sync=tuple(dict.fromkeys((*volume.in_sync, *whole))),
            # Whoever serves it now, to repair it, goes by its old size: that server ends.
            epoch=volume.epoch + 1 if volume.epoch else 0,
            claim_id="",
            changes=volume.changes + 1,
            updated_at_ms=self.now_ms,
        )
        tx.put(extended)
        charge_volume(tx, extended)
