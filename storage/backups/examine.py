"""Answers `noded doctor` for backups: work that nobody does, bytes without a backup, backups without their bytes."""

from collections.abc import Iterable
from typing import Final

from consensus.liveness.links import Watch
from noded.core.errors import Refused
from noded.core.finding import Finding
from noded.core.service import PeerContext
from noded.core.store import View
from storage.backups.links import BackupBytes, DirectoryPlace
from storage.backups.model import BACKING_UP, RESTORING, Backup, BackupTarget, TargetKind
from storage.volumes.model import Purpose, Volume

PATIENCE_S: Final = 60.0


def examine_backups(view: View) -> Iterable[Finding]:
    """Backups beside the volumes that hold, read or fill their bytes."""
    backups = view.all(Backup)
    files = {backup.file_id: backup for backup in backups if backup.file_id is not None}
    held = {backup.source_id for backup in backups} | {backup.restore_id for backup in backups}
    for file_id, backup in sorted(files.items()):
        volume = view.get(Volume, file_id)
        if not backup.failed and (volume is None or volume.deleting):
            yield _finding(
                "lost backup", backup.id, f"backup {backup.id} has its bytes in {file_id}", "it is not there"
            )
    for backup in backups:
        if backup.work is not None and backup.worker_id is None:
            yield Finding(
                kind="stuck backup",
                subject=backup.id,
                what=f"backup {backup.id}: nobody does the work {backup.work.value!r}",
                why="no node that reaches its target is up, or the snapshot to be read is not made",
                mend="`noded explain backup ID` says who could; `openstack volume backup delete --force` gives it up.",
                patience_s=PATIENCE_S,
            )
    for volume in view.all(Volume):
        if volume.purpose is Purpose.BACKUP and not volume.deleting and volume.id not in files:
            yield _finding(
                "orphan volume", volume.id, f"volume {volume.id} holds a backup's bytes", "no backup names it"
            )
        if volume.phase in (BACKING_UP, RESTORING) and not volume.deleting and volume.id not in held:
            yield _finding("stuck volume", volume.id, f"volume {volume.id} is {volume.phase}", "no backup does that")


def _finding(kind: str, subject: str, what: str, why: str) -> Finding:
    return Finding(kind=kind, subject=subject, what=what, why=why, mend="Report it, with `noded history`.")


async def examine_targets(context: PeerContext) -> list[Finding]:
    """The directories of backups that this node sees, and what lies in them that no backup names."""
    node_id, driver = context.cluster.node_id, context.drivers.get(BackupBytes)
    usable, view = context.drivers.get(Watch).usable(), context.cluster.view()
    found = []
    for target in view.all(BackupTarget):
        reads = target.node_id == node_id or (target.node_id is None and node_id == min(usable, default=node_id))
        if target.kind is not TargetKind.DIRECTORY or not reads:
            continue
        try:
            there = await driver.locations(DirectoryPlace.of(target.path, target.id))
        except Refused as refused:
            found.append(
                Finding(
                    kind="target away",
                    subject=target.id,
                    what=f"backup target {target.id} can't be read",
                    why=refused.message,
                    mend="Mount it again; until then its backups can't be made or restored.",
                    node_id=node_id,
                )
            )
            continue
        named = {f"{each.container}/{each.location}" for each in (await context.cluster.fresh_view()).all(Backup)}
        found += [
            Finding(
                kind="orphan backup",
                subject=f"{target.id}/{location}",
                what=f"backup target {target.id} holds {location}",
                why="no backup names it: it is another cloud's, was exported, or a removal was cut off",
                mend=f"Import it, or remove the directory {target.path}/{location}.",
                node_id=node_id,
            )
            for location in sorted(set(there) - named)
        ]
    return found
