"""How disks look to an operator: what they hold, what comes and goes, and when they will be full. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Final

from consensus.liveness.model import NodeVerdict
from consensus.members.model import Node
from noded.core.ids import DiskId, NodeId
from noded.core.store import View
from storage.pools.commands import zones_of
from storage.pools.model import Disk, DiskState, policy, pool_policy
from storage.volumes.model import Volume, disks_of, is_leaving, is_needed, scrub_asked_ms

BLOCK_BYTES: Final = 4096
NAMED_MAX: Final = 20


def listing(view: View, up: Collection[NodeId]) -> dict[str, Any]:
    """Every disk, the whole pool, and how replicas are moved."""
    disks = view.all(Disk)
    volumes = [volume for volume in view.all(Volume) if is_needed(view, volume)]
    counts = _Counts(view, volumes)
    lines = [disk_line(view, disk, counts, up) for disk in disks]
    return {"disks": lines, "pool": pool_line(disks, volumes), "policy": policy_view(view)}


class _Counts:
    """How many extents each disk has, gets, gives up, is behind in, and still has bytes of."""

    def __init__(self, view: View, volumes: Iterable[Volume]) -> None:
        self.held: Counter[DiskId] = Counter()
        self.comes: Counter[DiskId] = Counter()
        self.goes: Counter[DiskId] = Counter()
        self.behind: Counter[DiskId] = Counter()
        self.left: Counter[DiskId] = Counter()
        # How many extents of each disk have been checked since somebody asked for it, and the oldest check of any.
        self.checked: Counter[DiskId] = Counter()
        self.oldest_ms: dict[DiskId, int] = {}
        for volume in volumes:
            self._count_checks(volume, scrub_asked_ms(view, volume))
            for extent, disks in enumerate(volume.layout):
                self.held.update(disks)
                self.goes.update(disk for disk in disks if is_leaving(volume, extent, disk))
                self.behind.update(disk for disk in disks if disk not in volume.in_sync)
            self.comes.update(join.disk_id for join in volume.joining)
            for each in volume.leftovers:
                self.left[each.disk_id] += len(each.extents)

    def _count_checks(self, volume: Volume, asked_ms: int) -> None:
        since, extents = volume.scrubbed_ms, len(volume.layout)
        if volume.scrub is not None:
            since, extents = volume.scrub.begun_ms, volume.scrub.extents
        if volume.epoch and since >= max(1, asked_ms):
            for disks in volume.layout[:extents]:
                self.checked.update(disks)
        if not volume.epoch:
            self.checked.update(disk for disks in volume.layout for disk in disks)  # nobody ever wrote it
        else:
            for disk in disks_of(volume.layout):
                self.oldest_ms[disk] = min(volume.scrubbed_ms, self.oldest_ms.get(disk, volume.scrubbed_ms))


def unsettled(view: View) -> list[dict[str, Any]]:
    """Volumes with replicas that are behind, on their way, or to be removed, those with most of it first."""
    found = []
    for volume in view.all(Volume):
        if is_needed(view, volume) and (volume.out_of_sync or volume.joining or volume.leftovers):
            line: dict[str, Any] = {
                "id": volume.id,
                "name": volume.name,
                "purpose": volume.purpose.value,
                "node_id": volume.node_id or volume.owner_id,
                "behind": list(volume.out_of_sync),
                "coming": [f"{join.extent}/{join.disk_id}" for join in volume.joining],
                "to_remove": sum(len(left.extents) for left in volume.leftovers),
            }
            found.append(line)
    found.sort(key=lambda line: (-len(line["behind"]), -len(line["coming"]), line["id"]))
    return found


def disk_line(view: View, disk: Disk, counts: _Counts, up: Collection[NodeId]) -> dict[str, Any]:
    """One disk."""
    node = view.get(Node, disk.node_id)
    return {
        "id": disk.id,
        "name": disk.name,
        "node_id": disk.node_id,
        "node": node.name if node else disk.node_id,
        "zones": list(zones_of(view, disk.node_id)),
        "state": state_of(view, disk, up),
        "fault": disk.fault,
        "size_bytes": disk.size_bytes,
        "used_bytes": disk.used_bytes,
        "free_bytes": disk.free_bytes,
        "reserve_bytes": disk.reserve_bytes,
        "weight": disk.weight,
        "draining": disk.draining,
        "replicas": counts.held[disk.disk_id],
        "behind": counts.behind[disk.disk_id],
        "coming": counts.comes[disk.disk_id],
        "going": counts.goes[disk.disk_id],
        "to_remove": counts.left[disk.disk_id],
        "moved_in_bytes": disk.moved_in_bytes,
        "scrub": {
            "asked_ms": disk.scrub_asked_ms,
            "checked": round(counts.checked[disk.disk_id] / max(1, counts.held[disk.disk_id]), 3),
            "oldest_ms": counts.oldest_ms.get(disk.disk_id, 0),
            "rotten_blocks": disk.rotten_blocks,
            "different_blocks": disk.different_blocks,
        },
    }


def state_of(view: View, disk: Disk, up: Collection[NodeId]) -> str:
    """One word for a disk, the worst that is true of it."""
    if disk.state is DiskState.FAILED:
        return "failed"
    if view.get(NodeVerdict, disk.node_id) is not None or disk.node_id not in up:
        return "away"
    if disk.draining:
        return "draining"
    return "full" if disk.state is DiskState.FULL else "in use"


def pool_line(disks: Collection[Disk], volumes: Collection[Volume]) -> dict[str, Any]:
    """The pool as a whole. What is promised is more than there is when volumes are thin."""
    promised = sum(volume.size_bytes * volume.replicas for volume in volumes if volume.layout)
    size = sum(disk.size_bytes for disk in disks)
    return {
        "size_bytes": size,
        "used_bytes": sum(disk.used_bytes for disk in disks),
        "free_bytes": sum(disk.free_bytes for disk in disks if disk.takes_replicas),
        "promised_bytes": promised,
        "overcommit": round(promised / size, 3) if size else 0.0,
        "volumes": len(volumes),
        "degraded_volumes": sum(1 for volume in volumes if volume.out_of_sync),
        "moves": sum(len(volume.joining) for volume in volumes),
    }


def policy_view(view: View) -> dict[str, Any]:
    """How replicas are moved, and how much may be promised."""
    how = policy(view)
    return {
        "overcommit": pool_policy(view).overcommit,
        "patience_s": how.patience_s,
        "at_once": how.at_once,
        "per_disk": how.per_disk,
        "bytes_s": how.bytes_s,
        "balances": how.balances,
        "scrub_days": how.scrub_days,
        "scrub_bytes_s": how.scrub_bytes_s,
    }


def scrub_plan(view: View, disk: Disk) -> dict[str, Any]:
    """What having a disk checked does."""
    held = [volume for volume in view.find(Volume, "disk_ids", disk.id) if is_needed(view, volume)]
    waiting = [volume for volume in held if volume.out_of_sync or volume.joining]
    warnings = [f"{len(waiting)} volumes have replicas that are behind, and are checked when those are in sync"]
    return {
        "disk": disk.id,
        "steps": [
            f"all replicas of {len(held)} volumes are read and compared, those on other disks too, slower than guests",
            "what has rotted is written over with what another replica has",
        ],
        "warnings": warnings if waiting else [],
    }


def drain_plan(view: View, disk: Disk) -> dict[str, Any]:
    """What draining a disk does: how much moves, and what can't."""
    volumes = [volume for volume in view.find(Volume, "disk_ids", disk.id) if is_needed(view, volume)]
    held = [volume for volume in volumes if disk.disk_id in disks_of(volume.layout)]
    others = [each for each in view.all(Disk) if each.id != disk.id and each.takes_replicas]
    free_bytes = sum(each.free_bytes for each in others if each.node_id != disk.node_id)
    stuck = [volume for volume in held if not _has_place(volume, disk, others)]
    warnings = [f"volume {volume.name or volume.id} has no other node to go to, and stays" for volume in stuck]
    if len(warnings) > NAMED_MAX:
        warnings = [*warnings[:NAMED_MAX], f"so do {len(warnings) - NAMED_MAX} more volumes"]
    if free_bytes < disk.used_bytes:
        warnings.append(f"other nodes' disks have {free_bytes} bytes free, and this one holds {disk.used_bytes}")
    return {
        "disk": disk.id,
        "steps": [
            f"nothing new is placed on {disk.name}",
            f"replicas of {len(held)} volumes are made on other disks, about {disk.used_bytes} bytes",
            "each leaves this disk once the others are in sync, and its bytes are removed",
        ],
        "warnings": warnings,
    }


def _has_place(volume: Volume, disk: Disk, others: Iterable[Disk]) -> bool:
    nodes = {other.node_id for other in others}
    return all(
        len(nodes - {other.node_id for other in others if other.disk_id in disks}) > 0
        for disks in volume.layout
        if disk.disk_id in disks
    )
