"""Servers that boot from volumes, or get some at their creation: one entry makes all of it, or nothing."""

from msgspec.structs import replace

from noded.core.ids import Revision
from storage.volumes.model import Purpose, Volume
from tests.scenarios.compute.stage import IMAGE_ID, Stage, open_stage

SNAPSHOT = "88888888-2222-4333-8444-555555555555"
UNKNOWN = "99999999-2222-4333-8444-555555555555"


def disk(source: str, **more: object) -> dict[str, object]:
    return {"source_type": source, "destination_type": "volume"} | more


async def refuse(stage: Stage, *disks: dict[str, object], status: int = 400, **more: object) -> str:
    before = stage.volume_ids()
    body = stage.server_body(block_device_mapping_v2=list(disks), **more)
    answer = await stage.compute("POST", "/servers", body, status=status)
    assert stage.volume_ids() == before
    assert isinstance(answer, dict)
    return str(next(iter(answer.values()))["message"])


async def attached(stage: Stage, server_id: str) -> list[dict[str, object]]:
    path = f"/servers/{server_id}/os-volume_attachments"
    found = (await stage.compute("GET", path, status=200, version="2.79"))["volumeAttachments"]
    assert isinstance(found, list)
    return found


async def test_a_volume_made_from_an_image_is_booted_from_and_stays_when_the_server_goes() -> None:
    async with open_stage() as stage:
        root = disk("image", uuid=IMAGE_ID, boot_index=0, volume_size=1)
        server_id = await stage.create(imageRef="", block_device_mapping_v2=[root])
        await stage.settle()
        shown = await stage.show(server_id)
        assert (shown["status"], shown["image"]) == ("ACTIVE", "")
        volume_id = shown["os-extended-volumes:volumes_attached"][0]["id"]
        volume = (await stage.volume("GET", f"/volumes/{volume_id}", status=200))["volume"]
        assert (volume["status"], volume["size"], volume["bootable"]) == ("in-use", 1, "true")
        assert volume["attachments"][0]["device"] == "/dev/vda"
        await stage.detach(server_id, volume_id, status=400)
        await stage.compute("DELETE", f"/servers/{server_id}", status=204)
        await stage.settle()
        assert await stage.volume_status(volume_id) == "available"
        again = disk("volume", uuid=volume_id, boot_index="0", delete_on_termination=True)
        server_id = await stage.create(imageRef="", block_device_mapping_v2=[again])
        await stage.settle()
        assert await stage.status(server_id) == "ACTIVE"
        assert await stage.volume_status(volume_id) == "in-use"
        assert await attached(stage, server_id) == [
            {
                "id": volume_id, "volumeId": volume_id, "serverId": server_id, "device": "/dev/vda", "tag": None,
                "delete_on_termination": True,
            }
        ]  # fmt: skip
        await stage.compute("DELETE", f"/servers/{server_id}", status=204)
        await stage.settle()
        assert stage.cloud.shared.machine.picture.need(Volume, volume_id).deleting


async def test_a_server_gets_empty_and_existing_volumes_beside_its_root_disk() -> None:
    async with open_stage() as stage:
        volume_id = await stage.new_volume()
        disks = [
            {"source_type": "image", "destination_type": "local", "uuid": IMAGE_ID, "boot_index": 0},
            disk("blank", volume_size=2, delete_on_termination=True),
            disk("volume", uuid=volume_id, boot_index=-1, tag="data"),
        ]
        body = stage.server_body(block_device_mapping_v2=disks)
        made = await stage.compute("POST", "/servers", body, status=202, version="2.42")
        server_id = made["server"]["id"]
        await stage.settle()
        assert (await stage.show(server_id))["image"]["id"] == IMAGE_ID
        found = await attached(stage, server_id)
        assert [(each["device"], each["tag"]) for each in found] == [("/dev/vdb", None), ("/dev/vdc", "data")]
        spec = stage.machine_of(server_id).hypervisor.spec(stage.record(server_id).id)
        assert [each.device for each in spec.disks] == ["vda", "vdb", "vdc"]
        blank = str(found[0]["volumeId"])
        assert (await stage.volume("GET", f"/volumes/{blank}", status=200))["volume"]["size"] == 2
        await stage.compute("DELETE", f"/servers/{server_id}", status=204)
        await stage.settle()
        assert stage.cloud.shared.machine.picture.need(Volume, blank).deleting
        assert await stage.volume_status(volume_id) == "available"


async def snapshot_of(stage: Stage, volume_id: str, snapshot_id: str) -> None:
    """As a cut leaves it."""
    machine = stage.cloud.shared.machine
    change = machine.picture.begin(Revision(machine.picture.revision + 1))
    volume = change.need(Volume, volume_id)
    frozen = replace(
        volume, id=snapshot_id, purpose=Purpose.SNAPSHOT, immutable=True, snapshot_of=volume_id, bootable=True,
        attachments=(), server_id=None, node_id=None,
    )  # fmt: skip
    change.put(frozen)
    machine._picture = change.commit()


async def test_a_server_boots_from_a_clone_of_a_snapshot() -> None:
    async with open_stage() as stage:
        volume_id = await stage.new_volume()
        await snapshot_of(stage, volume_id, SNAPSHOT)
        root = disk("snapshot", uuid=SNAPSHOT, boot_index=0, volume_size=2, delete_on_termination=True)
        server_id = await stage.create(imageRef="", block_device_mapping_v2=[root])
        await stage.settle()
        assert (await stage.show(server_id))["status"] == "ACTIVE"
        clone = stage.cloud.shared.machine.picture.need(Volume, str((await attached(stage, server_id))[0]["volumeId"]))
        assert (clone.parent_id, clone.gib, clone.status) == (SNAPSHOT, 2, "in-use")
        assert "failed to get snapshot" in await refuse(stage, disk("snapshot", uuid=volume_id))
        await stage.compute("DELETE", f"/servers/{server_id}", status=204)
        await stage.settle()
        assert stage.cloud.shared.machine.picture.need(Volume, clone.id).deleting


async def test_wrong_mappings_are_refused_with_the_reason_and_make_nothing() -> None:
    async with open_stage() as stage:
        empty = await stage.new_volume()
        assert "not bootable" in await refuse(stage, disk("volume", uuid=empty, boot_index=0), imageRef="")
        assert "failed to get volume" in await refuse(stage, disk("volume", uuid=UNKNOWN))
        assert "Boot sequence" in await refuse(stage, disk("blank", volume_size=1, boot_index=1))
        assert "Boot sequence" in await refuse(stage, disk("blank", volume_size=1), imageRef="")
        assert "non-zero size" in await refuse(stage, disk("blank"))
        assert "non-zero size" in await refuse(stage, disk("image", uuid=IMAGE_ID, boot_index=0), imageRef="")
        assert "volume_size" in await refuse(stage, disk("blank", volume_size="much"))
        assert "volume_size" in await refuse(stage, disk("blank", volume_size=0))
        assert "destination_type" in await refuse(
            stage, {"source_type": "volume", "destination_type": "nowhere", "uuid": empty}
        )
        assert "source_type" in await refuse(stage, disk("air"))
        assert "local" in await refuse(stage, {"source_type": "blank", "destination_type": "local", "volume_size": 1})
        assert "tag" in await refuse(stage, disk("volume", uuid=empty, tag="t"))
        assert "multiple" in await refuse(stage, disk("volume", uuid=empty), min_count=2)
        many = [disk("blank", volume_size=1) for _ in range(16)]
        assert "maximum" in await refuse(stage, *many, status=403)
        server_id = await stage.create()
        await stage.settle()
        await stage.attach(server_id, empty)
        assert "available" in await refuse(stage, disk("volume", uuid=empty))
