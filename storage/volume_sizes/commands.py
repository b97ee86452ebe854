"""How a volume gets more bytes, and how it is known that its guest has seen them."""

from typing import ClassVar, Final

from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict, Invalid
from noded.core.ids import VolumeId
from noded.core.store import Transaction
from storage.extents.layout import extent_count
from storage.messages.commands import tell
from storage.volumes.commands import charge_volume, mark_volume
from storage.volumes.model import EXTENTS_MAX, Layout, Volume

EXTENDING: Final = "extending"  # what goes on with a volume until its guest has seen its size


class ExtendVolume(Command, frozen=True, kw_only=True, tag="volume.extend.1"):
    """The volume has more bytes, which are zero. `attached`: also while somebody has it.

    Where a server of ours has it, its volume server begins anew with the new size, and then its guest is told.
    """

    TOLD: ClassVar[str] = "extended the volume {volume_id} to {size_bytes} bytes"

    volume_id: VolumeId
    size_bytes: int
    tail: Layout
    now_ms: int
    attached: bool = False

    def apply(self, tx: Transaction) -> None:
        volume = tx.need(Volume, self.volume_id)
        may = ("available", "in-use") if self.attached else ("available",)
        if volume.status not in may:
            raise Invalid(
                f"Invalid volume: Volume {volume.id} status must be {' or '.join(may)} to extend, but current status"
                f" is: {volume.status}."
            )
        if self.size_bytes <= volume.size_bytes:
            raise Invalid(
                "Invalid input received: New size for extend must be greater than current size."
                f" (current: {volume.gib}, extended: {self.size_bytes >> 30})."
            )
        layout = volume.layout + self.tail
        extents = extent_count(self.size_bytes + volume.header_bytes, volume.extent_bytes)
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
            # Whoever serves it now goes by its old size: that server ends, and begins anew where it is needed.
            epoch=volume.epoch + 1 if volume.epoch else 0,
            claim_id="",
            changes=volume.changes + 1,
            updated_at_ms=self.now_ms,
            phase=EXTENDING if volume.server_id is not None else volume.phase,
        )
        tx.put(extended)
        charge_volume(tx, extended)


class ConfirmExtension(Command, frozen=True, kw_only=True, tag="volume.extend.confirm.1"):
    """The volume's guest sees so many bytes, or can't be told (`fault`): then it sees them when it starts again."""

    TOLD: ClassVar[str] = "said that the guest of volume {volume_id} sees {size_bytes} bytes"

    volume_id: VolumeId
    size_bytes: int
    fault: str | None = None
    message_id: str = ""
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        volume = tx.get(Volume, self.volume_id)
        if volume is None or volume.phase != EXTENDING or volume.size_bytes != self.size_bytes:
            return
        mark_volume(tx, volume.volume_id, "", expected=(), doing="go on")
        if self.fault is not None:
            tell(
                tx,
                message_id=self.message_id,
                project_id=volume.project_id,
                request_id="",
                resource=("VOLUME", volume.id),
                event="007_001",
                text=f"extend volume:The guest sees the new size when it is started again. {self.fault}.",
                now_ms=self.now_ms,
            )
