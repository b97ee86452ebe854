"""Volumes and servers meet: attached to guests that run and to those that don't, kept, given back, taken elsewhere."""

import trio.testing

from compute.hypervisor import GuestDisk
from noded.core.ids import VolumeId
from storage.volumes.model import Volume
from tests.scenarios.compute.stage import Stage, open_stage

UNKNOWN = "99999999-2222-4333-8444-555555555555"


def disks(stage: Stage, server_id: str) -> set[str]:
    machine = stage.machine_of(server_id)
    return set(machine.hypervisor.plugged(stage.record(server_id).id))


def volume_record(stage: Stage, volume_id: str) -> Volume:
    return stage.cloud.shared.machine.picture.need(Volume, volume_id)


async def running_server(stage: Stage, name: str = "s") -> str:
    server_id = await stage.create(name)
    await stage.settle()
    assert await stage.status(server_id) == "ACTIVE"
    return server_id


async def test_a_running_guest_gets_a_disk_and_gives_it_back() -> None:
    async with open_stage() as stage:
        server_id, volume_id = await running_server(stage), await stage.new_volume()
        made = (await stage.attach(server_id, volume_id))["volumeAttachment"]
        assert made == {"id": volume_id, "volumeId": volume_id, "serverId": server_id, "device": "/dev/vdb"}
        assert await stage.volume_status(volume_id) == "attaching"
        await stage.settle()
        assert await stage.volume_status(volume_id) == "in-use"
        assert volume_id in disks(stage, server_id)
        assert VolumeId(volume_id) in stage.machine_of(server_id).volumes.served
        shown = (await stage.volume("GET", f"/volumes/{volume_id}", status=200))["volume"]["attachments"][0]
        assert (shown["id"], shown["server_id"], shown["device"]) == (volume_id, server_id, "/dev/vdb")
        assert shown["host_name"] == stage.record(server_id).node_id
        assert (await stage.show(server_id))["os-extended-volumes:volumes_attached"] == [{"id": volume_id}]
        await stage.detach(server_id, volume_id)
        assert await stage.volume_status(volume_id) == "detaching"
        await stage.settle()
        assert await stage.volume_status(volume_id) == "available"
        assert volume_id not in disks(stage, server_id)
        assert volume_record(stage, volume_id).node_id is None
        actions = await stage.compute("GET", f"/servers/{server_id}/os-instance-actions", status=200)
        assert [each["action"] for each in actions["instanceActions"]] == ["detach_volume", "attach_volume", "create"]


async def extend(stage: Stage, volume_id: str, gib: int, status: int = 202, version: str = "3.42") -> None:
    body = {"os-extend": {"new_size": gib}}
    await stage.volume("POST", f"/volumes/{volume_id}/action", body, status=status, version=version)


async def test_a_running_guest_sees_that_its_volume_grows() -> None:
    async with open_stage() as stage:
        server_id, volume_id = await running_server(stage), await stage.new_volume()
        await stage.attach(server_id, volume_id)
        await stage.settle()
        before = volume_record(stage, volume_id).epoch
        await extend(stage, volume_id, 2, status=400, version="3.41")
        await extend(stage, volume_id, 2)
        assert volume_record(stage, volume_id).epoch == before + 1, "what serves it with its old size is fenced"
        assert await stage.volume_status(volume_id) == "extending"
        await extend(stage, volume_id, 3, status=400)
        await stage.settle()
        seen = stage.machine_of(server_id).hypervisor.sizes
        assert seen == {(server_id, volume_id): 2 << 30}
        shown = (await stage.volume("GET", f"/volumes/{volume_id}", status=200))["volume"]
        assert (shown["status"], shown["size"]) == ("in-use", 2)
        await stage.act(server_id, "os-stop")
        await stage.settle()
        await extend(stage, volume_id, 3)
        await stage.settle()
        assert await stage.volume_status(volume_id) == "in-use"
        assert seen == {(server_id, volume_id): 2 << 30}, "a guest that is off sees it when it starts"


async def test_a_guest_that_can_not_be_told_sees_its_size_later_and_one_that_goes_needs_not_be_told() -> None:
    async with open_stage() as stage:
        server_id, volume_id = await running_server(stage), await stage.new_volume()
        await stage.attach(server_id, volume_id)
        await stage.settle()
        stage.machine_of(server_id).hypervisor.resize_fault = "the monitor does not answer"
        await extend(stage, volume_id, 2)
        await stage.detach(server_id, volume_id)
        await stage.settle()
        assert await stage.volume_status(volume_id) == "available"
        await stage.attach(server_id, volume_id)
        await stage.settle()
        await extend(stage, volume_id, 3)
        growth = stage.machine_of(server_id).growth
        for _ in range(5):
            assert await stage.volume_status(volume_id) == "extending"
            await growth.reconcile()
        assert growth.period_s < 1
        assert await stage.volume_status(volume_id) == "in-use"
        [message] = (await stage.volume("GET", "/messages", status=200, version="3.3"))["messages"]
        assert "the monitor does not answer" in message["user_message"]


async def test_a_stopped_server_has_its_volume_when_it_starts_and_after_every_reboot() -> None:
    async with open_stage() as stage:
        server_id, volume_id = await running_server(stage), await stage.new_volume()
        await stage.act(server_id, "os-stop")
        await stage.settle()
        await stage.attach(server_id, volume_id)
        await stage.settle()
        assert await stage.volume_status(volume_id) == "in-use"
        await stage.act(server_id, "os-start")
        await stage.settle()
        assert volume_id in disks(stage, server_id)
        await stage.act(server_id, "reboot", {"type": "HARD"})
        await stage.settle()
        assert volume_id in disks(stage, server_id)
        stage.machine_of(server_id).hypervisor.lose_power()
        stage.restart_daemon(stage.record(server_id).node_id)
        await stage.settle()
        assert volume_id in disks(stage, server_id)
        spec = stage.machine_of(server_id).hypervisor.spec(stage.record(server_id).id)
        assert [disk.device for disk in spec.disks] == ["vda", "vdb"]


async def test_a_guest_that_does_not_let_go_is_asked_again_told_of_and_loses_the_disk_with_its_run() -> None:
    async with open_stage() as stage:
        server_id, volume_id = await running_server(stage), await stage.new_volume()
        await stage.attach(server_id, volume_id)
        await stage.settle()
        machine = stage.machine_of(server_id)
        machine.hypervisor.lets_go = False
        await stage.detach(server_id, volume_id)
        await stage.settle()
        assert await stage.volume_status(volume_id) == "detaching"
        await stage.detach(server_id, volume_id, status=400)
        await stage.act(server_id, "reboot", {"type": "HARD"})
        await stage.settle()
        assert await stage.volume_status(volume_id) == "available"
        assert volume_id not in disks(stage, server_id)


async def test_a_daemon_that_was_killed_in_between_finishes_what_was_begun() -> None:
    async with open_stage() as stage:
        server_id, volume_id = await running_server(stage), await stage.new_volume()
        await stage.attach(server_id, volume_id)
        machine = stage.machine_of(server_id)
        spec = machine.hypervisor.spec(stage.record(server_id).id)
        # The guest got it, and nobody told the log.
        await machine.hypervisor.plug(spec.server_id, GuestDisk(volume_id=VolumeId(volume_id), socket="s"))
        stage.restart_daemon(stage.record(server_id).node_id)
        await stage.settle()
        assert await stage.volume_status(volume_id) == "in-use"
        await stage.detach(server_id, volume_id)
        await machine.hypervisor.unplug(spec.server_id, VolumeId(volume_id))
        stage.restart_daemon(stage.record(server_id).node_id)
        await stage.settle()
        assert await stage.volume_status(volume_id) == "available"


async def test_what_is_in_use_is_neither_attached_again_nor_deleted() -> None:
    async with open_stage() as stage:
        first, second = await running_server(stage, "a"), await running_server(stage, "b")
        volume_id = await stage.new_volume()
        await stage.attach(first, volume_id)
        await stage.attach(first, volume_id, status=400)
        await stage.attach(second, volume_id, status=400)
        await stage.volume("DELETE", f"/volumes/{volume_id}", status=400)
        assert len(stage.record(first).attachments) == 2
        assert len(stage.record(second).attachments) == 1


async def test_bad_attachments_are_refused_and_change_nothing() -> None:
    async with open_stage() as stage:
        server_id, volume_id = await running_server(stage), await stage.new_volume()
        before = stage.cloud.shared.machine.picture.need(Volume, volume_id)
        await stage.attach(server_id, UNKNOWN, status=404)
        await stage.attach(server_id, "no uuid", status=400)
        await stage.attach(UNKNOWN, volume_id, status=404)
        await stage.attach(server_id, volume_id, status=400, device="7 of 9")
        await stage.attach(server_id, volume_id, status=400, tag="t")
        await stage.attach(server_id, volume_id, status=400, version="2.49", tag="a/b")
        await stage.attach(server_id, volume_id, status=400, version="2.78", delete_on_termination=True)
        await stage.detach(server_id, volume_id, status=404)
        root = stage.record(server_id).attachments[0].volume_id
        await stage.attach(server_id, root, status=404)
        await stage.detach(server_id, root, status=404)
        await stage.act(server_id, "lock")
        assert stage.cloud.shared.machine.picture.need(Volume, volume_id) == before
        await stage.act(server_id, "reboot", {"type": "SOFT"})
        await stage.attach(server_id, volume_id, status=409)


async def test_no_more_disks_than_a_machine_has_slots_for() -> None:
    async with open_stage() as stage:
        server_id = await running_server(stage)
        for _ in range(15):
            await stage.attach(server_id, await stage.new_volume())
        volume_id = await stage.new_volume()
        await stage.attach(server_id, volume_id, status=403)
        await stage.settle()
        devices = [each.device for each in stage.record(server_id).attachments]
        assert devices == [f"/dev/vd{letter}" for letter in "abcdefghijklmnop"]
        assert await stage.volume_status(volume_id) == "available"


async def test_a_name_that_is_free_is_kept_and_one_that_is_taken_gives_way() -> None:
    async with open_stage() as stage:
        server_id = await running_server(stage)
        first = await stage.attach(server_id, await stage.new_volume(), device="/dev/vdc")
        second = await stage.attach(server_id, await stage.new_volume(), device="/dev/vdc")
        third = await stage.attach(server_id, await stage.new_volume(), device="/dev/sdx")
        assert [each["volumeAttachment"]["device"] for each in (first, second, third)] == [
            *("/dev/vdc", "/dev/vdb", "/dev/vdd")
        ]


async def test_each_microversion_has_its_fields_and_the_flag_can_be_changed() -> None:
    async with open_stage() as stage:
        server_id, volume_id = await running_server(stage), await stage.new_volume()
        made = await stage.attach(server_id, volume_id, version="2.79", tag="data", delete_on_termination=True)
        assert made["volumeAttachment"] == {
            "id": volume_id, "volumeId": volume_id, "serverId": server_id, "device": "/dev/vdb", "tag": "data",
            "delete_on_termination": True,
        }  # fmt: skip
        path = f"/servers/{server_id}/os-volume_attachments/{volume_id}"
        old = (await stage.compute("GET", path, status=200))["volumeAttachment"]
        assert set(old) == {"id", "volumeId", "serverId", "device"}
        new = (await stage.compute("GET", path, status=200, version="2.89"))["volumeAttachment"]
        assert new.keys() - old.keys() == {"tag", "delete_on_termination", "attachment_id", "bdm_uuid"}
        assert "id" not in new
        change = {"volumeAttachment": {"volumeId": volume_id, "delete_on_termination": False}}
        await stage.compute("PUT", path, change, status=202, version="2.85")
        assert not stage.record(server_id).attachments[1].delete_on_termination
        bad = {"volumeAttachment": {"volumeId": volume_id, "tag": "other"}}
        await stage.compute("PUT", path, bad, status=400, version="2.85")
        await stage.compute("PUT", path, change, status=400, version="2.84")
        other = {"volumeAttachment": {"volumeId": await stage.new_volume()}}
        await stage.compute("PUT", path, other, status=409)
        await stage.compute("PUT", path.replace(volume_id, UNKNOWN), other, status=404)


async def test_a_server_that_is_deleted_gives_its_volumes_back_or_takes_them_along() -> None:
    async with open_stage() as stage:
        server_id = await running_server(stage)
        kept, going = await stage.new_volume(), await stage.new_volume()
        await stage.attach(server_id, kept)
        await stage.attach(server_id, going, version="2.79", delete_on_termination=True)
        await stage.settle()
        await stage.compute("DELETE", f"/servers/{server_id}", status=204)
        await stage.settle()
        assert await stage.volume_status(kept) == "available"
        assert volume_record(stage, going).deleting
        other = await running_server(stage, "other")
        await stage.attach(other, kept)
        await stage.settle()
        assert await stage.volume_status(kept) == "in-use"
        assert kept in disks(stage, other)


async def test_a_disk_that_a_guest_can_not_take_is_given_back(autojump_clock: trio.testing.MockClock) -> None:
    async with open_stage() as stage:
        server_id, volume_id = await running_server(stage), await stage.new_volume()
        machine = stage.machine_of(server_id)
        machine.hypervisor.plug_fault = "No more available PCI slots"
        await stage.attach(server_id, volume_id)
        for _ in range(5):
            await machine.reconciler.reconcile()
            autojump_clock.jump(20)
        assert await stage.volume_status(volume_id) == "detaching"
        assert stage.record(server_id).attachments[1].fault == "No more available PCI slots"
        await stage.settle()
        assert await stage.volume_status(volume_id) == "available"
