"""What the cluster is told of disks: once when they come, then only what changed enough to matter."""

import pytest

from noded.core.ids import DiskId
from noded.core.units import GIB
from storage.pools import SERVICE
from storage.pools.links import DiskServers, FoundDisk, ServedDisk
from storage.pools.model import Disk, DiskState
from storage.pools.plan import served_report
from storage.pools.reconcile import DisksReconciler
from tests.twins.cluster import SharedCluster
from tests.twins.storage import SimulatedDisks
from tests.unit.storage_services.builders import disk_id, node, pool

Machine = tuple[SharedCluster, SimulatedDisks, DisksReconciler]


@pytest.fixture
def machine() -> Machine:
    shared = SharedCluster([SERVICE], ["node1"])
    disks = SimulatedDisks(1, ("one", "two"))
    shared.drivers["node1"].add(DiskServers, disks)
    return shared, disks, DisksReconciler(shared.cluster(), shared.drivers["node1"])


def state(shared: SharedCluster) -> dict[str, tuple[DiskState, str]]:
    return {disk.name: (disk.state, disk.fault) for disk in shared.cluster().view().all(Disk)}


async def test_each_configured_disk_gets_an_id_for_good_and_a_record(machine: Machine) -> None:
    shared, disks, reconciler = machine
    await shared.settle(reconciler)
    assert state(shared) == {"one": (DiskState.IN_USE, ""), "two": (DiskState.IN_USE, "")}
    assert {disk.disk_id for disk in disks.disks.values()} == {disk.id for disk in shared.cluster().view().all(Disk)}


async def test_a_disk_that_cannot_be_served_keeps_no_other_from_it_and_comes_back(machine: Machine) -> None:
    shared, disks, reconciler = machine
    await shared.settle(reconciler)
    disks.broken.add("one")
    await shared.settle(reconciler)
    assert state(shared)["one"] == (DiskState.FAILED, "its extent server does not start")
    assert state(shared)["two"][0] is DiskState.IN_USE
    disks.broken.clear()
    await shared.settle(reconciler)
    assert state(shared)["one"] == (DiskState.IN_USE, "")


async def test_an_empty_directory_in_the_place_of_a_disk_is_not_taken_for_a_new_one(machine: Machine) -> None:
    shared, disks, reconciler = machine
    await shared.settle(reconciler)
    disks.disks["one"] = FoundDisk(name="one")
    await shared.settle(reconciler)
    assert "Mount the disk" in state(shared)["one"][1]
    assert shared.cluster().view().count(Disk) == 2


async def test_a_disk_that_is_not_empty_is_not_touched(machine: Machine) -> None:
    shared, disks, reconciler = machine
    disks.disks["two"] = FoundDisk(name="two", fault="/disks/two is not empty")
    await shared.settle(reconciler)
    assert set(state(shared)) == {"one"}


async def test_a_disk_taken_out_of_the_configuration_is_said_to_be_gone(machine: Machine) -> None:
    shared, disks, reconciler = machine
    await shared.settle(reconciler)
    del disks.disks["two"]
    await shared.settle(reconciler)
    assert "configuration" in state(shared)["two"][1]


def served(used_gib: float) -> ServedDisk:
    return ServedDisk(host="10.77.0.1", port=7410, size_bytes=100 * GIB, used_bytes=int(used_gib * GIB))


def told(known: Disk, used_gib: float, disk: DiskId | None = None) -> object:
    return served_report(known, disk or disk_id(1), node(1), "disk0", served(used_gib), 5000)


def test_only_steps_are_reported() -> None:
    known = pool().view.need(Disk, disk_id(1))
    assert told(known, 4) is None
    assert told(known, 6) is not None


def test_a_disk_on_the_border_does_not_change_its_mind_at_once() -> None:
    bench = pool()
    full = told(bench.view.need(Disk, disk_id(1)), 96)
    bench.apply(full)  # type: ignore[arg-type]
    known = bench.view.need(Disk, disk_id(1))
    assert known.state is DiskState.FULL
    assert told(known, 94) is None
    bench.apply(told(known, 80))  # type: ignore[arg-type]
    assert bench.view.need(Disk, disk_id(1)).state is DiskState.IN_USE
