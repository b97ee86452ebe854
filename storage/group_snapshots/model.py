"""What a user knows of a group snapshot. What it is made of are snapshots that name it."""

from typing import ClassVar

from noded.core.ids import ProjectId
from noded.core.record import Record
from noded.core.store import View
from storage.snapshots.model import Snapshot
from storage.snapshots.model import status as snapshot_status


class GroupSnapshot(Record, frozen=True, kw_only=True, tag="group_snapshot.1"):
    """One moment of a group."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id", "group_id")
    NOUN: ClassVar[str] = "group snapshot"

    project_id: ProjectId
    user_id: str
    group_id: str
    group_type_id: str
    name: str
    description: str | None
    created_at_ms: int
    said: str = ""  # the status that an administrator has said it has; empty: what is the case


def snapshots_in(view: View, group_snapshot_id: str) -> list[Snapshot]:
    """What it is made of, in the order of the volumes."""
    return sorted(view.find(Snapshot, "group_snapshot_id", group_snapshot_id), key=lambda each: each.volume_id)


def status(view: View, found: GroupSnapshot) -> str:
    """Cinder's word for where it is in its life: that of the snapshot that is the furthest from being there."""
    if found.said:
        return found.said
    words = {snapshot_status(view, each) for each in snapshots_in(view, found.id)}
    return next((word for word in ("error", "creating") if word in words), "available")
