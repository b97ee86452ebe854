"""Images that are made of volumes, as Cinder's clients ask for them: they share the volume's blocks."""

import hashlib

import httpx

from noded.core.ids import VolumeId
from noded.core.units import GIB, MIB
from storage.volumes.links import VolumeFiles
from storage.volumes.model import Purpose, Volume
from tests.api.stores import Stores
from tests.api.test_block_storage import V3, make, post, speaking
from tests.api.test_images import IMAGES
from tests.api.test_snapshots import settle, shown

WORDS = b"what was on the volume" * 1000


async def write(stores: Stores, volume_id: str, data: bytes) -> None:
    """As a server would, on the first node."""
    node = sorted(stores[0].shared.drivers)[0]
    async with stores[0].shared.drivers[node].get(VolumeFiles).open(VolumeId(volume_id), writable=True) as file:
        with file.path.open("r+b") as opened:
            opened.write(data)


async def upload(client: httpx.AsyncClient, volume_id: str, status: int = 202, **keys: object) -> dict[str, object]:
    body = {"os-volume_upload_image": {"image_name": "copy", **keys}}
    answer = await post(client, f"/volumes/{volume_id}/action", body, status)
    found: dict[str, object] = answer.get("os-volume_upload_image", {})
    return found


async def test_an_image_has_what_the_volume_was_and_the_volume_goes_on(
    stores: Stores, client: httpx.AsyncClient
) -> None:
    volume = await make(client, name="data")
    words = {"os_type": "linux", "min_ram": "64", "image_id": "another"}
    await post(client, f"/volumes/{volume['id']}/action", {"os-set_image_metadata": {"metadata": words}}, 200)
    await write(stores, volume["id"], WORDS)
    made = await upload(client, volume["id"])
    assert (made["status"], made["disk_format"], made["size"]) == ("uploading", "raw", 1)
    assert (await shown(client, f"/volumes/{volume['id']}", "volume"))["status"] == "uploading"
    image = (await client.get(f"{IMAGES}/{made['image_id']}")).json()
    assert (image["status"], image["os_type"], image["min_ram"]) == ("saving", "linux", 64)
    await settle(stores)
    assert (await shown(client, f"/volumes/{volume['id']}", "volume"))["status"] == "available"
    image = (await client.get(f"{IMAGES}/{made['image_id']}")).json()
    start = WORDS + bytes(MIB - len(WORDS))  # the twin reads no more of it
    assert (image["status"], image["size"], image["virtual_size"]) == ("active", GIB, GIB)
    assert image["checksum"] == hashlib.md5(start, usedforsecurity=False).hexdigest()
    assert image["os_hash_value"] == hashlib.sha512(start).hexdigest()
    await write(stores, volume["id"], b"later words")
    part = await client.get(f"{IMAGES}/{made['image_id']}/file", headers={"Range": "bytes=0-99"})
    assert part.content == WORDS[:100]
    again = await make(client, imageRef=str(made["image_id"]))
    assert (await shown(client, f"/volumes/{again['id']}", "volume"))["bootable"] == "true"
    assert (await client.delete(f"{V3}/volumes/{volume['id']}")).status_code == 202
    assert (await client.get(f"{IMAGES}/{made['image_id']}")).json()["status"] == "active"


async def test_what_can_not_become_an_image_is_refused(stores: Stores, client: httpx.AsyncClient) -> None:
    volume = await make(client)
    for keys, status in (
        ({"image_name": ""}, 400),
        ({"disk_format": "qcow2"}, 400),
        ({"disk_format": "paper"}, 400),
        ({"container_format": "box"}, 400),
        ({"visibility": "public"}, 400),  # not before 3.1
        ({"wrong": 1}, 400),
    ):
        await upload(client, volume["id"], status, **keys)
    await post(client, f"/volumes/{volume['id']}/action", {"os-attach": {"instance_uuid": volume["id"],
               "mountpoint": "/dev/vdb"}}, 202)  # fmt: skip
    await upload(client, volume["id"], 400)
    assert (await client.get(IMAGES)).json()["images"] == []
    made = await upload(client, volume["id"], force=True)
    await upload(client, volume["id"], 400, force=True)
    await settle(stores)
    assert (await shown(client, f"/volumes/{volume['id']}", "volume"))["status"] == "in-use"
    assert (await client.get(f"{IMAGES}/{made['image_id']}")).json()["status"] == "active"
    free = await make(client)
    body = {"os-volume_upload_image": {"image_name": "shared", "visibility": "public", "protected": True}}
    answer = await client.post(f"{V3}/volumes/{free['id']}/action", json=body, headers=speaking("3.1"))
    assert answer.json()["os-volume_upload_image"]["visibility"] == "public"
    client.headers.update(await stores[0].token_with(client, "member"))
    await upload(client, free["id"], 404)
    own = await make(client)
    answer = await client.post(f"{V3}/volumes/{own['id']}/action", json=body, headers=speaking("3.1"))
    assert answer.status_code == 403


async def test_an_image_that_is_deleted_or_comes_to_nothing_leaves_no_trace(
    stores: Stores, client: httpx.AsyncClient
) -> None:
    volume = await make(client)
    made = await upload(client, volume["id"])
    assert (await client.delete(f"{IMAGES}/{made['image_id']}")).status_code == 204
    await settle(stores)
    assert (await shown(client, f"/volumes/{volume['id']}", "volume"))["status"] == "available"
    made = await upload(client, volume["id"])
    await post(client, f"/volumes/{volume['id']}/action", {"os-force_delete": {}}, 202)
    await settle(stores)
    await settle(stores)
    assert (await client.get(f"{IMAGES}/{made['image_id']}")).status_code == 404
    [message] = (await client.get(f"{V3}/messages", headers=speaking("3.3"))).json()["messages"]
    assert (message["resource_uuid"], "image" in message["user_message"]) == (volume["id"], True)
    view = stores[0].shared.cluster(sorted(stores[0].shared.drivers)[0]).view()
    assert [each for each in view.all(Volume) if each.purpose is Purpose.IMAGE and not each.deleting] == []
