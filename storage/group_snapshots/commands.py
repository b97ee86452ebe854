"""How group snapshots come and go."""

from typing import ClassVar

import msgspec
from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict, Invalid
from noded.core.ids import VolumeId
from noded.core.store import Transaction
from storage.group_snapshots.model import GroupSnapshot, snapshots_in, status
from storage.snapshots.commands import drop_snapshot, take_snapshot
from storage.snapshots.model import Snapshot
from storage.volumes.model import Group, volumes_in

# The code of the refusal: the group has other volumes now; draw the ids again.
GROUP_CHANGED = "GroupChanged"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of the group, and the id of its snapshot."""

    volume_id: VolumeId
    snapshot_id: VolumeId


class CreateGroupSnapshot(Command, frozen=True, kw_only=True, tag="group_snapshot.create.1"):
    """A wish: one snapshot of each volume of the group, all of the same moment."""

    TOLD: ClassVar[str] = "asked for the group snapshot {name} of group {group_id}"

    group_snapshot_id: str
    cut_id: str
    group_id: str
    user_id: str
    name: str
    description: str | None
    parts: tuple[Part, ...]
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        group = tx.need(Group, self.group_id)
        if group.said not in ("", "available"):
            raise Invalid(f"Invalid group: Group {group.id} is {group.said}. It must be available to be snapshotted.")
        volumes = {volume.volume_id: volume for volume in volumes_in(tx, group.id)}
        if not volumes:
            raise Invalid(f"Invalid group: Group {group.id} has no volumes. Put some into it first.")
        if tx.get(GroupSnapshot, self.group_snapshot_id) is not None:
            raise Conflict(f"Group snapshot {self.group_snapshot_id} exists already.")
        if set(volumes) != {part.volume_id for part in self.parts}:
            raise Conflict(f"Group {group.id} has other volumes now. Try again.", code=GROUP_CHANGED)
        for part in self.parts:
            volume = volumes[part.volume_id]
            if volume.status not in ("available", "in-use"):
                raise Invalid(
                    f"Invalid volume: Volume {volume.id} of the group is {volume.status}. It must be available or"
                    " in-use to be snapshotted."
                )
            snapshot = Snapshot(
                id=part.snapshot_id,
                project_id=group.project_id,
                user_id=self.user_id,
                volume_id=part.volume_id,
                name=self.name,
                description=self.description or "",
                size_bytes=volume.size_bytes,
                created_at_ms=self.now_ms,
                updated_at_ms=self.now_ms,
                group_snapshot_id=self.group_snapshot_id,
            )
            take_snapshot(tx, volume, snapshot, self.cut_id)
        tx.put(
            GroupSnapshot(
                id=self.group_snapshot_id,
                project_id=group.project_id,
                user_id=self.user_id,
                group_id=group.id,
                group_type_id=group.group_type_id,
                name=self.name,
                description=self.description,
                created_at_ms=self.now_ms,
            )
        )


class DeleteGroupSnapshot(Command, frozen=True, kw_only=True, tag="group_snapshot.delete.1"):
    """It goes with all its snapshots; what was made from them stays as it is."""

    TOLD: ClassVar[str] = "deleted the group snapshot {group_snapshot_id}"

    FREES_ROOM: ClassVar[bool] = True

    group_snapshot_id: str

    def apply(self, tx: Transaction) -> None:
        found = tx.need(GroupSnapshot, self.group_snapshot_id)
        word = status(tx, found)
        if word not in ("available", "error"):
            raise Invalid(
                f"Invalid group snapshot: Group snapshot {found.id} is {word}. It must be available or in error to be"
                " deleted."
            )
        for snapshot in snapshots_in(tx, found.id):
            drop_snapshot(tx, snapshot)
        tx.delete(GroupSnapshot, found.id)


class ResetGroupSnapshotStatus(Command, frozen=True, kw_only=True, tag="group_snapshot.reset_status.1"):
    """An administrator's word for what goes on with it. It changes nothing else of it."""

    TOLD: ClassVar[str] = "reset the status of group snapshot {group_snapshot_id} to {status}"

    group_snapshot_id: str
    status: str

    def apply(self, tx: Transaction) -> None:
        plain = replace(tx.need(GroupSnapshot, self.group_snapshot_id), said="")
        tx.put(plain if status(tx, plain) == self.status else replace(plain, said=self.status))
