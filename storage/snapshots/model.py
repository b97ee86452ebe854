"""What a user knows of a snapshot. Its blocks are a `Volume` of the same id, which exists as soon as they do."""

from typing import ClassVar

import msgspec

from noded.core.ids import ProjectId, VolumeId
from noded.core.record import Record
from noded.core.store import View
from noded.core.units import gib_ceil
from storage.volumes.model import Cut, Volume


class Snapshot(Record, frozen=True, kw_only=True, tag="snapshot.1"):
    """One snapshot."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id", "volume_id", "group_snapshot_id")
    NOUN: ClassVar[str] = "snapshot"

    project_id: ProjectId
    user_id: str
    volume_id: VolumeId
    name: str
    description: str
    size_bytes: int
    created_at_ms: int
    updated_at_ms: int
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    said: str = ""  # the status that an administrator has said it has; empty: what is the case
    progress: str = ""  # how far it is, as it was said together with that
    group_snapshot_id: str | None = None  # it was made and goes together with those of the group's other volumes

    @property
    def frozen_id(self) -> VolumeId:
        """Its blocks."""
        return VolumeId(self.id)

    @property
    def gib(self) -> int:
        """Its size as the API and quotas count it."""
        return gib_ceil(self.size_bytes)


def status(view: View, snapshot: Snapshot) -> str:
    """Cinder's word for where it is in its life: it is being made, is there, or could not be made."""
    if snapshot.said:
        return snapshot.said
    if view.get(Volume, snapshot.id) is not None:
        return "available"
    return "creating" if view.find(Cut, "frozen_ids", snapshot.id) else "error"


def snapshots_of(view: View, volume_id: VolumeId) -> list[Snapshot]:
    """The snapshots of a volume, the oldest first."""
    return sorted(view.find(Snapshot, "volume_id", volume_id), key=lambda each: (each.created_at_ms, each.id))
