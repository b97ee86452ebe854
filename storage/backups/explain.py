"""Answers `noded explain backup`: what a backup builds on, where its bytes are, and who works on it."""

from noded.core.service import Explainer, PeerContext
from storage.backups.model import Backup, BackupTarget, chain, dependants
from storage.backups.plan import worker_for

Section = dict[str, object]


async def explain_backup(context: PeerContext, backup_id: str) -> Section:
    """What the log says of a backup, and what is still to be done."""
    view = context.cluster.view()
    backup = view.need(Backup, backup_id)
    target = view.get(BackupTarget, backup.target_id)
    steps = []
    if backup.work is not None:
        worker = backup.worker_id or worker_for(view, backup, context.cluster.reachable())
        steps.append(f"{backup.work.value} by node {worker or 'none: no node that could do it can be reached'}")
    return {
        "desired": {"work": backup.work, "volume": backup.volume_id, "restore_to": backup.restore_id},
        "observed": {
            "complete": backup.complete,
            "failed": backup.failed,
            "why": backup.fail_reason,
            "objects": backup.object_count,
            "stored_bytes": backup.stored_bytes,
            "worker": backup.worker_id,
            "turn": backup.turn,
        },
        "place": {
            "target": backup.target_id,
            "where": (target.path or f"{target.url}/{target.bucket}") if target is not None else backup.file_id,
            "container": backup.container,
            "location": backup.location,
        },
        "builds_on": [each.id for each in chain(view, backup)][1:],
        "built_upon_by": [each.id for each in dependants(view, backup.id)],
        "steps": steps,
    }


EXPLAIN: dict[str, Explainer] = {"backup": explain_backup}
