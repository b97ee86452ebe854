"""Which node formats which encrypted volume? Decides; touches nothing."""

from collections.abc import Collection

import xxhash

from noded.core.ids import NodeId
from noded.core.store import View
from storage.pools.model import Disk
from storage.volumes.model import Volume


def formats(view: View, node_id: NodeId, usable: Collection[NodeId]) -> list[Volume]:
    """The volumes that this node has to format or, where `node_id` is another one, to take first. The oldest first."""
    due = sorted(view.find(Volume, "unformatted", True), key=lambda each: (each.created_at_ms, each.id))
    return [volume for volume in due if _node_for(view, volume, usable) == node_id]


def _node_for(view: View, volume: Volume, usable: Collection[NodeId]) -> NodeId | None:
    """The node that has it; else one that has disks, drawn by hash."""
    if volume.node_id is not None and volume.node_id in usable:
        return volume.node_id
    able = sorted({disk.node_id for disk in view.all(Disk)} & set(usable))
    return max(able, key=lambda node: xxhash.xxh3_64_intdigest(f"{volume.id}/{node}".encode()), default=None)
