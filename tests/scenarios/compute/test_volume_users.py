"""Who uses a volume, in Cinder's own words: attachments, reservations, and what compute alone may end."""

from tests.scenarios.compute.stage import Stage, open_stage

UNKNOWN = "99999999-2222-4333-8444-555555555555"
CONNECTOR = {"host": "elsewhere", "ip": "192.0.2.9", "multipath": False, "mountpoint": "/dev/vdx"}


async def act(stage: Stage, volume_id: str, action: str, value: object = None, *, status: int = 202) -> object:
    return await stage.volume("POST", f"/volumes/{volume_id}/action", {action: value}, status=status)


async def attachments(stage: Stage, volume_id: str) -> list[dict[str, object]]:
    shown = (await stage.volume("GET", f"/volumes/{volume_id}", status=200))["volume"]["attachments"]
    assert isinstance(shown, list)
    return shown


async def test_an_attachment_is_reserved_then_connected_then_complete_then_gone() -> None:
    async with open_stage() as stage:
        volume_id = await stage.new_volume()
        body = {"attachment": {"volume_uuid": volume_id, "instance_uuid": UNKNOWN}}
        made = (await stage.volume("POST", "/attachments", body, status=200, version="3.27"))["attachment"]
        assert (made["status"], made["connection_info"], made["attach_mode"]) == ("reserved", {}, "rw")
        assert await stage.volume_status(volume_id) == "reserved"
        await stage.volume("POST", "/attachments", body, status=400, version="3.27")
        path = f"/attachments/{made['id']}"
        change = {"attachment": {"connector": CONNECTOR}}
        made = (await stage.volume("PUT", path, change, status=200, version="3.27"))["attachment"]
        assert (made["status"], made["connection_info"]["volume_id"]) == ("attaching", volume_id)
        assert await stage.volume_status(volume_id) == "attaching"
        assert await attachments(stage, volume_id) == []
        await stage.volume("POST", f"{path}/action", {"os-complete": None}, status=204, version="3.44")
        assert await stage.volume_status(volume_id) == "in-use"
        shown = (await attachments(stage, volume_id))[0]
        assert (shown["server_id"], shown["host_name"], shown["device"]) == (UNKNOWN, "elsewhere", "/dev/vdx")
        listed = await stage.volume("GET", f"/attachments?volume_id={volume_id}", status=200, version="3.27")
        assert [each["status"] for each in listed["attachments"]] == ["attached"]
        detailed = await stage.volume("GET", "/attachments/detail?limit=1", status=200, version="3.27")
        assert detailed["attachments"][0]["attached_at"] != ""
        left = await stage.volume("DELETE", path, status=200, version="3.27")
        assert left == {"attachments": []}
        assert await stage.volume_status(volume_id) == "available"
        await stage.volume("GET", path, status=404, version="3.27")


async def test_bad_attachments_are_refused() -> None:
    async with open_stage() as stage:
        volume_id = await stage.new_volume()
        body = {"volume_uuid": volume_id, "instance_uuid": UNKNOWN, "mode": "ro"}
        await stage.volume("POST", "/attachments", {"attachment": body}, status=400, version="3.53")
        bad = body | {"mode": "rx"}
        await stage.volume("POST", "/attachments", {"attachment": bad}, status=400, version="3.54")
        missing = body | {"volume_uuid": UNKNOWN}
        await stage.volume("POST", "/attachments", {"attachment": missing}, status=404, version="3.54")
        await stage.volume("GET", "/attachments", status=404, version="3.26")
        await stage.volume("DELETE", f"/attachments/{UNKNOWN}", status=404, version="3.27")
        assert await stage.volume_status(volume_id) == "available"
        made = await stage.volume("POST", "/attachments", {"attachment": body}, status=200, version="3.54")
        assert made["attachment"]["attach_mode"] == "ro"
        empty: dict[str, object] = {"attachment": {"connector": {}}}
        path = f"/attachments/{made['attachment']['id']}"
        await stage.volume("PUT", path, empty, status=400, version="3.54")


async def test_the_older_way_notes_who_has_a_volume() -> None:
    async with open_stage() as stage:
        volume_id = await stage.new_volume()
        await act(stage, volume_id, "os-reserve")
        assert await stage.volume_status(volume_id) == "attaching"
        value = {"instance_uuid": UNKNOWN, "mountpoint": "/dev/vdc"}
        await act(stage, volume_id, "os-attach", value | {"mode": "xx"}, status=400)
        await act(stage, volume_id, "os-attach", value | {"host_name": "h"}, status=400)
        await act(stage, volume_id, "os-attach", value)
        assert await stage.volume_status(volume_id) == "in-use"
        shown = (await attachments(stage, volume_id))[0]
        assert (shown["server_id"], shown["device"], shown["id"]) == (UNKNOWN, "/dev/vdc", volume_id)
        await act(stage, volume_id, "os-attach", value, status=400)
        await act(stage, volume_id, "os-begin_detaching")
        assert await stage.volume_status(volume_id) == "detaching"
        await act(stage, volume_id, "os-detach", {"attachment_id": UNKNOWN}, status=404)
        await act(stage, volume_id, "os-detach", {})
        assert await stage.volume_status(volume_id) == "available"
        await act(stage, volume_id, "os-detach", {})
        info = await act(stage, volume_id, "os-initialize_connection", {"connector": CONNECTOR}, status=200)
        assert isinstance(info, dict)
        assert info["connection_info"]["data"]["volume_id"] == volume_id
        await act(stage, volume_id, "os-terminate_connection", {"connector": CONNECTOR})


async def test_an_administrator_detaches_by_force_what_was_noted_and_nothing_that_a_guest_has() -> None:
    async with open_stage() as stage:
        volume_id = await stage.new_volume()
        await act(stage, volume_id, "os-attach", {"host_name": "elsewhere", "mountpoint": "/dev/vdc"})
        attachment_id = (await attachments(stage, volume_id))[0]["attachment_id"]
        await act(stage, volume_id, "os-reset_status", {"status": "error"})
        await act(stage, volume_id, "os-force_detach", {"attachment_id": UNKNOWN}, status=404)
        await act(stage, volume_id, "os-force_detach", {"attachment_id": attachment_id, "connector": None})
        assert await stage.volume_status(volume_id) == "available"
        assert await attachments(stage, volume_id) == []
        server_id = await stage.create()
        await stage.settle()
        await stage.attach(server_id, volume_id)
        await stage.settle()
        attachment_id = (await attachments(stage, volume_id))[0]["attachment_id"]
        await act(stage, volume_id, "os-force_detach", {"attachment_id": attachment_id}, status=409)


async def test_what_a_server_of_ours_has_is_detached_through_compute_alone() -> None:
    async with open_stage() as stage:
        server_id, volume_id = await stage.create(), await stage.new_volume()
        await stage.settle()
        await stage.attach(server_id, volume_id)
        await stage.settle()
        attachment_id = (await attachments(stage, volume_id))[0]["attachment_id"]
        await act(stage, volume_id, "os-detach", {"attachment_id": attachment_id}, status=409)
        await stage.volume("DELETE", f"/attachments/{attachment_id}", status=409, version="3.27")
        assert await stage.volume_status(volume_id) == "in-use"


async def test_a_volume_that_may_only_be_read_is_given_for_reading() -> None:
    async with open_stage() as stage:
        server_id, volume_id = await stage.create(), await stage.new_volume()
        await stage.settle()
        await act(stage, volume_id, "os-update_readonly_flag", {"readonly": True})
        value = {"instance_uuid": UNKNOWN, "mountpoint": "/dev/vdc"}
        await act(stage, volume_id, "os-attach", value, status=400)
        await stage.attach(server_id, volume_id)
        await stage.settle()
        machine = stage.machine_of(server_id)
        disk = machine.hypervisor.disk(stage.record(server_id).id, volume_id)
        assert disk.read_only


async def test_a_word_of_an_administrator_gives_nobody_a_volume_that_somebody_has() -> None:
    async with open_stage() as stage:
        first, second, volume_id = await stage.create("a"), await stage.create("b"), await stage.new_volume()
        await stage.settle()
        await stage.attach(first, volume_id)
        await stage.settle()
        await act(stage, volume_id, "os-reset_status", {"status": "available"})
        assert await stage.volume_status(volume_id) == "available"
        await stage.attach(second, volume_id, status=400)
        await act(stage, volume_id, "os-attach", {"instance_uuid": UNKNOWN, "mountpoint": "/dev/vdc"}, status=400)
        await stage.detach(first, volume_id)
        await stage.settle()
        assert await stage.volume_status(volume_id) == "available"
        await stage.attach(second, volume_id)
        await stage.settle()
        assert await stage.volume_status(volume_id) == "in-use"
