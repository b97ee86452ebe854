"""Volumes are checked once a week and when an operator asks, where they are served or by one node that has them."""

from pathlib import Path

import pytest

from noded.core.clock import now_ms
from noded.core.ids import NodeId, VolumeId
from storage.pools import SERVICE as POOLS
from storage.pools.commands import ScrubDisk
from storage.pools.model import Disk
from storage.scrubs import SERVICE as SCRUBS
from storage.volumes import SERVICE as VOLUMES
from storage.volumes.commands import attach_volume
from tests.scenarios.storage.test_volumes import Pool


@pytest.fixture
async def pool(tmp_path: Path) -> Pool:
    pool = Pool(tmp_path, (POOLS, VOLUMES, SCRUBS))
    await pool.settle()
    return pool


def checked(pool: Pool) -> list[tuple[str, VolumeId]]:
    return [(name, volume_id) for name, machine in pool.machines.items() for volume_id, _ in machine.scrubbed]


async def written(pool: Pool, name: str, node: str) -> VolumeId:
    """A volume that a server on a node uses. It was made long ago, by its record."""
    volume_id = await pool.create(name)
    with pool.change() as change:
        attach_volume(change, volume_id, server_id="s", node_id=NodeId(node))
    await pool.settle()
    return volume_id


async def test_a_volume_in_use_is_checked_where_it_is_served_and_once(pool: Pool) -> None:
    volume_id = await written(pool, "v", "node2")
    assert checked(pool) == [("node2", volume_id)]
    assert pool.volume(volume_id).scrubbed_ms > 0
    await pool.settle()
    assert len(checked(pool)) == 1


async def test_who_asks_for_a_disk_has_its_volumes_checked_again_and_sees_what_was_mended(pool: Pool) -> None:
    volume_id = await written(pool, "v", "node1")
    [disk] = pool.shared.machine.picture.find(Disk, "node_id", "node3")
    pool.machines["node1"].rotten = {disk.disk_id: 2}
    await pool.shared.cluster().propose(ScrubDisk(disk_id=disk.disk_id, now_ms=now_ms() + 1))
    await pool.settle()
    assert checked(pool)[:2] == [("node1", volume_id)] * 2
    assert pool.shared.machine.picture.need(Disk, disk.id).rotten_blocks >= 2


async def test_a_volume_that_nobody_uses_is_served_for_its_check(pool: Pool) -> None:
    volume_id = await pool.create("v")
    async with pool.machines["node1"].open(volume_id, writable=True):
        pass  # it has been written
    await pool.settle()
    assert [each for _, each in checked(pool)] == [volume_id]
    assert pool.repaired() == []
    assert pool.served() == {}
