"""The doctor finds nothing in a cloud that is as its records say, and whatever is put there or taken away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from msgspec.structs import replace

import consensus.members
import noded.doctor
import noded.inspection
from consensus.members.model import Node
from consensus.proposals import LogCluster
from images.contents.live import LiveUploads
from noded.core.finding import Finding
from noded.core.ids import NodeId, Revision, ServerId, VolumeId
from noded.core.record import Record
from noded.doctor.authority import AGAIN_S, examine
from noded.doctor.model import Examination, FirstSeen
from noded.inspection.links import Registry
from noded.inspection.model import StoreDigest
from noded.services import DaemonRegistry
from storage.pools.links import DiskHardware, DiskServers, Smart
from storage.pools.model import Disk
from storage.quotas.model import Charge
from storage.volumes.model import Volume
from tests.scenarios.compute.stage import Stage, open_stage
from tests.twins.storage import SimulatedDisks, SimulatedHardware

STRANGER = "99999999-2222-4333-8444-555555555555"


class StageRegistry:
    """Implements `Registry` with the services of the stage."""

    def __init__(self, stage: Stage) -> None:
        self._shared = stage.cloud.shared
        self.services = self._shared.services

    def digest(self) -> StoreDigest:
        return DaemonRegistry(self._shared.machine).digest()


@asynccontextmanager
async def cloud_with_a_doctor() -> AsyncIterator[Stage]:
    async with open_stage(more=(consensus.members.SERVICE, noded.inspection.SERVICE, noded.doctor.SERVICE)) as stage:
        nodes = [
            Node(id=NodeId(name), name=name, addresses=(), fingerprint=name, admitted_at_ms=1, release="1")
            for name in stage.machines
        ]
        put(stage, *nodes)
        for drivers in stage.cloud.shared.drivers.values():
            drivers.add(Registry, StageRegistry(stage))
            drivers.add(FirstSeen, FirstSeen())
            drivers.add(LiveUploads, LiveUploads())
        yield stage


def put(stage: Stage, *records: Record) -> None:
    machine = stage.cloud.shared.machine
    change = machine.picture.begin(Revision(machine.picture.revision + 1))
    for record in records:
        change.put(record)
    machine._picture = change.commit()


def cluster(stage: Stage, node: str = "node1") -> LogCluster:
    return stage.cloud.shared.cluster(node)


async def examined(stage: Stage) -> Examination:
    drivers = stage.cloud.shared.drivers["node1"]
    return await examine(cluster(stage), drivers.get(Registry), drivers.get(FirstSeen))


async def found(stage: Stage) -> list[tuple[str, str]]:
    return [(finding.kind, finding.subject) for finding in (await examined(stage)).findings]


def disks(stage: Stage, node: str) -> SimulatedDisks:
    driver = stage.cloud.shared.drivers[node].get(DiskServers)
    assert isinstance(driver, SimulatedDisks)
    return driver


def disk_of(stage: Stage, node: str) -> Disk:
    [disk] = stage.cloud.shared.machine.picture.find(Disk, "node_id", node)
    return disk


def hold_what_the_records_say(stage: Stage) -> None:
    """The simulated volume servers write plain files: what would be on the disks is put there."""
    for node in stage.machines:
        for disk_id, held in disks(stage, node).held.items():
            for volume in stage.cloud.shared.machine.picture.all(Volume):
                if disk_id in volume.disk_ids:
                    held.add(volume.layer)


async def a_server_with_a_volume(stage: Stage) -> ServerId:
    server_id = await stage.create()
    await stage.settle()
    await stage.attach(server_id, await stage.new_volume())
    await stage.settle()
    hold_what_the_records_say(stage)
    return server_id


async def test_a_cloud_as_its_records_say_needs_one_look(autojump_clock: object) -> None:
    async with cloud_with_a_doctor() as stage:
        await a_server_with_a_volume(stage)
        examination = await examined(stage)
        assert examination.findings == ()
        assert (examination.looks, examination.nodes) == (1, ("node1", "node2", "node3"))


async def test_what_no_record_names_is_found_on_every_machine(autojump_clock: object) -> None:
    async with cloud_with_a_doctor() as stage:
        await a_server_with_a_volume(stage)
        disk = disk_of(stage, "node2")
        disks(stage, "node2").held[disk.disk_id].add(VolumeId(STRANGER))
        stage.machines["node3"].volumes.served.add(VolumeId(STRANGER))
        stage.machines["node1"].volumes.left.add(VolumeId(STRANGER))
        stage.machines["node1"].hypervisor.write_console(ServerId(STRANGER), b"who am I?")
        assert await found(stage) == [
            ("orphan file", STRANGER),
            ("orphan replica", f"{disk.id}/{STRANGER}"),
            ("orphan socket", STRANGER),
            ("orphan volume server", STRANGER),
        ]


async def test_what_a_record_names_and_is_not_there_is_found(autojump_clock: object) -> None:
    async with cloud_with_a_doctor() as stage:
        server_id = await a_server_with_a_volume(stage)
        machine, node = stage.machine_of(server_id), stage.record(server_id).node_id
        root = stage.record(server_id).attachments[0].volume_id
        disk = disk_of(stage, node)
        disks(stage, node).held[disk.disk_id].discard(root)
        machine.volumes.served.discard(root)
        await machine.hypervisor.power_off(server_id)
        assert await found(stage) == [
            ("missing guest", server_id),
            ("missing replica", f"{disk.id}/{root}"),
            ("missing volume server", root),
        ]


async def test_a_claim_that_came_to_nothing_is_no_missing_replica(autojump_clock: object) -> None:
    """A volume server may die between its claim and its first word to a disk."""
    async with cloud_with_a_doctor() as stage:
        volume_id = await stage.new_volume()
        put(stage, replace(stage.cloud.shared.machine.picture.need(Volume, volume_id), epoch=1))
        assert await found(stage) == []


async def test_a_drive_that_warns_is_told_of(autojump_clock: object) -> None:
    async with cloud_with_a_doctor() as stage:
        hardware = stage.cloud.shared.drivers["node2"].get(DiskHardware)
        assert isinstance(hardware, SimulatedHardware)
        hardware.smart["one"] = Smart(passed=True, warnings=("8 sectors were reallocated",))
        [finding] = (await examined(stage)).findings
        assert (finding.kind, finding.node_id) == ("worn drive", "node2")
        assert "8 sectors were reallocated" in finding.what


async def test_records_that_contradict_one_another_are_found(autojump_clock: object) -> None:
    async with cloud_with_a_doctor() as stage:
        await a_server_with_a_volume(stage)
        project = stage.cloud.admin_project_id
        put(stage, Charge(id="gone", project_id=project, amounts={"volumes": 1}))
        assert set(await found(stage)) == {("wrong quota", "gone"), ("wrong quota", project)}


async def test_a_node_that_is_silent_and_what_stands_for_too_long_are_found(autojump_clock: object) -> None:
    async with cloud_with_a_doctor() as stage:
        server_id = await stage.create()  # and its node does nothing about it
        stage.cloud.shared.up.discard("node3")
        first = await examined(stage)
        kinds = {finding.kind for finding in first.findings}
        assert "node away" in kinds
        assert "stuck server" not in kinds
        first_seen = stage.cloud.shared.drivers["node1"].get(FirstSeen)
        first_seen._since = {key: since - 61.0 for key, since in first_seen._since.items()}
        assert ("stuck server", server_id) in await found(stage)


async def test_what_is_on_its_way_is_no_finding(autojump_clock: object) -> None:
    async with cloud_with_a_doctor() as stage:
        await a_server_with_a_volume(stage)
        stage.machines["node1"].volumes.left.add(VolumeId(STRANGER))
        examination: list[Examination] = []
        async with trio.open_nursery() as nursery:

            async def look() -> None:
                examination.append(await examined(stage))

            nursery.start_soon(look)
            await trio.sleep(AGAIN_S / 2)
            stage.machines["node1"].volumes.left.clear()
        assert [(each.looks, each.findings) for each in examination] == [(2, ())]


def test_a_finding_has_a_key_for_each_node() -> None:
    words = {"kind": "k", "subject": "s", "what": "w", "why": "y", "mend": "m"}
    assert Finding(**words).key != Finding(**words, node_id=NodeId("n")).key
