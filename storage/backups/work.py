"""What a node says of its work on a backup: that it has it, ended it, or failed. And how a restore begins."""

from typing import ClassVar

from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict, Invalid
from noded.core.ids import NodeId, ProjectId, VolumeId
from noded.core.store import Transaction
from storage.backups.commands import end_reading, forget_backup, must_be_idle, release, stop_work
from storage.backups.model import BACKING_UP, RESTORING, Backup, Work
from storage.types.commands import need_type_for_new
from storage.volumes.commands import charge_volume, create_volume, delete_volume, fill_volume, hold_volume, seal_volume
from storage.volumes.model import Layout, Purpose, Volume

SUPERSEDED = "BackupTurnSuperseded"  # the code of the refusal: another node has the work now


class TakeBackup(Command, frozen=True, kw_only=True, tag="backup.take.1"):
    """A node takes the work, from nobody or from a node that it can't reach any more. Older reports don't count."""

    TOLD: ClassVar[str] = "gave the work on the backup {backup_id} to node {node_id}"

    backup_id: str
    node_id: NodeId
    turn: int  # as it was when the node looked

    def apply(self, tx: Transaction) -> None:
        backup = _current(tx, self.backup_id, self.turn)
        if backup.work is None:
            raise Conflict(f"There is nothing to do with backup {backup.id}.", code=SUPERSEDED)
        if backup.work is Work.COPY:
            _hold(tx, backup, backup.source_id, BACKING_UP, self.node_id)
            if backup.file_id is not None:
                hold_volume(tx, backup.file_id, phase="", node_id=self.node_id)
        if backup.work is Work.RESTORE:
            _hold(tx, backup, backup.restore_id, RESTORING, self.node_id)
        tx.put(replace(backup, worker_id=self.node_id, turn=backup.turn + 1))


def _hold(tx: Transaction, backup: Backup, volume_id: VolumeId | None, phase: str, node_id: NodeId) -> None:
    """From now on that node, and no other, may serve the volume. One that was taken away meanwhile is given back."""
    volume = tx.get(Volume, volume_id) if volume_id is not None else None
    if volume is not None and not volume.deleting and volume.phase == phase:
        hold_volume(tx, volume.volume_id, phase=phase, node_id=node_id)
    elif volume is not None:
        release(tx, backup, volume.volume_id)


class FinishBackup(Command, frozen=True, kw_only=True, tag="backup.finish.1"):
    """All bytes are at the target, or were found there."""

    TOLD: ClassVar[str] = "finished the backup {backup_id}"

    backup_id: str
    turn: int
    object_count: int
    stored_bytes: int
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        backup = _current(tx, self.backup_id, self.turn)
        if backup.work is Work.COPY and backup.file_id is not None:
            seal_volume(tx, backup.file_id, tx.need(Volume, backup.file_id).size_bytes)
        end_reading(tx, backup)
        tx.put(
            replace(
                backup,
                work=None,
                worker_id=None,
                source_id=None,
                frozen_id=None,
                complete=True,
                object_count=self.object_count,
                stored_bytes=self.stored_bytes,
                updated_at_ms=self.now_ms,
            )
        )


class BeginRestore(Command, frozen=True, kw_only=True, tag="backup.restore.1"):
    """The backup's bytes are to be written over a volume that nobody uses, or to a new one."""

    TOLD: ClassVar[str] = "began to restore the backup {backup_id} to the volume {volume_id}"

    backup_id: str
    volume_id: VolumeId
    project_id: ProjectId
    user_id: str
    new: bool
    name: str = ""
    description: str = ""
    extent_bytes: int = 0
    layout: Layout = ()
    size_bytes: int = 0
    type_id: str = ""
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        backup = tx.need(Backup, self.backup_id)
        if backup.work is not None or backup.failed or not backup.complete:
            raise Invalid("Backup status must be available")
        if self.new:
            kind = need_type_for_new(tx, self.type_id)
            made = create_volume(
                tx,
                volume_id=self.volume_id,
                project_id=self.project_id,
                user_id=self.user_id,
                name=self.name,
                description=self.description,
                size_bytes=self.size_bytes,
                extent_bytes=self.extent_bytes,
                layout=self.layout,
                purpose=Purpose.DATA,
                now_ms=self.now_ms,
                type_id=kind.id,
                replicas=kind.replicas,
            )
            charge_volume(tx, made)
        volume = tx.need(Volume, self.volume_id)
        must_be_idle(volume, "Volume to be restored to")
        if volume.encryption is not None:
            raise Invalid(f"Invalid volume: Volume {volume.id} is encrypted: a backup's bytes would lie on it plain.")
        if volume.size_bytes < backup.size_bytes:
            raise Invalid(
                f"volume size {volume.size_bytes // (1 << 30)} is too small to restore backup of size"
                f" {backup.size_gib}."
            )
        fill_volume(
            tx,
            self.volume_id,
            metadata=backup.volume_metadata,
            bootable=backup.bootable,
            image_metadata=backup.image_metadata,
        )
        hold_volume(tx, self.volume_id, phase=RESTORING, node_id=None)
        tx.put(
            replace(
                backup,
                work=Work.RESTORE,
                worker_id=None,
                turn=backup.turn + 1,
                restore_id=self.volume_id,
                restore_blank=self.new,
                fail_reason="",
                updated_at_ms=self.now_ms,
            )
        )


class FinishRestore(Command, frozen=True, kw_only=True, tag="backup.restored.1"):
    """The volume is what the backup says."""

    TOLD: ClassVar[str] = "restored the backup {backup_id}"

    backup_id: str
    turn: int
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        backup = _current(tx, self.backup_id, self.turn)
        if backup.restore_id is not None:
            release(tx, backup, backup.restore_id)
        tx.put(replace(backup, work=None, worker_id=None, restore_id=None, updated_at_ms=self.now_ms))


class FailBackup(Command, frozen=True, kw_only=True, tag="backup.fail.1"):
    """The work can't be done, and trying again would not help."""

    TOLD: ClassVar[str] = "gave up the work on the backup {backup_id}: {reason}"
    FREES_ROOM: ClassVar[bool] = True

    backup_id: str
    turn: int
    reason: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        backup = _current(tx, self.backup_id, self.turn)
        if backup.work is Work.COPY and backup.file_id is not None and tx.get(Volume, backup.file_id) is not None:
            delete_volume(tx, backup.file_id)
        tx.put(
            replace(
                stop_work(tx, backup),
                # A backup that could not be restored stays what it was; the volume is what failed.
                failed=backup.work is not Work.RESTORE,
                fail_reason=self.reason,
                updated_at_ms=self.now_ms,
            )
        )


class BackupRemoved(Command, frozen=True, kw_only=True, tag="backup.removed.1"):
    """Nothing of the backup is left at its target."""

    TOLD: ClassVar[str] = "confirmed that nothing is left of the backup {backup_id}"
    FREES_ROOM: ClassVar[bool] = True

    backup_id: str
    turn: int

    def apply(self, tx: Transaction) -> None:
        backup = _current(tx, self.backup_id, self.turn)
        if backup.work is not Work.REMOVE:
            raise Conflict(f"Backup {backup.id} is not to be removed.", code=SUPERSEDED)
        forget_backup(tx, backup)


class LeaveBackup(Command, frozen=True, kw_only=True, tag="backup.leave.1"):
    """A node goes for good: somebody else takes its work."""

    TOLD: ClassVar[str] = "took the work on the backup {backup_id} from node {node_id}"

    backup_id: str
    node_id: NodeId

    def apply(self, tx: Transaction) -> None:
        backup = tx.get(Backup, self.backup_id)
        if backup is None or backup.worker_id != self.node_id:
            return
        for volume_id in (backup.source_id, backup.file_id, backup.restore_id):
            volume = tx.get(Volume, volume_id) if volume_id is not None else None
            if volume is not None and volume.node_id == self.node_id:
                tx.put(replace(volume, node_id=None))
        tx.put(replace(backup, worker_id=None, turn=backup.turn + 1))


def _current(tx: Transaction, backup_id: str, turn: int) -> Backup:
    backup = tx.need(Backup, backup_id)
    if backup.turn != turn:
        raise Conflict(f"Another node has the work on backup {backup_id} now.", code=SUPERSEDED)
    return backup
