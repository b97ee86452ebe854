"""How snapshots come, change and go, and how a volume becomes what its newest one is."""

from typing import ClassVar, Final

import msgspec
from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict, Invalid
from noded.core.ids import ProjectId, VolumeId
from noded.core.store import Transaction
from storage.quotas.commands import charge, discharge
from storage.snapshots.model import Snapshot, snapshots_of, status
from storage.types.commands import need_type
from storage.volumes.commands import ask_for_cut, changed_metadata, delete_snapshot, must_be_unused, revert
from storage.volumes.model import CutPart, Volume

# In these a snapshot may be deleted.
DELETABLE = ("available", "error")
# What a driver may say of a snapshot, by what is said of it now.
SAYABLE: Final = {"creating": ("creating", "available", "error"), "deleting": ("deleting", "error_deleting")}


class CreateSnapshot(Command, frozen=True, kw_only=True, tag="snapshot.create.1"):
    """A wish; the blocks come when the volume has stood still. `force`: also while the volume is in use."""

    TOLD: ClassVar[str] = "asked for the snapshot {name} of volume {volume_id}"

    snapshot_id: VolumeId
    cut_id: str
    volume_id: VolumeId
    project_id: ProjectId
    user_id: str
    name: str
    description: str
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    force: bool = False
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        volume = tx.need(Volume, self.volume_id)
        may = ("available", "in-use") if self.force else ("available",)
        if volume.status not in may:
            raise Invalid(
                f"Invalid volume: Volume {volume.id} status must be {' or '.join(may)}, but current status is:"
                f" {volume.status}."
            )
        snapshot = Snapshot(
            id=self.snapshot_id,
            project_id=self.project_id,
            user_id=self.user_id,
            volume_id=self.volume_id,
            name=self.name,
            description=self.description,
            metadata=self.metadata,
            size_bytes=volume.size_bytes,
            created_at_ms=self.now_ms,
            updated_at_ms=self.now_ms,
        )
        take_snapshot(tx, volume, snapshot, self.cut_id)


def take_snapshot(tx: Transaction, volume: Volume, snapshot: Snapshot, cut_id: str) -> None:
    """Have it made, at the one moment of the cut, and count it. Raises `Refused` where that can't be."""
    if tx.get(Snapshot, snapshot.id) is not None:
        raise Conflict(f"Snapshot {snapshot.id} exists already.")
    kind = need_type(tx, volume.type_id)
    amounts = {"snapshots": 1, "gigabytes": snapshot.gib}
    charge(tx, snapshot.id, snapshot.project_id, amounts, type_id=kind.id, type_name=kind.name)
    part = CutPart(volume_id=volume.volume_id, frozen_id=snapshot.frozen_id)
    ask_for_cut(tx, cut_id, [part], hidden=False, now_ms=snapshot.created_at_ms)
    tx.put(snapshot)


def drop_snapshot(tx: Transaction, snapshot: Snapshot) -> None:
    """It is gone, and what it was counted as is given back."""
    delete_snapshot(tx, snapshot.frozen_id)
    discharge(tx, snapshot.id)
    tx.delete(Snapshot, snapshot.id)


def give_snapshots(tx: Transaction, volume_id: VolumeId, *, project_id: ProjectId, user_id: str, now_ms: int) -> None:
    """The snapshots of a volume are another project's from now on, and count there. Raises `OverQuota`."""
    kind = need_type(tx, tx.need(Volume, volume_id).type_id)
    for snapshot in snapshots_of(tx, volume_id):
        amounts = {"snapshots": 1, "gigabytes": snapshot.gib}
        charge(tx, snapshot.id, project_id, amounts, type_id=kind.id, type_name=kind.name)
        given = replace(snapshot, project_id=project_id, user_id=user_id, updated_at_ms=now_ms)
        tx.put(replace(given, group_snapshot_id=None))
        blocks = tx.get(Volume, snapshot.id)
        if blocks is not None:
            tx.put(replace(blocks, project_id=project_id))


class ChangeSnapshot(Command, frozen=True, kw_only=True, tag="snapshot.change.1"):
    """New words on a snapshot; None leaves a field as it is."""

    TOLD: ClassVar[str] = "changed the snapshot {snapshot_id}"

    snapshot_id: VolumeId
    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None
    added: dict[str, str] = msgspec.field(default_factory=dict)
    removed: tuple[str, ...] = ()
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        snapshot = tx.need(Snapshot, self.snapshot_id)
        words = snapshot.metadata if self.metadata is None else self.metadata
        words = changed_metadata("snapshot", words, self.added, self.removed)
        tx.put(
            replace(
                snapshot,
                name=snapshot.name if self.name is None else self.name,
                description=snapshot.description if self.description is None else self.description,
                metadata=words,
                updated_at_ms=self.now_ms,
            )
        )


class DeleteSnapshot(Command, frozen=True, kw_only=True, tag="snapshot.delete.1"):
    """Its record goes at once; its blocks as soon as neither the volume nor a clone shows them any more."""

    TOLD: ClassVar[str] = "deleted the snapshot {snapshot_id}"

    FREES_ROOM: ClassVar[bool] = True

    snapshot_id: VolumeId
    force: bool = False

    def apply(self, tx: Transaction) -> None:
        snapshot = tx.need(Snapshot, self.snapshot_id)
        word = status(tx, snapshot)
        if not self.force and word not in DELETABLE:
            raise Invalid(
                f"Invalid snapshot: Snapshot {snapshot.id} is {word}. It must be available or in error to be deleted."
            )
        if not self.force and snapshot.group_snapshot_id is not None:
            raise Invalid(
                f"Invalid snapshot: Snapshot {snapshot.id} belongs to group snapshot {snapshot.group_snapshot_id}."
                " Delete that one, and this goes with it."
            )
        drop_snapshot(tx, snapshot)


class ResetSnapshotStatus(Command, frozen=True, kw_only=True, tag="snapshot.reset_status.1"):
    """An administrator's word for what goes on with it. It changes nothing else of it."""

    TOLD: ClassVar[str] = "reset the status of snapshot {snapshot_id} to {status}"

    snapshot_id: VolumeId
    status: str

    def apply(self, tx: Transaction) -> None:
        snapshot = tx.need(Snapshot, self.snapshot_id)
        say(tx, snapshot, self.status)


class UpdateSnapshotStatus(Command, frozen=True, kw_only=True, tag="snapshot.update_status.1"):
    """A driver's word for how far it is; only what can follow on what is said now."""

    TOLD: ClassVar[str] = "said that the snapshot {snapshot_id} is {status}"

    snapshot_id: VolumeId
    status: str
    progress: str = ""

    def apply(self, tx: Transaction) -> None:
        snapshot = tx.need(Snapshot, self.snapshot_id)
        now = status(tx, snapshot)
        if now not in SAYABLE:
            raise Invalid(
                f"Snapshot status {now} not allowed for update_snapshot_status: the snapshot must be"
                f" {' or '.join(SAYABLE)}."
            )
        if self.status not in SAYABLE[now]:
            raise Invalid(
                f"Provided snapshot status {self.status} not allowed for snapshot with status {now}. One of:"
                f" {', '.join(SAYABLE[now])}."
            )
        say(tx, snapshot, self.status, self.progress or snapshot.progress)


def say(tx: Transaction, snapshot: Snapshot, word: str, progress: str = "") -> None:
    """From now on the API says so of it; where that is the case anyway, nothing needs to be said."""
    plain = replace(snapshot, said="", progress=progress)
    tx.put(plain if status(tx, plain) == word else replace(plain, said=word))


class RevertVolume(Command, frozen=True, kw_only=True, tag="volume.revert.1"):
    """The volume is what its newest snapshot is. What was written since is given back."""

    TOLD: ClassVar[str] = "reverted the volume {volume_id} to snapshot {snapshot_id}"

    volume_id: VolumeId
    snapshot_id: VolumeId
    leftover_id: VolumeId  # under which the old layer goes
    layer_id: str

    def apply(self, tx: Transaction) -> None:
        volume, snapshot = tx.need(Volume, self.volume_id), tx.need(Snapshot, self.snapshot_id)
        must_be_unused(volume)
        if volume.status != "available" or status(tx, snapshot) != "available":
            raise Invalid(
                f"Invalid volume: volume {volume.id} is {volume.status}, its snapshot {status(tx, snapshot)}; both must"
                " be available to revert."
            )
        if snapshot.volume_id != volume.id or snapshots_of(tx, volume.volume_id)[-1].id != snapshot.id:
            raise Invalid(f"Specified snapshot {snapshot.id} is not the latest one of volume {volume.id}.")
        frozen = tx.need(Volume, snapshot.id)
        revert(tx, volume, frozen, leftover_id=self.leftover_id, layer_id=self.layer_id)
