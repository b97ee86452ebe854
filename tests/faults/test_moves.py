"""A disk dies for good, another joins: real extent and volume servers, and guests that go on writing meanwhile."""

import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from consensus.liveness.model import NodeVerdict
from consensus.members.model import Node
from noded.core.dice import new_uuid
from noded.core.ids import DiskId, NodeId, VolumeId
from noded.core.units import MIB
from storage.host import disk_client
from storage.host.paths import extent_socket, nbd_socket
from storage.pools.commands import SetDisk, SetMovePolicy
from storage.pools.model import Disk
from storage.volumes.claims import volume_map
from storage.volumes.commands import clone_volume, create_volume, seal_volume
from storage.volumes.model import Purpose, Volume
from tests.faults.nbd_guest import NbdGuest
from tests.faults.storage_nodes import StorageNodes, storage_nodes
from tests.unit.images.builders import MINE

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
BLOCKS = 64
BLOCK_BYTES = 4096
EXTENT_BYTES = MIB


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[StorageNodes]:
    async with storage_nodes(tmp_path, 4) as nodes:
        with nodes.change() as change:
            for number, node_id in enumerate(nodes.ids, 1):
                change.put(
                    Node(
                        id=NodeId(node_id),
                        name=f"node{number}",
                        addresses=(),
                        fingerprint="",
                        admitted_at_ms=0,
                        release="1",
                    )
                )
        await nodes.shared.cluster(nodes.ids[0]).propose(SetMovePolicy(balances=False))
        yield nodes


def disk_of(nodes: StorageNodes, number: int) -> DiskId:
    [disk] = nodes.shared.machine.picture.find(Disk, "node_id", nodes.ids[number - 1])
    return disk.disk_id


def new_volume(nodes: StorageNodes, on: tuple[int, ...]) -> VolumeId:
    """An empty volume of four extents on the disks of these nodes."""
    volume_id = VolumeId(new_uuid())
    with nodes.change() as change:
        create_volume(
            change,
            volume_id=volume_id,
            project_id=MINE,
            name="load",
            size_bytes=4 * EXTENT_BYTES,
            extent_bytes=EXTENT_BYTES,
            layout=(tuple(disk_of(nodes, number) for number in on),) * 4,
            purpose=Purpose.ROOT,
            now_ms=0,
        )
    return volume_id


def new_clone(nodes: StorageNodes, source_id: VolumeId, *, served_on: int) -> VolumeId:
    """A clone of a volume that never changes any more."""
    volume_id = VolumeId(new_uuid())
    with nodes.change() as change:
        seal_volume(change, source_id, 4 * EXTENT_BYTES)
        clone_volume(
            change,
            volume_id=volume_id,
            parent_id=source_id,
            project_id=MINE,
            name="clone",
            size_bytes=4 * EXTENT_BYTES,
            tail=(),
            purpose=Purpose.ROOT,
            now_ms=0,
            server_id="server",
            node_id=NodeId(nodes.ids[served_on - 1]),
        )
    return volume_id


async def digests(nodes: StorageNodes, volume_id: VolumeId) -> set[str]:
    """What the in-sync replicas of each extent hold, by reading them from end to end."""
    volume = volume_map(nodes.shared.machine.picture, volume_id)
    found: set[str] = set()
    for extent, disks in enumerate(volume.layout):
        values = set()
        for disk_id in disks:
            if disk_id in volume.in_sync:
                node_id = nodes.shared.machine.picture.need(Disk, disk_id).node_id
                answer = await disk_client.digest(extent_socket(nodes.nodes[node_id].run, disk_id), volume, [extent])
                assert answer.damaged_blocks == 0
                values.add(answer.digest)
        assert len(values) == 1, f"replicas of extent {extent} differ"
        found |= values
    return found


def is_settled(nodes: StorageNodes, *, without: DiskId) -> bool:
    """Whether each extent has three replicas in sync, none of them on that disk, and nothing is under way."""
    return all(
        not (volume.joining or volume.leaving)
        and all(len(disks) == 3 and without not in disks for disks in volume.layout)
        and not volume.out_of_sync
        for volume in nodes.shared.machine.picture.all(Volume)
    )


def moved_bytes(nodes: StorageNodes) -> int:
    return sum(disk.moved_in_bytes for disk in nodes.shared.machine.picture.all(Disk))


async def fill(nodes: StorageNodes, volume_id: VolumeId, number: int) -> None:
    """Random bytes in the second half of each extent."""
    async with nodes.files(number).open(volume_id, writable=True) as opened:
        data = os.urandom(EXTENT_BYTES // 2)
        with opened.path.open("r+b") as file:
            for extent in range(4):
                file.seek(extent * EXTENT_BYTES + EXTENT_BYTES // 2)
                file.write(data)
            os.fsync(file.fileno())


async def test_a_host_that_stays_dead_loses_its_replicas_to_others_while_a_guest_writes(nodes: StorageNodes) -> None:
    source, unused = new_volume(nodes, (1, 2, 3)), new_volume(nodes, (2, 3, 4))
    await fill(nodes, source, 1)
    await fill(nodes, unused, 4)
    used = new_clone(nodes, source, served_on=1)
    await nodes.attachments(1).attach(used)
    guest = NbdGuest(nbd_socket(nodes.node(1).run, used), 0, 1, BLOCKS, 1)
    over = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest.run, lambda: over)
        await trio.sleep(0.5)
        dead = NodeId(nodes.ids[2])
        nodes.scopes[dead].cancel()
        nodes.node(3).signal_extent_server(signal.SIGKILL)
        nodes.shared.up.discard(dead)
        await nodes.shared.cluster(nodes.ids[0]).propose(SetMovePolicy(patience_s=0))
        with nodes.change() as change:
            change.put(NodeVerdict(id=dead, down_since_ms=1, missed_by=(), declared_at_ms=1))
        started = time.monotonic()
        lost = disk_of(nodes, 3)
        await nodes.until(lambda: is_settled(nodes, without=lost))
        took = time.monotonic() - started
        over = True
    assert guest.count > 50
    for volume_id in (source, used, unused):
        await digests(nodes, volume_id)
    moved, was_lost = moved_bytes(nodes), 2 * 4 * EXTENT_BYTES // 2 + BLOCKS * BLOCK_BYTES
    print(f"\nredundancy restored in {took:.1f} s: {moved} bytes moved, at most {was_lost} were lost")
    # All but what the guest wrote while its volume was being copied: that was sent to the new replica at once.
    assert was_lost - BLOCKS * BLOCK_BYTES <= moved <= was_lost


async def test_a_disk_that_is_drained_ends_empty_and_gives_its_space_back(nodes: StorageNodes) -> None:
    volumes = [new_volume(nodes, (1, 2, 3)) for _ in range(2)]
    for volume_id in volumes:
        await fill(nodes, volume_id, 1)
    before = [await digests(nodes, volume_id) for volume_id in volumes]
    going = disk_of(nodes, 2)
    await nodes.shared.cluster(nodes.ids[0]).propose(SetDisk(disk_id=going, draining=True))
    await nodes.until(lambda: is_settled(nodes, without=going))
    await nodes.until(lambda: all(not nodes.volume(volume_id).leftovers for volume_id in volumes))
    assert [await digests(nodes, volume_id) for volume_id in volumes] == before
    await nodes.until(lambda: not list((nodes.node(2).directory / "disk").glob("volumes/*/*.data")))
