"""Which node reads which copy, and which exports are over? Decides; touches nothing."""

from collections.abc import Collection
from dataclasses import dataclass

import xxhash

from images.exports.commands import is_ready, is_wanted
from images.exports.model import Export
from noded.core.ids import NodeId
from noded.core.store import View
from storage.pools.model import Disk
from storage.volumes.model import Volume


@dataclass(frozen=True, slots=True)
class Task:
    """What this node says of an export. `over`: the reason why nothing comes of it; else it takes the copy to read."""

    export: Export
    over: str | None = None


def tasks(view: View, node_id: NodeId, usable: Collection[NodeId]) -> list[Task]:
    """What this node is to say, of the oldest first."""
    found = []
    for export in sorted(view.all(Export), key=lambda each: (each.started_at_ms, each.id)):
        if _node_for(view, export, usable) != node_id:
            continue
        copy = view.get(Volume, export.copy_id)
        if not is_wanted(view, export):
            found.append(Task(export, "the image was deleted"))
        elif copy is None or copy.deleting:
            found.append(Task(export, "the copy was removed"))
        elif copy.phase == "error":
            found.append(Task(export, "the volume could not be made to stand still, or was deleted"))
        elif is_ready(copy) and export.worker_id != node_id:
            found.append(Task(export))
    return found


def reads(view: View, node_id: NodeId) -> list[Export]:
    """The copies that this node has taken to read, the oldest first."""
    mine = [each for each in view.all(Export) if each.worker_id == node_id and is_wanted(view, each)]
    return sorted(mine, key=lambda each: (each.started_at_ms, each.id))


def _node_for(view: View, export: Export, usable: Collection[NodeId]) -> NodeId | None:
    """The node that has it; else one that has disks (a witness carries no volumes), drawn by hash."""
    if export.worker_id is not None and export.worker_id in usable:
        return export.worker_id
    able = sorted({disk.node_id for disk in view.all(Disk)} & set(usable))
    return max(able, key=lambda node: xxhash.xxh3_64_intdigest(f"{export.id}/{node}".encode()), default=None)
