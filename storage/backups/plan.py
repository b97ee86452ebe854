"""Which node works on which backup? Decides; touches nothing."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import xxhash

from noded.core.ids import NodeId
from noded.core.store import View
from storage.backups.model import Backup, BackupTarget, Work
from storage.pools.model import Disk
from storage.volumes.model import Cut


@dataclass(frozen=True, slots=True)
class Task:
    """Work for this node. `taken`: the log says that it is this node's; else this node must take it first."""

    backup_id: str
    turn: int
    taken: bool


def tasks(view: View, node_id: NodeId, reachable: Collection[NodeId]) -> list[Task]:
    """What this node is to do, oldest first: what it has taken, and what nobody who can be reached has."""
    found = []
    for backup in sorted(view.all(Backup), key=lambda each: (each.updated_at_ms, each.id)):
        if backup.work is None or _waits(view, backup):
            continue
        if backup.worker_id == node_id:
            found.append(Task(backup.id, backup.turn, taken=True))
        elif backup.worker_id not in reachable and worker_for(view, backup, reachable) == node_id:
            found.append(Task(backup.id, backup.turn, taken=False))
    return found


def _waits(view: View, backup: Backup) -> bool:
    """Whether the snapshot that is to be read is still being made."""
    return bool(
        backup.work is Work.COPY and backup.frozen_id is not None and view.find(Cut, "frozen_ids", backup.frozen_id)
    )


def worker_for(view: View, backup: Backup, reachable: Collection[NodeId]) -> NodeId | None:
    """The node that should do the work, the same whoever asks: one that reaches the target, drawn by hash."""
    able = {disk.node_id for disk in view.all(Disk)}  # a witness carries no volumes
    target = view.get(BackupTarget, backup.target_id)
    if target is not None and target.node_id is not None:
        able = {target.node_id}
    return _drawn(backup, able & set(reachable))


def _drawn(backup: Backup, nodes: Iterable[NodeId]) -> NodeId | None:
    weight = {node: xxhash.xxh3_64_intdigest(f"{backup.id}/{node}".encode()) for node in sorted(nodes)}
    return max(weight, key=lambda node: weight[node], default=None)
