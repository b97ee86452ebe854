"""Volumes that begin as the disk of an image, as Cinder's clients ask for them."""

from pathlib import Path

import httpx

from storage.volumes.model import Purpose, Volume
from tests.api.stores import Stores, openstack
from tests.api.test_block_storage import V3, make, post
from tests.api.test_images import IMAGES, upload
from tests.api.test_images import make as make_image
from tests.api.test_snapshots import settle, shown
from tests.twins.cloud import api_certificate, serving


async def test_a_volume_is_a_clone_of_the_disk_of_an_image(stores: Stores, client: httpx.AsyncClient) -> None:
    image = await make_image(client, name="system", os_type="linux")
    await post(client, "/volumes", {"volume": {"size": 1, "imageRef": image["id"]}}, 400)
    assert (await upload(client, image, bytes(range(256)) * 4096)).status_code == 204
    made = await make(client, name="root", imageRef=image["id"], metadata={"a": "b"})
    found = await shown(client, f"/volumes/{made['id']}", "volume")
    assert (found["status"], found["size"], found["bootable"], found["metadata"]) == (
        "available", 1, "true", {"a": "b"},
    )  # fmt: skip
    words = found["volume_image_metadata"]
    assert (words["image_id"], words["image_name"], words["os_type"]) == (image["id"], "system", "linux")
    assert words["size"] == str(256 * 4096)
    view = stores[0].shared.cluster(sorted(stores[0].shared.drivers)[0]).view()
    volume = view.need(Volume, made["id"])
    assert volume.parent_id is not None
    assert view.need(Volume, volume.parent_id).purpose is Purpose.IMAGE
    assert (found["snapshot_id"], found["source_volid"]) == (None, None)
    assert (await client.delete(f"{IMAGES}/{image['id']}")).status_code == 204
    assert (await shown(client, f"/volumes/{made['id']}", "volume"))["status"] == "available"


async def test_an_image_says_of_which_type_its_volumes_are(client: httpx.AsyncClient) -> None:
    for name in ("fast", "slow"):
        assert (await client.post(f"{V3}/types", json={"volume_type": {"name": name}})).status_code == 200
    image = await make_image(client, name="system", cinder_img_volume_type="fast")
    assert (await upload(client, image, bytes(4096))).status_code == 204
    assert (await make(client, imageRef=image["id"]))["volume_type"] == "fast"
    assert (await make(client, imageRef=image["id"], volume_type="slow"))["volume_type"] == "slow"
    await post(client, "/volumes", {"volume": {"size": 1, "unheard_of": "words"}}, 202)


async def test_a_volume_holds_the_image_or_is_not_made(stores: Stores, client: httpx.AsyncClient) -> None:
    image = await make_image(client, name="large", min_disk=3, visibility="private")
    assert (await upload(client, image, bytes(4096))).status_code == 204
    source = (await make(client))["id"]
    before = (await client.get(f"{V3}/volumes")).json()["volumes"]
    for keys, status in (
        ({"size": 2, "imageRef": image["id"]}, 400),
        ({"imageRef": image["id"]}, 400),
        ({"size": 3, "imageRef": image["id"], "source_volid": source}, 400),
        ({"size": 3, "imageRef": "00000000-0000-4000-8000-000000000000"}, 404),
    ):
        await post(client, "/volumes", {"volume": keys}, status)
    assert (await client.get(f"{V3}/volumes")).json()["volumes"] == before
    assert (await make(client, size=3, imageRef=image["id"]))["size"] == 3
    client.headers.update(await stores[0].token_with(client, "member"))
    await post(client, "/volumes", {"volume": {"size": 3, "imageRef": image["id"]}}, 404)


async def test_the_unmodified_client_makes_groups_and_volumes_from_images(stores: Stores, tmp_path: Path) -> None:
    context, ca = api_certificate(tmp_path)
    content = tmp_path / "disk.raw"
    content.write_bytes(bytes(range(256)) * 16)
    async with serving(stores[0], context) as base:

        async def run(*words: str, ok: bool = True) -> str:
            return await openstack(base, ca, "--os-volume-api-version=3.38", *words, ok=ok)

        await run("image", "create", "--disk-format=raw", f"--file={content}", "system")
        await run("volume", "create", "--size=1", "--image=system", "root")
        assert "system" in await run("volume", "show", "root", "-c", "volume_image_metadata", "-f", "value")
        await run("image", "create", "--volume=root", "copy")
        await settle(stores)
        assert (await run("image", "show", "-c", "status", "-f", "value", "copy")).strip() == "active"
        await run("volume", "type", "create", "fast")
        await run("volume", "group", "type", "create", "kind")
        await run("volume", "group", "create", "--volume-group-type=kind", "--volume-type=fast", "--name=both")
        assert (await run("volume", "group", "list", "-c", "Name", "-f", "value")).split() == ["both"]
        await run("volume", "group", "snapshot", "create", "both", "--name=then", ok=False)
        await run("volume", "group", "delete", "both")
        assert await run("volume", "group", "list", "-c", "Name", "-f", "value") in ("", "\n")
