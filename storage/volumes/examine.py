"""Answers `noded doctor` for volumes: records that contradict one another or don't go on, and what no record names."""

from collections.abc import Iterable
from typing import Final

from noded.core.finding import Finding
from noded.core.ids import DiskId, NodeId, VolumeId
from noded.core.service import PeerContext
from noded.core.store import View
from storage.pools.links import DiskServers
from storage.pools.model import Disk, DiskState
from storage.volumes.links import VolumeServers
from storage.volumes.model import Cut, Purpose, Volume, children, disks_of, is_needed, places_of_layers
from storage.volumes.plan import strays, wanted_here

PATIENCE_S: Final = 60.0  # what goes on with a volume ends, or is given up, within this time

WAIT = "It is tried again by itself. `noded volume explain {id}` says what is waited for."


def examine_volumes(view: View) -> Iterable[Finding]:
    """What the records alone show."""
    disks = {disk.disk_id: disk for disk in view.all(Disk)}
    for volume in view.all(Volume):
        if volume.deleting and not children(view, volume.volume_id):
            yield from _removal(volume, disks)
        if is_needed(view, volume):
            yield from _replicas(volume, disks)
        if not volume.deleting:
            yield from _use(volume)
            yield from _chain(view, volume)
    for cut in view.all(Cut):
        yield Finding(
            kind="stuck snapshot",
            subject=cut.id,
            what=f"a snapshot of {', '.join(cut.volume_ids)} is not made",
            why="the volumes do not stand still, or no node can ask them to",
            mend="It is given up by itself after a minute; delete the snapshot otherwise.",
            patience_s=2 * PATIENCE_S,
        )


def _removal(volume: Volume, disks: dict[DiskId, Disk]) -> Iterable[Finding]:
    left = [disk_id for disk_id in volume.disk_ids if disk_id not in volume.removed_from]
    if left:
        where = ", ".join(
            f"{disk_id} ({disks[disk_id].state.value})" if disk_id in disks else disk_id for disk_id in left
        )
        yield Finding(
            kind="stuck deletion",
            subject=volume.id,
            what=f"{volume.purpose.value} volume {volume.id} is deleted, and its bytes are still there",
            why=f"not confirmed by disk {where}",
            mend="Bring the disk's node back; if it is lost for good: `noded disk replace` or `noded node forget`.",
            patience_s=PATIENCE_S,
        )


def _replicas(volume: Volume, disks: dict[DiskId, Disk]) -> Iterable[Finding]:
    behind = list(volume.out_of_sync)
    if behind:
        yield Finding(
            kind="replica behind",
            subject=volume.id,
            what=f"{volume.purpose.value} volume {volume.id}: {len(behind)} replicas miss writes",
            why=f"disk {', '.join(behind)} was away or failed, and is not brought up to date yet",
            mend=WAIT.format(id=volume.id),
            patience_s=PATIENCE_S,
        )
    strange = [disk_id for disk_id in disks_of(volume.layout) if disk_id not in disks]
    if strange:
        yield Finding(
            kind="lost replica",
            subject=volume.id,
            what=f"volume {volume.id} names disk {', '.join(strange)}, which is no disk of the pool",
            why="the disk was taken out although it had the last replica",
            mend="Bring that disk back into any node; else the blocks on it are lost: restore a backup.",
        )
    for extent, where in enumerate(volume.layout):
        if where and not any(disk_id in volume.in_sync for disk_id in where):
            yield Finding(
                kind="no replica",
                subject=volume.id,
                what=f"extent {extent} of volume {volume.id} has no replica that counts",
                why="every disk that has it is behind",
                mend="Bring back the disk that was the last one in use.",
            )
            break
    if volume.joining or volume.leftovers:
        yield Finding(
            kind="unfinished move",
            subject=volume.id,
            what=f"replicas of volume {volume.id} are on their way to other disks",
            why=f"{len(volume.joining)} are being made, {len(volume.leftovers)} are to be removed",
            mend=WAIT.format(id=volume.id),
            patience_s=10 * PATIENCE_S,  # it takes as long as copying does
        )


def _use(volume: Volume) -> Iterable[Finding]:
    going_on = {"creating", "attaching", "detaching", "deleting", "extending", "reverting"}
    if volume.status in going_on and (volume.phase == "creating" or any(each.node_id for each in volume.attachments)):
        yield Finding(
            kind="stuck volume",
            subject=volume.id,
            what=f"volume {volume.id} is {volume.status}",
            why="its source is not there yet"
            if volume.waits_for
            else "the guest has not taken it, or not let go of it",
            mend=WAIT.format(id=volume.id),
            patience_s=PATIENCE_S,
        )
    if volume.server_id is not None and volume.node_id is None:
        yield Finding(
            kind="contradiction",
            subject=volume.id,
            what=f"volume {volume.id} belongs to server {volume.server_id}, and no node may serve it",
            why="a fault of noded: both are set by one change",
            mend="Report it, with `noded history`; detaching the volume by force mends the record.",
        )
    if volume.purpose is Purpose.DATA and volume.node_id and not volume.server_id and not volume.phase:
        yield Finding(
            kind="forgotten use",
            subject=volume.id,
            what=f"volume {volume.id} is kept for node {volume.node_id}, and nothing goes on with it",
            why="whoever used it has gone without giving it back",
            mend="Report it; `openstack volume set --state available` changes nothing of it.",
            patience_s=PATIENCE_S,
        )


def _chain(view: View, volume: Volume) -> Iterable[Finding]:
    parent_id = volume.parent_id
    if parent_id is not None and view.get(Volume, parent_id) is None:
        yield Finding(
            kind="lost source",
            subject=volume.id,
            what=f"volume {volume.id} reads through to {parent_id}, which is not there",
            why="a fault of noded: a source stays as long as a clone needs it",
            mend="Report it, with `noded history`.",
        )
    if volume.waits_for is not None and not view.find(Cut, "frozen_ids", volume.waits_for) and volume.phase != "error":
        yield Finding(
            kind="stuck volume",
            subject=volume.id,
            what=f"volume {volume.id} waits for snapshot {volume.waits_for}, which nobody makes",
            why="the snapshot was given up or deleted meanwhile",
            mend="Delete the volume.",
        )


async def examine_replicas(context: PeerContext) -> list[Finding]:
    """What this node's disks hold, beside what the records say that they hold."""
    servers = context.drivers.get(DiskServers)
    view = context.cluster.view()
    held: dict[DiskId, frozenset[VolumeId]] = {}
    for disk in view.find(Disk, "node_id", context.cluster.node_id):
        if disk.state is not DiskState.FAILED:
            held[disk.disk_id] = frozenset(await servers.volumes(disk.disk_id))
    # After the disks were looked at: whatever came to one of them meanwhile has a record.
    view = await context.cluster.fresh_view()
    return compare_replicas(view, context.cluster.node_id, held)


def compare_replicas(view: View, node_id: NodeId, held: dict[DiskId, frozenset[VolumeId]]) -> list[Finding]:
    """Replicas that no record names, and replicas that a record counts on and that are not there."""
    layers = {volume.layer: volume for volume in view.all(Volume)}
    places = places_of_layers(view)
    found = []
    for disk_id, there in held.items():
        found += [
            _orphan(node_id, disk_id, layer, layers.get(layer))
            for layer in sorted(there)
            if disk_id not in places.get(layer, ())
        ]
        found += [
            _missing(node_id, disk_id, volume)
            for volume in layers.values()
            if _must_be_there(volume, disk_id) and volume.layer not in there
        ]
    return found


def _must_be_there(volume: Volume, disk_id: DiskId) -> bool:
    """Who opens a volume seals every replica that counts, so from then on the disk knows it.

    A claim alone proves nothing: its server may have died before it reached any disk. So of volumes at rest only those
    count that were written and then never change again. A new layer comes with a write.
    """
    opened = volume.immutable or (volume.server_id is not None and not volume.layer_id)
    return (
        opened
        and volume.epoch > 0
        and not volume.deleting
        and disk_id in volume.in_sync
        and disk_id in disks_of(volume.layout)
    )


def _orphan(node_id: NodeId, disk_id: DiskId, layer: VolumeId, named: Volume | None) -> Finding:
    why = "no record names it" if named is None else f"volume {named.id} has it elsewhere"
    return Finding(
        kind="orphan replica",
        subject=f"{disk_id}/{layer}",
        what=f"disk {disk_id} holds blocks of {layer}",
        why=f"{why}: the disk came back after they were given up, or a removal was cut off",
        mend=f"See that nobody misses them; then `noded disk sweep {disk_id[:12]}` removes what no record names.",
        node_id=node_id,
    )


def _missing(node_id: NodeId, disk_id: DiskId, volume: Volume) -> Finding:
    return Finding(
        kind="missing replica",
        subject=f"{disk_id}/{volume.id}",
        what=f"disk {disk_id} has nothing of volume {volume.id}",
        why="the records count on its replica: the disk was emptied or exchanged behind noded's back",
        mend=f"`noded disk replace {disk_id[:12]}` makes its replicas elsewhere, if others have them.",
        node_id=node_id,
    )


async def examine_servers(context: PeerContext) -> list[Finding]:
    """The volume servers that run here, and what ended ones left."""
    servers, node_id = context.drivers.get(VolumeServers), context.cluster.node_id
    running, remains = set(await servers.running()), set(await servers.remains())
    view = await context.cluster.fresh_view()
    wanted = wanted_here(view, node_id)
    found = [
        _of_server(
            "orphan volume server",
            node_id,
            volume_id,
            f"a volume server for {volume_id} runs here",
            "no record says that this node uses the volume",
            "It is ended by itself within seconds; if not, see the node's log.",
        )
        for volume_id in strays(running, wanted, servers.held())
    ]
    found += [
        _of_server(
            "missing volume server",
            node_id,
            volume_id,
            f"no volume server for {volume_id} runs here",
            "a server of this node uses the volume, and its guest waits for it",
            WAIT.format(id=volume_id),
        )
        for volume_id in sorted(set(wanted) - running)
    ]
    found += [
        _of_server(
            "orphan socket",
            node_id,
            volume_id,
            f"sockets or a mount of volume {volume_id} lie in the run directory",
            "its volume server has ended, and nobody needs it here any more",
            "They are taken away by themselves within seconds; if not, see the node's log.",
        )
        for volume_id in sorted(remains - set(wanted) - set(servers.held()))
    ]
    return found


def _of_server(kind: str, node_id: NodeId, volume_id: VolumeId, what: str, why: str, mend: str) -> Finding:
    return Finding(kind=kind, subject=volume_id, what=what, why=why, mend=mend, node_id=node_id)
