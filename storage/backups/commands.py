"""How backups come, change and go. What a node reports of its work on them is in `work.py`."""

from typing import ClassVar

import msgspec
from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict, Invalid, NotFound
from noded.core.ids import ProjectId, VolumeId
from noded.core.store import Transaction
from storage.backups.chunks import SLOT_BYTES, region_count
from storage.backups.model import (
    BACKING_UP,
    CHAIN_MAX,
    POOL,
    RESTORE_FAILED,
    RESTORING,
    Backup,
    BackupTarget,
    Work,
    chain,
    dependants,
)
from storage.quotas.commands import charge, discharge
from storage.volumes.commands import (
    PLACES_CHANGED,
    ask_for_cut,
    create_volume,
    delete_snapshot,
    delete_volume,
    hold_volume,
)
from storage.volumes.model import CutPart, Layout, Purpose, Volume, whole_blocks


class CreateBackup(Command, frozen=True, kw_only=True, tag="backup.create.1"):
    """A backup to be made: of a volume that nobody uses, of one in use (`frozen_id`), or of a snapshot.

    A volume in use goes on meanwhile: what is read is a snapshot that is made for it, and deleted afterwards.
    """

    TOLD: ClassVar[str] = "began a backup of the volume {volume_id}"

    backup_id: str
    project_id: ProjectId
    user_id: str
    name: str
    description: str
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    volume_id: VolumeId
    parent_id: str | None = None
    target_id: str
    container: str
    file_id: VolumeId | None = None  # with `layout`, for the pool
    file_extent_bytes: int = 0
    file_layout: Layout = ()
    snapshot_id: str | None = None
    frozen_id: VolumeId | None = None
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        volume = tx.need(Volume, self.volume_id)
        if volume.encryption is not None:
            raise Invalid(
                f"Invalid volume: Volume {volume.id} is encrypted, and backups of encrypted volumes are not made yet:"
                " the key that they could be read with goes with the volume. Make an image of it, or a snapshot."
            )
        size_bytes = self._size(tx, volume)
        if tx.get(Backup, self.backup_id) is not None:
            raise Conflict(f"Backup {self.backup_id} exists already.")
        parent = _parent(tx, self.parent_id, self.volume_id)
        need_target(tx, self.target_id)
        backup = Backup(
            id=self.backup_id,
            project_id=self.project_id,
            user_id=self.user_id,
            name=self.name,
            description=self.description,
            metadata=self.metadata,
            volume_id=self.volume_id,
            parent_id=parent.id if parent is not None else None,
            snapshot_id=self.snapshot_id,
            size_bytes=size_bytes,
            target_id=self.target_id,
            container=self.container,
            location=self.backup_id,
            file_id=self.file_id,
            volume_name=volume.name,
            volume_metadata=volume.metadata,
            bootable=volume.parent_id is not None if volume.bootable is None else volume.bootable,
            image_metadata=volume.image_metadata,
            source_id=VolumeId(self.snapshot_id) if self.snapshot_id else self.frozen_id or self.volume_id,
            frozen_id=self.frozen_id,
            work=Work.COPY,
            data_at_ms=self.now_ms,
            created_at_ms=self.now_ms,
            updated_at_ms=self.now_ms,
        )
        if (self.file_id is not None) != (self.target_id == POOL):
            raise Invalid("A backup in the pool, and no other, is a hidden volume.")
        if self.file_id is not None:
            _create_file(tx, backup, self.file_id, self.file_extent_bytes, self.file_layout, self.now_ms)
        tx.put(backup)
        charge_backup(tx, backup)
        if self.frozen_id is not None:
            part = CutPart(volume_id=self.volume_id, frozen_id=self.frozen_id)
            ask_for_cut(tx, self.backup_id, [part], hidden=False, now_ms=self.now_ms)
        elif self.snapshot_id is None:
            hold_volume(tx, self.volume_id, phase=BACKING_UP, node_id=None)

    def _size(self, tx: Transaction, volume: Volume) -> int:
        """How large what is backed up is. Raises `Invalid` where it can't be backed up now."""
        if self.snapshot_id is not None:
            snapshot = tx.get(Volume, self.snapshot_id)
            if snapshot is None or snapshot.deleting or snapshot.snapshot_of != volume.id:
                raise Invalid("Invalid snapshot: Snapshot to be backed up must be available.")
            return snapshot.size_bytes
        if self.frozen_id is None:
            must_be_idle(volume, "Volume to be backed up")
        elif volume.status != "in-use" or volume.purpose is not Purpose.DATA:
            raise Conflict(f"Volume {volume.id} is not in use any more. Try again.", code=PLACES_CHANGED)
        return volume.size_bytes


def charge_backup(tx: Transaction, backup: Backup) -> None:
    """Count it against its project's quota."""
    charge(tx, backup.id, backup.project_id, {"backups": 1, "backup_gigabytes": backup.size_gib})


def forget_backup(tx: Transaction, backup: Backup) -> None:
    """The record goes, and what it was counted as."""
    discharge(tx, backup.id)
    tx.delete(Backup, backup.id)


def file_bytes(size_bytes: int) -> int:
    """How large the hidden volume is in which a backup of so many bytes surely fits. It takes what is written."""
    return whole_blocks((region_count(size_bytes) + 1) * SLOT_BYTES)


def _create_file(
    tx: Transaction, backup: Backup, file_id: VolumeId, extent_bytes: int, layout: Layout, now_ms: int
) -> None:
    create_volume(
        tx,
        volume_id=file_id,
        project_id=backup.project_id,
        name=backup.name or backup.id,
        size_bytes=file_bytes(backup.size_bytes),
        extent_bytes=extent_bytes,
        layout=layout,
        purpose=Purpose.BACKUP,
        now_ms=now_ms,
    )


def _parent(tx: Transaction, parent_id: str | None, volume_id: VolumeId) -> Backup | None:
    if parent_id is None:
        return None
    parent = tx.need(Backup, parent_id)
    if parent.work is not None or parent.failed or not parent.complete:
        raise Conflict(f"Backup {parent_id} is not available, so nothing can build on it now.")
    if parent.volume_id != volume_id:
        raise Invalid(f"Backup {parent_id} is of another volume.")
    if len(list(chain(tx, parent))) >= CHAIN_MAX:
        raise Invalid(f"At most {CHAIN_MAX} backups build on one another: make a full backup.")
    return parent


def need_target(tx: Transaction, target_id: str) -> None:
    """Raises `NotFound` where there is no such target."""
    if target_id != POOL and tx.get(BackupTarget, target_id) is None:
        raise NotFound.of("backup target", target_id)


class ChangeBackup(Command, frozen=True, kw_only=True, tag="backup.change.1"):
    """New words on a backup; None leaves a field as it is."""

    TOLD: ClassVar[str] = "changed the backup {backup_id}"

    backup_id: str
    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        backup = tx.need(Backup, self.backup_id)
        tx.put(
            replace(
                backup,
                name=backup.name if self.name is None else self.name,
                description=backup.description if self.description is None else self.description,
                metadata=backup.metadata if self.metadata is None else self.metadata,
                updated_at_ms=self.now_ms,
            )
        )


class DeleteBackup(Command, frozen=True, kw_only=True, tag="backup.delete.1"):
    """The backup's bytes go, then its record. `force`: also while something is being done with it."""

    TOLD: ClassVar[str] = "deleted the backup {backup_id}"
    FREES_ROOM: ClassVar[bool] = True

    backup_id: str
    force: bool = False
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        backup = tx.need(Backup, self.backup_id)
        if backup.work is Work.REMOVE:
            return
        if dependants(tx, backup.id):
            raise Invalid("Incremental backups exist for this backup.")
        if backup.work is not None and not self.force:
            raise Invalid("Backup status must be available or error")
        remove_bytes(tx, replace(stop_work(tx, backup), updated_at_ms=self.now_ms))


def remove_bytes(tx: Transaction, backup: Backup) -> None:
    """Nothing of the backup is to be left; bytes that another record names too stay."""
    shared = [each for each in tx.find(Backup, "location", backup.location) if each.id != backup.id]
    if shared or backup.target_id == POOL:
        if not shared and backup.file_id is not None and tx.get(Volume, backup.file_id) is not None:
            delete_volume(tx, backup.file_id)
        forget_backup(tx, backup)
        return
    tx.put(replace(backup, work=Work.REMOVE, turn=backup.turn + 1))


def stop_work(tx: Transaction, backup: Backup) -> Backup:
    """End what is being done: the volumes are given back, and what the node that does it reports does not count."""
    end_reading(tx, backup)
    if backup.work is Work.RESTORE and backup.restore_id is not None:
        release(tx, backup, backup.restore_id, left=RESTORE_FAILED)
    return replace(
        backup, work=None, worker_id=None, turn=backup.turn + 1, source_id=None, frozen_id=None, restore_id=None
    )


def end_reading(tx: Transaction, backup: Backup) -> None:
    """What was copied is needed no more: the volume is given back, the snapshot that was made for it goes."""
    if backup.work is Work.COPY and backup.frozen_id is not None:
        delete_snapshot(tx, backup.frozen_id)
    elif backup.work is Work.COPY and backup.source_id is not None:
        release(tx, backup, backup.source_id)


def must_be_idle(volume: Volume, what: str) -> None:
    """Raise `Invalid`, in Cinder's words, unless nobody uses the volume and nothing goes on with it."""
    if volume.status != "available" or volume.purpose is not Purpose.DATA:
        raise Invalid(f'Invalid volume: {what} must be available, but the current status is "{volume.status}".')


def release(tx: Transaction, backup: Backup, volume_id: VolumeId, *, left: str = "") -> None:
    """The work is done with the volume: it is nobody's again, also if somebody said another status of it meanwhile."""
    volume = tx.get(Volume, volume_id)
    if volume is None or volume.deleting:
        return
    if volume.phase in (BACKING_UP, RESTORING):
        hold_volume(tx, volume_id, phase=left, node_id=None)
    elif volume.server_id is None and volume.node_id is not None and volume.node_id == backup.worker_id:
        hold_volume(tx, volume_id, phase=volume.phase, node_id=None)


class ResetBackup(Command, frozen=True, kw_only=True, tag="backup.reset.1"):
    """An administrator's word on a backup's state. Work under way ends."""

    TOLD: ClassVar[str] = "set the backup {backup_id} to {status}"

    backup_id: str
    status: str  # "available" or "error"
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        backup = tx.need(Backup, self.backup_id)
        if backup.work is Work.REMOVE:
            raise Invalid(f"Backup {backup.id} is being deleted.")
        if self.status == "available" and not backup.complete:
            raise Invalid(f"Backup {backup.id} is not complete, so it can't be made available. Delete it.")
        failed = self.status == "error"
        tx.put(
            replace(
                stop_work(tx, backup),
                failed=failed,
                fail_reason="An administrator set it to error." if failed else "",
                updated_at_ms=self.now_ms,
            )
        )


class ImportBackup(Command, frozen=True, kw_only=True, tag="backup.import.1"):
    """A record that another cluster, or this one, exported. A node then looks whether the bytes are there."""

    TOLD: ClassVar[str] = "imported the record of the backup {backup[id]}"

    backup: Backup

    def apply(self, tx: Transaction) -> None:
        new = self.backup
        if tx.get(Backup, new.id) is not None:
            raise Invalid(f"Backup {new.id} exists already; delete it before importing its record.")
        need_target(tx, new.target_id)
        if new.parent_id is not None:
            parent = tx.get(Backup, new.parent_id)
            if parent is None:
                raise Invalid(f"Backup {new.id} builds on backup {new.parent_id}: import that one first.")
            if parent.failed or len(list(chain(tx, parent))) >= CHAIN_MAX:
                raise Invalid(f"Backup {new.parent_id}, on which {new.id} builds, can't be used.")
        if new.target_id == POOL:
            file = tx.get(Volume, new.file_id) if new.file_id is not None else None
            if file is None or file.purpose is not Purpose.BACKUP or file.deleting or not file.immutable:
                raise Invalid(f"The bytes of backup {new.id} are in the pool of another cluster, or deleted.")
        tx.put(replace(new, work=Work.CHECK, worker_id=None, complete=False, failed=False, fail_reason=""))
        charge_backup(tx, new)
