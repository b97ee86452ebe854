"""Disks come into the pool and leave it while everything runs; what no record names is swept off them."""

from pathlib import Path

import pytest

import consensus.members
import storage.disks
from consensus.members.model import Node
from noded.core.errors import Conflict, Invalid, NotFound
from noded.core.ids import NodeId, Revision, VolumeId
from noded.core.units import GIB
from storage.disks.authority import DiskAsked, DiskDesk, DiskGiven
from storage.pools import SERVICE as POOLS
from storage.pools.links import DiskHardware, DiskServers, Smart
from storage.pools.model import Disk, GivenDisk
from storage.pools.reconcile import DisksReconciler
from storage.volumes import SERVICE as VOLUMES
from storage.volumes.commands import choose_layout
from storage.volumes.creation import CreateVolume
from storage.volumes.model import Volume
from tests.twins.cluster import SharedCluster
from tests.twins.storage import SimulatedDisks, SimulatedHardware, give_storage
from tests.unit.storage_services.builders import PROJECT

NODES = ("node1", "node2", "node3")


class Pool:
    """Three machines with a disk each."""

    def __init__(self, directory: Path) -> None:
        self.shared = SharedCluster([consensus.members.SERVICE, POOLS, VOLUMES, storage.disks.SERVICE], NODES)
        change = self.shared.machine.picture.begin(Revision(1))
        for number, name in enumerate(NODES, 1):
            change.put(
                Node(
                    id=NodeId(name), name=f"host{number}", addresses=(), fingerprint="f", admitted_at_ms=1, release="1"
                )
            )
            give_storage(self.shared.drivers[name], self.shared.cluster(name), number, directory)
        self.shared.machine._picture = change.commit()
        self.desk = DiskDesk(self.shared.cluster())

    async def settle(self) -> None:
        reconcilers = [DisksReconciler(self.shared.cluster(name), self.shared.drivers[name]) for name in NODES]
        await self.shared.settle(*reconcilers)

    def disks(self, node: str) -> SimulatedDisks:
        found = self.shared.drivers[node].get(DiskServers)
        assert isinstance(found, SimulatedDisks)
        return found

    def hardware(self, node: str) -> SimulatedHardware:
        found = self.shared.drivers[node].get(DiskHardware)
        assert isinstance(found, SimulatedHardware)
        return found

    def named(self, node: str) -> list[str]:
        return sorted(disk.name for disk in self.shared.machine.picture.find(Disk, "node_id", node))

    def disk_id(self, node: str, name: str = "one") -> str:
        return next(disk.id for disk in self.shared.machine.picture.find(Disk, "node_id", node) if disk.name == name)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path)


async def test_a_directory_of_any_node_joins_and_leaves_while_all_runs(pool: Pool) -> None:
    await pool.settle()
    answer = await pool.desk.add(DiskGiven(path="/srv/new", node="host2", plan=True))
    await pool.settle()
    assert (answer["done"], pool.named("node2")) == (False, ["one"])
    await pool.desk.add(DiskGiven(path="/srv/new", node="host2"))
    await pool.settle()
    assert pool.named("node2") == ["/srv/new", "one"]
    disk_id = pool.disk_id("node2", "/srv/new")
    with pytest.raises(Conflict, match="Drain it first"):
        await pool.desk.remove(disk_id)
    await pool.desk.set(DiskAsked(disk=disk_id, draining=True))
    await pool.desk.remove(disk_id)
    await pool.settle()
    assert pool.named("node2") == ["one"]
    assert pool.shared.machine.picture.all(GivenDisk) == []
    assert disk_id in pool.disks("node2").silent, "its extent server was let go of"


async def test_a_blank_device_is_written_only_if_that_is_said(pool: Pool) -> None:
    await pool.settle()
    pool.hardware("node1").blank.add("/dev/sdb")
    with pytest.raises(Invalid, match=r"To make a file system .* say so: --format"):
        await pool.desk.add(DiskGiven(path="/dev/sdb"))
    assert pool.hardware("node1").blank == {"/dev/sdb"}
    await pool.desk.add(DiskGiven(path="/dev/sdb", format=True))
    await pool.settle()
    assert pool.named("node1") == ["/disks/of/dev/sdb", "one"]
    assert pool.disks("node1").mounted == {"/disks/of/dev/sdb"}


async def test_what_is_in_use_and_a_node_that_is_none_are_refused(pool: Pool) -> None:
    await pool.settle()
    pool.hardware("node1").taken.add("/dev/sda")
    with pytest.raises(Invalid, match="/dev/sda is in use"):
        await pool.desk.add(DiskGiven(path="/dev/sda", format=True))
    with pytest.raises(NotFound, match="No node 'host9'"):
        await pool.desk.add(DiskGiven(path="/srv", node="host9"))
    assert pool.shared.machine.picture.all(GivenDisk) == []


async def test_a_drive_is_shown_by_its_light_or_by_its_serial_number(pool: Pool) -> None:
    await pool.settle()
    found = await pool.desk.locate(pool.disk_id("node3"), lit=True)
    assert (found["lit"], found["slot"], pool.hardware("node3").shining) == (True, "3", {"one"})
    pool.hardware("node3").has_lights = False
    found = await pool.desk.locate(pool.disk_id("node3"), lit=True)
    assert (found["lit"], found["serial"], found["lacks"]) == (None, "S1", ["it has no lights"])


async def test_drives_of_all_nodes_tell_of_their_health(pool: Pool) -> None:
    await pool.settle()
    pool.hardware("node2").smart["one"] = Smart(passed=False, warnings=("it fails",))
    pool.shared.up.discard("node3")
    drives = (await pool.desk.health())["drives"]
    assert drives[pool.disk_id("node1")]["smart"] is None
    assert drives[pool.disk_id("node2")]["smart"]["warnings"] == ["it fails"]
    assert "can't be reached" in drives[pool.disk_id("node3")]["lacks"][0]


async def test_a_sweep_takes_what_no_record_names_and_nothing_else(pool: Pool) -> None:
    await pool.settle()
    cluster = pool.shared.cluster()
    layout = choose_layout(cluster.view(), cluster.reachable(), VolumeId("v"), range(1))
    order = CreateVolume(
        volume_id=VolumeId("v"), project_id=PROJECT, name="v", size_bytes=GIB, extent_bytes=GIB, layout=layout, now_ms=1
    )
    await cluster.propose(order)
    disk_id = pool.disk_id("node2")
    held = next(each for name, each in pool.disks("node2").held.items() if name == disk_id)
    held |= {VolumeId("v"), VolumeId("nobody's")}
    assert pool.shared.machine.picture.need(Volume, "v").disk_ids
    planned = await pool.desk.sweep(DiskAsked(disk=disk_id, plan=True))
    assert planned["steps"] == ["remove what is there of nobody's"]
    assert len(held) == 2
    await pool.desk.sweep(DiskAsked(disk=disk_id))
    assert held == {VolumeId("v")}
    assert (await pool.desk.sweep(DiskAsked(disk=disk_id)))["steps"] == ["nothing: records name all that is there"]
