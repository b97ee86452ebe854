"""What do a volume's snapshots hold, and its replicas, layer by layer? Read when all has settled."""

from collections.abc import Iterable
from typing import Protocol

from noded.core.clock import now_ms
from noded.core.dice import new_uuid
from noded.core.ids import DiskId, VolumeId
from storage.host import disk_client
from storage.host.paths import extent_socket
from storage.pools.model import Disk as PoolDisk
from storage.volumes.claims import volume_map
from storage.volumes.commands import ask_for_cut
from storage.volumes.model import Cut, CutPart, Volume
from tests.faults.block.guests import GROUP_BLOCKS, GROUP_EVERY, Disk, NbdWay
from tests.faults.block.judge import BLOCK_BYTES
from tests.faults.nbd_guest import READ
from tests.faults.storage_nodes import StorageNodes


class HasLayers(Protocol):
    """What of the cluster is needed here."""

    nodes: StorageNodes
    volume_id: VolumeId
    guest_disk: Disk


def ask_for_snapshot(cluster: HasLayers) -> VolumeId:
    """Wish for one. What comes of it is there when `is_cut` says so, or nothing is."""
    snapshot_id = VolumeId(new_uuid())
    part = CutPart(volume_id=cluster.volume_id, frozen_id=snapshot_id)
    with cluster.nodes.change() as change:
        ask_for_cut(change, new_uuid(), [part], hidden=False, now_ms=now_ms())
    return snapshot_id


def is_cut(cluster: HasLayers) -> bool:
    """Whether no snapshot is wished for any more."""
    return cluster.nodes.shared.machine.picture.count(Cut) == 0


async def look_at_snapshot(cluster: HasLayers, number: int, snapshot_id: VolumeId, start: float, end: float) -> None:
    """Read it on a node, and note what it shows as read while it was being made: it is of one moment between."""
    if cluster.nodes.shared.machine.picture.get(Volume, snapshot_id) is None:
        return  # it was given up
    async with cluster.nodes.files(number).open(snapshot_id, writable=False) as opened:
        way = NbdWay(opened.socket)
        try:
            for group in cluster.guest_disk.groups:
                block = group * GROUP_EVERY
                content = await way.ask(READ, block, GROUP_BLOCKS, b"")
                for at in range(GROUP_BLOCKS):
                    piece = content[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES]
                    cluster.guest_disk.registers[block + at].read(piece, start, end, "a snapshot")
        finally:
            await way.close()


def is_anywhere(cluster: HasLayers, disk_id: DiskId) -> bool:
    """Whether any layer has a replica on a disk, or one that is to come or to go somewhere."""
    return any(
        volume.joining or volume.leaving or any(disk_id in disks for disks in volume.layout)
        for volume in layers(cluster)
    )


def layers(cluster: HasLayers) -> Iterable[Volume]:
    """The volume and its snapshots."""
    return cluster.nodes.shared.machine.picture.all(Volume)


async def differences(cluster: HasLayers) -> list[str]:
    """How the replicas of each extent differ, in sentences; each is read from end to end."""
    view, wrong = cluster.nodes.shared.machine.picture, []
    for layer in layers(cluster):
        volume = volume_map(view, layer.volume_id)
        for extent, disks in enumerate(volume.layout):
            found: dict[int, str] = {}
            for disk_id in disks:
                node_id = view.need(PoolDisk, disk_id).node_id
                number = cluster.nodes.ids.index(node_id) + 1
                socket = extent_socket(cluster.nodes.nodes[node_id].run, disk_id)
                digest = await disk_client.digest(socket, volume, [extent])
                found[number] = digest.digest
                if digest.damaged_blocks:
                    wrong.append(f"{digest.damaged_blocks} blocks of extent {extent} are damaged on node {number}")
            if len(set(found.values())) > 1:
                wrong.append(f"the replicas of extent {extent} of {layer.purpose} {layer.id} differ: {found}")
    return wrong
