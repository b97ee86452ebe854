"""What becomes of backups when a node goes for good: others take its work; a target that only it has goes with it."""

from noded.core.departure import Departure, Hold, Leaver
from noded.core.store import View
from storage.backups.model import Backup, BackupTarget
from storage.backups.targets import DropTarget
from storage.backups.work import LeaveBackup


def departure(view: View, leaver: Leaver) -> Departure:
    """The work, the targets, and the commands that settle them."""
    backups = [backup for backup in view.all(Backup) if backup.worker_id == leaver.node_id]
    targets = view.find(BackupTarget, "node_id", leaver.node_id)
    losses = []
    for target in targets:
        count = len(view.find(Backup, "target_id", target.id))
        if count:
            losses.append(f"{count} backups in {target.path} (target {target.id}) are on this node alone")
    return Departure(
        holds=(
            *(Hold(noun=Backup.NOUN, id=each.id, name=each.name, fate="another node works on it") for each in backups),
            *(Hold(noun=BackupTarget.NOUN, id=each.id, name=each.path, fate="it is forgotten") for each in targets),
        ),
        losses=tuple(losses),
        commands=(
            *(LeaveBackup(backup_id=each.id, node_id=leaver.node_id) for each in backups),
            *(DropTarget(target_id=each.id, forced=True) for each in targets),
        ),
    )
