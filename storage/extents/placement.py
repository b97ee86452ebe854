"""On which disks do the replicas of an extent go? Weighted rendezvous hashing, one replica a node, zones apart.

Every node computes the same answer from the same disks, and a disk that comes or goes moves only the extents that it
gains or loses. Zones come first: the disk with the best score among those in the zones that have fewest of the extent's
replicas, the widest kind of zone before the narrower ones. The weights follow Schindler & Schomaker's logarithmic
method: score = -weight / ln(hash in (0, 1)).
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import xxhash

from noded.core.ids import DiskId, NodeId, VolumeId


class Candidate(NamedTuple):
    """A disk that can take extents. `weight` is proportional to the share it should get, such as its size in GiB.

    `zone` names the failure zones of its node, the widest first; "" stands for one that nobody named.
    """

    disk_id: DiskId
    node_id: NodeId
    weight: float
    zone: tuple[str, ...] = ()


def place_extent(
    volume_id: VolumeId,
    extent: int,
    candidates: Iterable[Candidate],
    copies: int,
    prefer: NodeId | None = None,
    *,
    beside: Sequence[Candidate] = (),
) -> tuple[DiskId, ...]:
    """The disks for `copies` replicas on distinct nodes, best first; fewer if there are fewer nodes.

    A disk of the node `prefer` (the guest's) comes before all others, so that reads stay on the host. `beside` are the
    disks that have a replica already: the new ones go to other nodes, and to other zones where there are any.
    """
    left = {disk: -score(volume_id, extent, disk) for disk in candidates if disk.weight > 0}
    chosen: list[Candidate] = []
    while len(chosen) < copies:
        there = [*beside, *chosen]
        nodes = {disk.node_id for disk in there}
        free = [disk for disk in left if disk.node_id not in nodes]
        if not free:
            break
        chosen.append(
            min(free, key=lambda disk: (disk.node_id != prefer, crowding(disk, there), left[disk], disk.disk_id))
        )
    return tuple(disk.disk_id for disk in chosen)


def place_volume(
    volume_id: VolumeId, extents: int, candidates: Iterable[Candidate], copies: int, prefer: NodeId | None = None
) -> tuple[tuple[DiskId, ...], ...]:
    """The disks of every extent of a new volume."""
    disks = tuple(candidates)
    return tuple(place_extent(volume_id, extent, disks, copies, prefer) for extent in range(extents))


def crowding(disk: Candidate, others: Iterable[Candidate]) -> tuple[int, ...]:
    """How many of `others` lie in the disk's zones, the widest zone first: less is better."""
    zones = [other.zone for other in others]
    return tuple(sum(zone[: width + 1] == disk.zone[: width + 1] for zone in zones) for width in range(len(disk.zone)))


def score(volume_id: VolumeId, extent: int, disk: Candidate) -> float:
    """How much a disk is meant for an extent: of two disks, the one with the higher score."""
    digest = xxhash.xxh3_64_intdigest(f"{volume_id}/{extent}/{disk.disk_id}".encode())
    # 53 bits fill a float's mantissa; the half keeps the value off 0, whose logarithm does not exist.
    chance = ((digest >> 11) + 0.5) / (1 << 53)
    return -disk.weight / math.log(chance)
