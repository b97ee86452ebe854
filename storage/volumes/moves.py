"""Which replicas should be on other disks, and what is the next step for each? Decides; touches nothing.

    a disk or node that is gone for good, or drained  ─► its replicas are made elsewhere, sources before their clones
    a source's replica is to leave                    ─► so are those of its clones, to where the source is
    what was to leave, and all that stay are in sync  ─► it goes, clones before their sources
    nothing of that                                   ─► disks that have less than their share get more

Each pass looks at the records alone, so whoever plans can change at any time. Only extents of volumes that have no
source are placed; a clone's go where its source's are.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from consensus.liveness.model import NodeVerdict
from consensus.members.commands import takes_work
from noded.core.command import Command
from noded.core.ids import DiskId, NodeId, VolumeId
from noded.core.store import View
from noded.core.units import GIB
from storage.extents.placement import Candidate, crowding, place_extent, score
from storage.pools.commands import zones_of
from storage.pools.model import Disk, DiskState, MovePolicy, policy
from storage.volumes.model import Joining, Volume, is_leaving, is_needed
from storage.volumes.moving import CancelJoins, JoinReplicas, LeaveDisk, why_not_join, why_not_leave

BALANCE_SLACK: Final = 0.1  # a disk that has nine tenths of its share gets nothing more


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The disks as the planner sees them."""

    policy: MovePolicy
    disks: Mapping[DiskId, Disk]
    lost: Mapping[DiskId, str]  # whose replicas are to be elsewhere, and why
    usable: Mapping[DiskId, Candidate]  # which may get new ones


@dataclass
class Load:
    """How much is under way: so many replicas are being made on each disk, and in all."""

    policy: MovePolicy
    by_disk: Counter[DiskId] = field(default_factory=Counter)

    def has_room(self, disk_id: DiskId) -> bool:
        """Whether one more may be made on the disk now."""
        return self.by_disk.total() < self.policy.at_once and self.by_disk[disk_id] < self.policy.per_disk


def look_at(view: View, now_ms: int) -> Pool:
    """The pool as of now."""
    how = policy(view)
    disks = {disk.disk_id: disk for disk in view.all(Disk)}
    lost = {disk_id: why for disk_id, disk in disks.items() if (why := why_lost(view, disk, how, now_ms))}
    usable = {
        disk_id: Candidate(disk_id, disk.node_id, disk.share, zones_of(view, disk.node_id))
        for disk_id, disk in disks.items()
        if disk_id not in lost and disk.takes_replicas and _is_up(view, disk.node_id)
    }
    return Pool(policy=how, disks=disks, lost=lost, usable=usable)


def why_lost(view: View, disk: Disk, how: MovePolicy, now_ms: int) -> str:
    """Why the replicas of a disk are to be elsewhere; empty if they may stay."""
    verdict = view.get(NodeVerdict, disk.node_id)
    patience_ms = 1000 * how.patience_s
    reasons = {
        "it is being drained": disk.draining,
        "its weight is 0": not disk.weight,
        "its node is being drained": not takes_work(view, disk.node_id),
        "its node is down": verdict is not None and now_ms - verdict.down_since_ms >= patience_ms,
        "it has failed": disk.state is DiskState.FAILED and now_ms - disk.failed_since_ms >= patience_ms,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def waits_until_ms(view: View) -> int | None:
    """When patience with some node or disk ends; None if none is away."""
    patience_ms = 1000 * policy(view).patience_s
    since = [verdict.down_since_ms for verdict in view.all(NodeVerdict)]
    since += [disk.failed_since_ms for disk in view.all(Disk) if disk.state is DiskState.FAILED]
    return min(since) + patience_ms if since else None


def steps(view: View, now_ms: int) -> list[Command]:
    """What is to be done now: bounded, and each of them checked again when it is applied."""
    pool = look_at(view, now_ms)
    volumes = [volume for volume in view.all(Volume) if is_needed(view, volume)]
    going = list(_ends(view, pool, volumes, now_ms))
    if going:
        return going  # what comes is decided on what is left then
    load = Load(pool.policy)
    for volume in volumes:
        load.by_disk.update(join.disk_id for join in volume.joining)
    begun: list[Command] = list(_joins(view, pool, volumes, load))
    if not begun and not load.by_disk and pool.policy.balances:
        begun = list(_balance(view, pool, volumes, load))
    return begun


def _ends(view: View, pool: Pool, volumes: Iterable[Volume], now_ms: int) -> Iterator[Command]:
    """Replicas that can go, and those that can't be made."""
    for volume in volumes:
        bad: dict[DiskId, list[int]] = {}
        for join in volume.joining:
            if join.disk_id not in pool.usable and not _may_come_back(pool, join.disk_id):
                bad.setdefault(join.disk_id, []).append(join.extent)
        for disk_id, extents in bad.items():
            yield CancelJoins(volume_id=volume.volume_id, disk_id=disk_id, extents=tuple(extents), now_ms=now_ms)
        left: dict[DiskId, list[int]] = {}
        for extent, disk_id in (*((each.extent, each.disk_id) for each in volume.leaving), *_follows(view, volume)):
            if not why_not_leave(view, volume, extent, disk_id):
                left.setdefault(disk_id, []).append(extent)
        for disk_id, extents in left.items():
            yield LeaveDisk(volume_id=volume.volume_id, disk_id=disk_id, extents=tuple(sorted(extents)), now_ms=now_ms)


def _follows(view: View, volume: Volume) -> Iterator[tuple[int, DiskId]]:
    """The replicas of a clone that its source gives up, where the clone is on all disks that the source stays on."""
    source = view.get(Volume, volume.parent_id) if volume.parent_id is not None else None
    if source is None:
        return
    for each in source.leaving:
        if each.extent < len(volume.layout) and not is_leaving(volume, each.extent, each.disk_id):
            stays = {disk for disk in source.layout[each.extent] if not is_leaving(source, each.extent, disk)}
            if each.disk_id in volume.layout[each.extent] and stays <= set(volume.layout[each.extent]):
                yield each.extent, each.disk_id


def _may_come_back(pool: Pool, disk_id: DiskId) -> bool:
    """Whether a disk is only away for the moment: its node is being restarted."""
    disk = pool.disks.get(disk_id)
    return disk is not None and disk_id not in pool.lost and disk.takes_replicas


def _joins(view: View, pool: Pool, volumes: Iterable[Volume], load: Load) -> Iterator[JoinReplicas]:
    for volume in volumes:
        parent = view.get(Volume, volume.parent_id) if volume.parent_id is not None else None
        found: list[Joining] = []
        for extent, disks in enumerate(volume.layout):
            source = parent if parent is not None and extent < len(parent.layout) else None
            bad = [disk for disk in disks if disk in pool.lost or _source_leaves(source, extent, disk)]
            gone = [disk for disk in bad if not any(each.instead == disk for each in _joining(volume, extent))]
            choice = (
                _beside_source(pool, volume, source, extent, gone) if source else _place(pool, volume, extent, gone)
            )
            for disk_id, instead in choice:
                join = Joining(extent=extent, disk_id=disk_id, instead=instead)
                if load.has_room(disk_id) and not why_not_join(view, volume, join):
                    load.by_disk[disk_id] += 1
                    found.append(join)
        if found:
            yield JoinReplicas(volume_id=volume.volume_id, joins=tuple(found))


def _joining(volume: Volume, extent: int) -> list[Joining]:
    return [join for join in volume.joining if join.extent == extent]


def _source_leaves(source: Volume | None, extent: int, disk_id: DiskId) -> bool:
    return source is not None and (disk_id not in source.layout[extent] or is_leaving(source, extent, disk_id))


def _place(pool: Pool, volume: Volume, extent: int, gone: Sequence[DiskId]) -> Iterator[tuple[DiskId, DiskId | None]]:
    """Where new replicas of an extent go, and in whose stead; as many as it lacks."""
    stays = [disk for disk in volume.layout[extent] if disk not in pool.lost]
    comes = [join.disk_id for join in _joining(volume, extent)]
    stays = [disk for disk in stays if not is_leaving(volume, extent, disk)]
    nodes = {candidate.node_id for candidate in pool.usable.values()}
    nodes |= {pool.disks[disk].node_id for disk in stays if disk in pool.disks}
    wanted = min(volume.replicas_wanted, len(nodes))
    lacks = wanted - len(stays) - len(comes)
    if lacks <= 0:
        return
    beside = [_candidate(pool, disk) for disk in (*stays, *comes)]
    placed = place_extent(volume.volume_id, extent, pool.usable.values(), lacks, beside=beside)
    for at, disk_id in enumerate(placed):
        yield disk_id, gone[at] if at < len(gone) else None


def _beside_source(
    pool: Pool, volume: Volume, source: Volume, extent: int, gone: Sequence[DiskId]
) -> Iterator[tuple[DiskId, DiskId | None]]:
    """The same for a clone: on disks that its source stays on."""
    there = {*volume.layout[extent], *(join.disk_id for join in _joining(volume, extent))}
    free = [
        disk
        for disk in source.layout[extent]
        if disk not in there and disk in pool.usable and disk in source.in_sync and not is_leaving(source, extent, disk)
    ]
    for at, disk_id in enumerate(free):
        yield disk_id, gone[at] if at < len(gone) else None


def _balance(view: View, pool: Pool, volumes: Iterable[Volume], load: Load) -> Iterator[JoinReplicas]:
    """Extents that were meant for a disk which has less than its share, had it been there when they were placed."""
    roots = [volume for volume in volumes if volume.parent_id is None and volume.layout]
    held = held_bytes(roots)
    shares = ideal_bytes(pool, sum(held.values()))
    hungry = {disk for disk, share in shares.items() if held[disk] < (1 - BALANCE_SLACK) * share}
    for volume in roots:
        for extent in range(len(volume.layout)):
            size = _extent_size(volume, extent)
            move = _better(pool, volume, extent, hungry)
            if move is None:
                continue
            join = Joining(extent=extent, disk_id=move[0], instead=move[1])
            fits = held[move[0]] + size <= shares[move[0]] + size / 2 and held[move[1]] > shares.get(move[1], 0.0)
            if fits and load.has_room(move[0]) and not why_not_join(view, volume, join):
                held[move[0]] += size
                held[move[1]] -= size
                load.by_disk[move[0]] += 1
                yield JoinReplicas(volume_id=volume.volume_id, joins=(join,))
                break  # one at a time of a volume


def _better(pool: Pool, volume: Volume, extent: int, hungry: Iterable[DiskId]) -> tuple[DiskId, DiskId] | None:
    """A disk that is meant more for an extent than one which has it: who comes, and who goes."""
    there = [_candidate(pool, disk) for disk in volume.layout[extent] if disk in pool.usable]
    if len(there) < len(volume.layout[extent]) or _joining(volume, extent):
        return None
    # Where its guest is a replica stays.
    going = [disk for disk in there if disk.node_id != volume.node_id]
    best: tuple[float, DiskId, DiskId] | None = None
    for disk_id in sorted(set(hungry)):
        comes = pool.usable[disk_id]
        for goes in going:
            rest = [disk for disk in there if disk is not goes]
            apart = crowding(comes, rest) <= crowding(goes, rest)
            free = comes.disk_id != goes.disk_id and comes.node_id not in {disk.node_id for disk in rest}
            gain = score(volume.volume_id, extent, comes) - score(volume.volume_id, extent, goes)
            if apart and free and gain > 0 and (best is None or gain > best[0]):
                best = (gain, comes.disk_id, goes.disk_id)
    return None if best is None else best[1:]


def held_bytes(volumes: Iterable[Volume]) -> Counter[DiskId]:
    """How much each disk may have to hold: extents that come are counted, and those that leave are not."""
    held: Counter[DiskId] = Counter()
    for volume in volumes:
        for extent, disks in enumerate(volume.layout):
            for disk in disks:
                held[disk] += 0 if is_leaving(volume, extent, disk) else _extent_size(volume, extent)
        for join in volume.joining:
            held[join.disk_id] += _extent_size(volume, join.extent)
    return held


def _extent_size(volume: Volume, extent: int) -> int:
    """How much of an extent the volume can use: a small image has one of many GiB, and fills it nowhere near."""
    return min(volume.extent_bytes, volume.size_bytes - extent * volume.extent_bytes)


def ideal_bytes(pool: Pool, total: int) -> dict[DiskId, float]:
    """How much of it each usable disk should have."""
    weights = sum(candidate.weight for candidate in pool.usable.values())
    return {disk: total * candidate.weight / weights for disk, candidate in pool.usable.items()} if weights else {}


def planner(reachable: Iterable[NodeId], members: Iterable[NodeId]) -> NodeId | None:
    """The node that plans: the same whoever asks, as long as all see the same nodes."""
    return min(set(reachable) & set(members), default=None)


def _candidate(pool: Pool, disk_id: DiskId) -> Candidate:
    found = pool.usable.get(disk_id)
    if found is not None:
        return found
    disk = pool.disks.get(disk_id)
    return Candidate(disk_id, disk.node_id if disk else NodeId(""), disk.share if disk else GIB / GIB)


def _is_up(view: View, node_id: NodeId) -> bool:
    return view.get(NodeVerdict, node_id) is None


def volumes_on(view: View, disk_id: DiskId) -> list[VolumeId]:
    """The volumes that have, get or leave replicas on a disk, or have bytes there."""
    return [volume.volume_id for volume in view.find(Volume, "disk_ids", disk_id)]
