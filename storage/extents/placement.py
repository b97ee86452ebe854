"""On which disks do the replicas of an extent go? Weighted rendezvous hashing, one replica a node.

Every node computes the same answer from the same disks, and a disk that comes or goes moves only the extents that it
gains or loses. The weights follow Schindler & Schomaker's logarithmic method: score = -weight / ln(hash in (0, 1)).
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import xxhash

from noded.core.ids import DiskId, NodeId, VolumeId


class Candidate(NamedTuple):
    """A disk that can take extents. `weight` is proportional to the share it should get, such as its size in GiB."""

    disk_id: DiskId
    node_id: NodeId
    weight: float


def place_extent(
    volume_id: VolumeId, extent: int, candidates: Iterable[Candidate], copies: int, prefer: NodeId | None = None
) -> tuple[DiskId, ...]:
    """The disks for `copies` replicas on distinct nodes, best first; fewer if there are fewer nodes.

    A disk of the node `prefer` (the guest's) comes before all others, so that reads stay on the host.
    """
    key = f"{volume_id}/{extent}/"
    ranked = sorted(candidates, key=lambda disk: (disk.node_id == prefer, _score(key, disk)), reverse=True)
    chosen: dict[NodeId, DiskId] = {}
    for disk in ranked:
        if disk.weight > 0 and disk.node_id not in chosen and len(chosen) < copies:
            chosen[disk.node_id] = disk.disk_id
    return tuple(chosen.values())


def place_volume(
    volume_id: VolumeId, extents: int, candidates: Iterable[Candidate], copies: int, prefer: NodeId | None = None
) -> tuple[tuple[DiskId, ...], ...]:
    """The disks of every extent of a new volume."""
    disks = tuple(candidates)
    return tuple(place_extent(volume_id, extent, disks, copies, prefer) for extent in range(extents))


def _score(key: str, disk: Candidate) -> float:
    # 53 bits fill a float's mantissa; the half keeps the value off 0, whose logarithm does not exist.
    chance = ((xxhash.xxh3_64_intdigest((key + disk.disk_id).encode()) >> 11) + 0.5) / (1 << 53)
    return -disk.weight / math.log(chance)
