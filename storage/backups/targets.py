"""Where backups may be kept, and where new ones go: an operator's setting, the same on every node."""

from typing import ClassVar

from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict, NotFound
from noded.core.store import Transaction
from storage.backups.model import POOL, Backup, BackupTarget


class AddTarget(Command, frozen=True, kw_only=True, tag="backup_target.add.1"):
    """One more place for backups, or new keys for one that is there. It was tried before."""

    TOLD: ClassVar[str] = "added the backup target {target[id]}"

    target: BackupTarget

    def apply(self, tx: Transaction) -> None:
        before = tx.get(BackupTarget, self.target.id)
        place = ("kind", "path", "node_id", "url", "bucket", "seal_key")
        moved = before is not None and any(getattr(before, each) != getattr(self.target, each) for each in place)
        if moved and tx.find(Backup, "target_id", self.target.id):
            raise Conflict(f"Backup target {self.target.id} holds backups and stays where it is: add another one.")
        if self.target.id == POOL:
            raise Conflict(f"The name {POOL} stands for the pool itself.")
        if self.target.default:
            _no_default(tx)
        tx.put(self.target)


class ChooseTarget(Command, frozen=True, kw_only=True, tag="backup_target.choose.1"):
    """New backups go there from now on."""

    TOLD: ClassVar[str] = "made {target_id} the target of new backups"

    target_id: str

    def apply(self, tx: Transaction) -> None:
        target = tx.get(BackupTarget, self.target_id)
        if target is None and self.target_id != POOL:
            raise NotFound.of("backup target", self.target_id)
        _no_default(tx)
        if target is not None:
            tx.put(replace(target, default=True))


class DropTarget(Command, frozen=True, kw_only=True, tag="backup_target.drop.1"):
    """The place is no target any more. What lies there stays. `forced`: its backups are forgotten with it."""

    TOLD: ClassVar[str] = "forgot the backup target {target_id}"
    FREES_ROOM: ClassVar[bool] = True

    target_id: str
    forced: bool = False

    def apply(self, tx: Transaction) -> None:
        target = tx.need(BackupTarget, self.target_id)
        backups = tx.find(Backup, "target_id", target.id)
        if backups and not self.forced:
            raise Conflict(f"Backup target {target.id} holds {len(backups)} backups: delete them first.")
        for backup in backups:
            tx.put(
                replace(
                    backup, work=None, worker_id=None, turn=backup.turn + 1, failed=True,
                    fail_reason=f"Its target {target.id} went with the node that had it.",
                )
            )  # fmt: skip
        tx.delete(BackupTarget, target.id)


def _no_default(tx: Transaction) -> None:
    for each in tx.all(BackupTarget):
        if each.default:
            tx.put(replace(each, default=False))
