"""A guest writes and reads numbered blocks while the processes behind its disk are killed and held."""

import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from noded.core.dice import new_uuid
from noded.core.ids import DiskId, NodeId, VolumeId
from noded.core.units import MIB
from storage.host import disk_client
from storage.host.paths import extent_socket, nbd_socket
from storage.pools.model import Disk
from storage.volumes.claims import volume_map
from storage.volumes.commands import attach_volume, create_volume
from storage.volumes.links import VolumeServers
from storage.volumes.model import Purpose
from tests.faults.nbd_guest import NbdGuest
from tests.faults.storage_nodes import StorageNodes, storage_nodes
from tests.unit.images.builders import MINE

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
BLOCKS = 64
GUEST_CONNECTIONS = 4


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[StorageNodes]:
    async with storage_nodes(tmp_path) as nodes:
        yield nodes


def new_volume(nodes: StorageNodes, number: int, *, size_bytes: int = 4 * MIB, extent_bytes: int = MIB) -> VolumeId:
    """An empty volume of four extents with a replica on every node, for a server on one of them."""
    volume_id = VolumeId(new_uuid())
    disks = tuple(DiskId(disk.id) for disk in nodes.shared.machine.picture.all(Disk))
    node_id = NodeId(nodes.ids[number - 1])
    with nodes.change() as change:
        create_volume(
            change,
            volume_id=volume_id,
            project_id=MINE,
            name="load",
            size_bytes=size_bytes,
            extent_bytes=extent_bytes,
            layout=tuple((*disks[at % 3 :], *disks[: at % 3]) for at in range(4)),
            purpose=Purpose.ROOT,
            now_ms=0,
            node_id=node_id,
        )
        attach_volume(change, volume_id, server_id="server", node_id=node_id)
    return volume_id


async def replicas_are_equal(nodes: StorageNodes, volume_id: VolumeId) -> bool:
    """Whether all replicas hold the same, byte for byte; each is read from end to end."""
    digests = set()
    for disk in nodes.shared.machine.picture.all(Disk):
        volume = volume_map(nodes.shared.machine.picture, volume_id)
        socket = extent_socket(nodes.nodes[disk.node_id].run, DiskId(disk.id))
        found = await disk_client.digest(socket, volume, range(len(volume.layout)))
        assert found.damaged_blocks == 0
        digests.add(found.digest)
    return len(digests) == 1


class Trouble:
    """What befalls the processes behind a volume on node 1."""

    def __init__(self, nodes: StorageNodes, volume_id: VolumeId) -> None:
        self.nodes = nodes
        self.volume_id = volume_id

    async def extent_server_is_killed(self, number: int) -> None:
        self.nodes.node(number).signal_extent_server(signal.SIGKILL)
        await trio.sleep(1)

    async def extent_server_hangs(self, number: int) -> None:
        self.nodes.node(number).signal_extent_server(signal.SIGSTOP)
        await self.nodes.until(lambda: len(self.nodes.volume(self.volume_id).out_of_sync) > 0)
        self.nodes.node(number).signal_extent_server(signal.SIGCONT)
        await trio.sleep(0.5)

    async def volume_server_is_killed(self, _number: int) -> None:
        self.nodes.node(1).signal_volume_server(self.volume_id, signal.SIGKILL)
        await trio.sleep(1)

    async def everything_is_killed(self, _number: int) -> None:
        for number in (1, 2, 3):
            self.nodes.node(number).signal_extent_server(signal.SIGKILL)
        self.nodes.node(1).signal_volume_server(self.volume_id, signal.SIGKILL)
        await trio.sleep(2)


@pytest.mark.parametrize(
    ("kind", "times"),
    [
        ("extent_server_is_killed", 3),
        ("extent_server_hangs", 1),
        ("volume_server_is_killed", 3),
        ("everything_is_killed", 2),
    ],
)
async def test_a_guest_sees_no_error_and_loses_nothing_when(nodes: StorageNodes, kind: str, times: int) -> None:
    volume_id = new_volume(nodes, 1)
    await nodes.attachments(1).attach(volume_id)
    socket = nbd_socket(nodes.node(1).run, volume_id)
    guests = [NbdGuest(socket, at, GUEST_CONNECTIONS, BLOCKS, at) for at in range(GUEST_CONNECTIONS)]
    trouble = Trouble(nodes, volume_id)
    over = False
    async with trio.open_nursery() as nursery:
        for guest in guests:
            nursery.start_soon(guest.run, lambda: over)
        dice = random.Random(kind)
        for _ in range(times):
            await trio.sleep(0.3)
            await getattr(trouble, kind)(dice.choice((1, 2, 3)))
        await nodes.until(lambda: nodes.volume(volume_id).out_of_sync == ())
        over = True
    assert sum(guest.count for guest in guests) > 20  # a busy machine does not more
    assert await replicas_are_equal(nodes, volume_id)


async def test_a_guests_io_goes_on_while_no_daemon_runs(nodes: StorageNodes) -> None:
    volume_id = new_volume(nodes, 1)
    await nodes.attachments(1).attach(volume_id)
    guest = NbdGuest(nbd_socket(nodes.node(1).run, volume_id), 0, 1, BLOCKS, 1)
    for node_id in nodes.ids:
        nodes.scopes[NodeId(node_id)].cancel()
    with trio.fail_after(10):
        await guest.run(lambda: guest.count > 300)
    assert guest.reconnections == 0
    for number in (1, 2, 3):
        await nodes.start_daemon(number)
    served = await nodes.shared.drivers[nodes.ids[0]].get(VolumeServers).report(volume_id)
    assert served is not None
    assert served.io["reads"] + served.io["writes"] > 300
    assert served.io["written_bytes"] >= 4096 * served.io["writes"]
    assert await replicas_are_equal(nodes, volume_id)
