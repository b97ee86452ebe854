"""How groups come, change and go. Which volumes are in one, the volumes say (`storage/volumes/grouping.py`)."""

from typing import ClassVar

from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict, Invalid
from noded.core.ids import ProjectId, VolumeId
from noded.core.store import Transaction, View
from storage.group_snapshots.model import GroupSnapshot
from storage.group_types.commands import need_group_type
from storage.quotas.commands import charge, discharge
from storage.types.commands import need_type
from storage.volumes.commands import delete_volume, enter_group, leave_group, must_be_deletable
from storage.volumes.model import Group, Volume, volumes_in


def status(view: View, group: Group) -> str:
    """Cinder's word for where it is in its life: one that is made from others waits for its volumes."""
    if group.said:
        return group.said
    waiting = [volume for volume in volumes_in(view, group.id) if volume.waits_for is not None]
    if not waiting:
        return "available"
    return "error" if any(volume.phase == "error" for volume in waiting) else "creating"


class CreateGroup(Command, frozen=True, kw_only=True, tag="volume_group.create.1"):
    """A group without volumes; what it is made from is told, and its volumes come with commands of their own."""

    TOLD: ClassVar[str] = "created the volume group {name}"

    group_id: str
    project_id: ProjectId
    user_id: str
    name: str
    description: str | None
    group_type_id: str
    volume_type_ids: tuple[str, ...]
    now_ms: int
    group_snapshot_id: str | None = None
    source_group_id: str | None = None

    def apply(self, tx: Transaction) -> None:
        kind = need_group_type(tx, self.group_type_id)
        for type_id in self.volume_type_ids:
            need_type(tx, type_id)
        if tx.get(Group, self.group_id) is not None:
            raise Conflict(f"Group {self.group_id} exists already.")
        charge(tx, self.group_id, self.project_id, {"groups": 1}, type_id=kind.id, type_name=kind.name)
        tx.put(
            Group(
                id=self.group_id,
                project_id=self.project_id,
                user_id=self.user_id,
                name=self.name,
                description=self.description,
                group_type_id=kind.id,
                volume_type_ids=self.volume_type_ids,
                created_at_ms=self.now_ms,
                group_snapshot_id=self.group_snapshot_id,
                source_group_id=self.source_group_id,
            )
        )


class ChangeGroup(Command, frozen=True, kw_only=True, tag="volume_group.change.1"):
    """New words, volumes to take out and to put in; None leaves a field as it is."""

    TOLD: ClassVar[str] = "changed the volume group {group_id}"

    group_id: str
    name: str | None = None
    description: str | None = None
    added: tuple[VolumeId, ...] = ()
    removed: tuple[VolumeId, ...] = ()

    def apply(self, tx: Transaction) -> None:
        group = tx.need(Group, self.group_id)
        word = status(tx, group)
        if (self.added or self.removed) and word != "available":
            raise Invalid(f"Invalid group: Group {group.id} is {word}. It must be available to take or give volumes.")
        for volume_id in self.removed:
            volume = tx.get(Volume, volume_id)
            if volume is None or volume.group_id != group.id:
                raise Invalid(
                    f"Invalid volume: Cannot remove volume {volume_id[:255]} from group {group.id} because it is not in"
                    " the group."
                )
            leave_group(tx, _still(volume))
        for volume_id in self.added:
            volume = tx.get(Volume, volume_id)
            if volume is None or volume.project_id != group.project_id:
                raise Invalid(
                    f"Invalid volume: Cannot add volume {volume_id[:255]} to group {group.id} because volume cannot be"
                    " found."
                )
            enter_group(tx, _still(volume), group.id)
        tx.put(
            replace(
                group,
                name=group.name if self.name is None else self.name,
                description=group.description if self.description is None else self.description,
            )
        )


def _still(volume: Volume) -> Volume:
    if volume.status not in ("available", "in-use"):
        raise Invalid(
            f"Invalid volume: Volume {volume.id} is {volume.status}. It must be available or in-use to change"
            " its group."
        )
    return volume


class DeleteGroup(Command, frozen=True, kw_only=True, tag="volume_group.delete.1"):
    """It goes, with its volumes where that is said. Not while there are snapshots of it."""

    TOLD: ClassVar[str] = "deleted the volume group {group_id}"

    FREES_ROOM: ClassVar[bool] = True

    group_id: str
    with_volumes: bool = False

    def apply(self, tx: Transaction) -> None:
        group = tx.need(Group, self.group_id)
        word = status(tx, group)
        if word not in ("available", "error"):
            raise Invalid(f"Invalid group: Group {group.id} is {word}. It must be available or in error to be deleted.")
        volumes = volumes_in(tx, group.id)
        if volumes and not self.with_volumes:
            raise Invalid(
                f"Invalid group: Group {group.id} is not empty. Take its volumes out, or say delete-volumes to delete"
                " them with it."
            )
        if tx.find(GroupSnapshot, "group_id", group.id):
            raise Invalid(f"Invalid group: Group {group.id} has dependent group snapshots. Delete them first.")
        for volume in volumes:
            must_be_deletable(tx, volume)
            delete_volume(tx, volume.volume_id)
        discharge(tx, group.id)
        tx.delete(Group, group.id)


class ResetGroupStatus(Command, frozen=True, kw_only=True, tag="volume_group.reset_status.1"):
    """An administrator's word for what goes on with it. It changes nothing else of it."""

    TOLD: ClassVar[str] = "reset the status of group {group_id} to {status}"

    group_id: str
    status: str

    def apply(self, tx: Transaction) -> None:
        plain = replace(tx.need(Group, self.group_id), said="")
        tx.put(plain if status(tx, plain) == self.status else replace(plain, said=self.status))
