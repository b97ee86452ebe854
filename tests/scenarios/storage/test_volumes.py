"""Each machine runs the volume servers that records ask of it, removes what they bury, repairs what is behind."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from consensus.store import Change
from noded.core.ids import NodeId, ProjectId, Revision, VolumeId
from noded.core.service import PeerContext, Service
from noded.core.units import GIB
from storage.pools import SERVICE as POOLS
from storage.pools.links import DiskServers
from storage.pools.model import Disk
from storage.volumes import SERVICE as VOLUMES
from storage.volumes.commands import (
    attach_volume,
    choose_layout,
    clone_volume,
    delete_volume,
    detach_volume,
    seal_volume,
)
from storage.volumes.creation import CreateVolume
from storage.volumes.explain import explain_volume
from storage.volumes.model import Purpose, Volume
from tests.twins.cluster import SharedCluster
from tests.twins.storage import SimulatedDisks, give_storage

NODES = ("node1", "node2", "node3")


class Pool:
    """Three machines with a disk each; their reconcilers run when `settle` is called."""

    def __init__(self, directory: Path, services: Sequence[Service] = (POOLS, VOLUMES)) -> None:
        self.shared = SharedCluster(list(services), NODES)
        self.machines = {
            name: give_storage(self.shared.drivers[name], self.shared.cluster(name), number, directory)
            for number, name in enumerate(NODES, 1)
        }
        self.reconcilers = {
            name: [
                make(self.shared.cluster(name), self.shared.drivers[name])
                for service in services
                for make in service.reconcilers
            ]
            for name in NODES
        }

    async def settle(self) -> None:
        await self.shared.settle(*(each for name in sorted(self.shared.up) for each in self.reconcilers[name]))

    async def create(self, name: str) -> VolumeId:
        cluster, volume_id = self.shared.cluster(), VolumeId(name)
        layout = choose_layout(cluster.view(), cluster.reachable(), volume_id, range(1))
        order = CreateVolume(
            volume_id=volume_id,
            project_id=ProjectId("p"),
            name=name,
            size_bytes=GIB,
            extent_bytes=GIB,
            layout=layout,
            now_ms=0,
        )
        await cluster.propose(order)
        return volume_id

    @contextmanager
    def change(self) -> Iterator[Change]:
        machine = self.shared.machine
        change = machine.picture.begin(Revision(machine.picture.revision + 1))
        yield change
        machine._picture = change.commit()

    def disk(self, node: str) -> SimulatedDisks:
        disks = self.shared.drivers[node].get(DiskServers)
        assert isinstance(disks, SimulatedDisks)
        return disks

    def volume(self, volume_id: VolumeId) -> Volume:
        return self.shared.machine.picture.need(Volume, volume_id)

    def served(self) -> dict[str, set[VolumeId]]:
        return {name: machine.served for name, machine in self.machines.items() if machine.served}

    def repaired(self) -> list[VolumeId]:
        return [volume_id for machine in self.machines.values() for volume_id in machine.repaired]

    def fall_behind(self, volume_id: VolumeId, disk: int = 0) -> str:
        """One replica misses something; the node that it is on."""
        volume = self.volume(volume_id)
        behind = volume.disk_ids[disk]
        with self.change() as change:
            change.put(replace(volume, in_sync=tuple(each for each in volume.in_sync if each != behind)))
        return self.shared.machine.picture.need(Disk, behind).node_id


@pytest.fixture
async def pool(tmp_path: Path) -> Pool:
    pool = Pool(tmp_path)
    await pool.settle()
    return pool


async def test_a_volume_is_served_where_its_server_is_and_follows_it(pool: Pool) -> None:
    volume_id = await pool.create("v")
    await pool.settle()
    assert pool.served() == {}
    for node in ("node2", "node3"):
        with pool.change() as change:
            attach_volume(change, volume_id, server_id="s", node_id=NodeId(node))
        await pool.settle()
        assert pool.served() == {node: {volume_id}}
    with pool.change() as change:
        detach_volume(change, volume_id)
    await pool.settle()
    assert pool.served() == {}


async def test_a_volume_server_that_died_is_started_again(pool: Pool) -> None:
    volume_id = await pool.create("v")
    with pool.change() as change:
        attach_volume(change, volume_id, server_id="s", node_id=NodeId("node2"))
    await pool.settle()
    pool.machines["node2"].served.clear()
    await pool.settle()
    assert pool.served() == {"node2": {volume_id}}
    assert pool.volume(volume_id).epoch == 2


async def test_what_is_open_as_a_file_is_not_ended(pool: Pool) -> None:
    volume_id = await pool.create("v")
    async with pool.machines["node1"].open(volume_id, writable=True):
        await pool.settle()
        assert list(await pool.machines["node1"].running()) == [volume_id]


async def test_a_deleted_volume_leaves_no_disk_and_then_no_record(pool: Pool) -> None:
    volume_id = await pool.create("v")
    with pool.change() as change:
        delete_volume(change, volume_id)
    pool.shared.up.discard("node3")
    await pool.settle()
    assert len(pool.volume(volume_id).removed_from) == 2
    pool.shared.up.add("node3")
    await pool.settle()
    assert pool.shared.machine.picture.get(Volume, volume_id) is None


async def test_a_disk_that_does_not_answer_is_asked_again(pool: Pool) -> None:
    volume_id = await pool.create("v")
    with pool.change() as change:
        delete_volume(change, volume_id)
    held, pool.disk("node1").held = pool.disk("node1").held, {}
    pool.disk("node1").broken.add("one")
    await pool.settle()
    assert len(pool.volume(volume_id).removed_from) == 2
    pool.disk("node1").held = held
    await pool.settle()
    assert pool.shared.machine.picture.count(Volume) == 0


async def test_a_replica_that_is_behind_is_repaired_once_by_one_node(pool: Pool) -> None:
    volume_id = await pool.create("v")
    pool.fall_behind(volume_id)
    await pool.settle()
    assert pool.repaired() == [volume_id]
    assert pool.volume(volume_id).out_of_sync == ()


async def test_nobody_repairs_a_volume_that_a_server_uses(pool: Pool) -> None:
    volume_id = await pool.create("v")
    with pool.change() as change:
        attach_volume(change, volume_id, server_id="s", node_id=NodeId("node1"))
    pool.fall_behind(volume_id)
    await pool.settle()
    assert pool.repaired() == []


async def test_a_repair_waits_for_the_node_that_is_behind(pool: Pool) -> None:
    volume_id = await pool.create("v")
    node = pool.fall_behind(volume_id)
    pool.shared.up.discard(node)
    await pool.settle()
    assert pool.repaired() == []
    pool.shared.up.add(node)
    await pool.settle()
    assert pool.repaired() == [volume_id]


async def test_sources_are_repaired_before_their_clones(pool: Pool) -> None:
    source, clone = await pool.create("source"), VolumeId("clone")
    with pool.change() as change:
        seal_volume(change, source, GIB)
    pool.fall_behind(source)
    with pool.change() as change:
        clone_volume(
            change,
            volume_id=clone,
            parent_id=source,
            project_id=ProjectId("p"),
            name="clone",
            size_bytes=GIB,
            tail=(),
            purpose=Purpose.ROOT,
            now_ms=0,
        )
    assert len(pool.volume(clone).out_of_sync) == 1
    await pool.settle()
    assert (pool.volume(source).out_of_sync, pool.volume(clone).out_of_sync) == ((), ())
    assert sorted(pool.repaired()) == [clone, source]


async def test_a_volume_is_explained_extent_by_extent_and_by_its_own_server(pool: Pool) -> None:
    volume_id = await pool.create("v")
    with pool.change() as change:
        attach_volume(change, volume_id, server_id="s", node_id=NodeId("node2"))
    await pool.settle()
    context = PeerContext(cluster=pool.shared.cluster("node1"), drivers=pool.shared.drivers["node1"])
    told = await explain_volume(context, volume_id)
    assert told["extents"] == {"0": ", ".join(pool.volume(volume_id).layout[0])}
    served = told["served"]
    assert isinstance(served, dict)
    assert set(served["latencies_ms"]) == set(pool.volume(volume_id).layout[0])
    behind = pool.volume(volume_id).disk_ids[0]
    pool.fall_behind(volume_id)
    assert f"bring disk {behind} up to date" in str((await explain_volume(context, volume_id))["steps"])


async def test_what_nobody_serves_says_so(pool: Pool) -> None:
    volume_id = await pool.create("v")
    context = PeerContext(cluster=pool.shared.cluster("node1"), drivers=pool.shared.drivers["node1"])
    assert (await explain_volume(context, volume_id))["served"] == "nobody has served it yet"
