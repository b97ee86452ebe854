"""Encrypted volumes, as Cinder's clients ask for them: formatted before they are there, with keys none can read."""

from typing import Any

import httpx
import msgspec

from consensus.host.vault import NodeVault
from consensus.vault.links import VaultAccess
from consensus.vault.model import Secret, Vault
from noded.core.ids import NodeId, VolumeId
from noded.core.store import View
from storage.volumes.links import VolumeFiles
from storage.volumes.model import Volume
from tests.api.stores import Stores
from tests.api.test_block_storage import V3, make, post, speaking
from tests.api.test_images import IMAGES, upload
from tests.api.test_images import make as make_image
from tests.api.test_snapshots import settle, shown, snapshot
from tests.api.test_volume_uploads import upload as make_an_image_of

MAGIC = b"LUKS\xba\xbe"


def view(stores: Stores) -> View:
    return stores[0].shared.cluster(sorted(stores[0].shared.drivers)[0]).view()


async def encrypted_type(client: httpx.AsyncClient, name: str = "safe", **more: object) -> str:
    kind = (await post(client, "/types", {"volume_type": {"name": name}}, 200))["volume_type"]
    body = {"encryption": {"provider": "luks", "control_location": "front-end", "key_size": 256, **more}}
    await post(client, f"/types/{kind['id']}/encryption", body, 200)
    return str(kind["id"])


async def start_of(stores: Stores, volume_id: str, length: int) -> bytes:
    drivers = stores[0].shared.drivers[sorted(stores[0].shared.drivers)[0]]
    async with drivers.get(VolumeFiles).open(VolumeId(volume_id), writable=True) as file:
        with file.path.open("rb") as opened:
            return opened.read(length)


async def made(stores: Stores, client: httpx.AsyncClient, **keys: Any) -> dict[str, Any]:
    volume = await make(client, volume_type="safe", **keys)
    await settle(stores)
    return await shown(client, f"/volumes/{volume['id']}", "volume")


async def test_a_volume_is_formatted_before_it_is_available_and_its_key_goes_with_the_last_clone(
    stores: Stores, client: httpx.AsyncClient
) -> None:
    await encrypted_type(client)
    volume = await make(client, volume_type="safe", name="data")
    assert (volume["status"], volume["encrypted"], volume["size"]) == ("creating", True, 1)
    await settle(stores)
    path = f"/volumes/{volume['id']}"
    assert (await shown(client, path, "volume"))["status"] == "available"
    assert (await start_of(stores, volume["id"], 6)) == MAGIC
    record = view(stores).need(Volume, volume["id"])
    assert (record.gib, record.stored_bytes - record.size_bytes) == (1, 2068480)
    assert (await client.get(f"{V3}{path}/encryption")).json() == {
        "encryption_key_id": record.key_id,
        "control_location": "front-end",
        "cipher": "aes-xts-plain64",
        "key_size": 256,
        "provider": "luks",
    }
    answer = await client.get(f"{V3}{path}", headers=speaking("3.64"))
    assert answer.json()["volume"]["encryption_key_id"] == record.key_id
    taken = await snapshot(client, volume["id"])
    await settle(stores)
    clone = await make(client, snapshot_id=taken["id"], size=2)
    assert clone["encrypted"]
    assert view(stores).need(Volume, clone["id"]).key_id == record.key_id
    await post(client, f"/volumes/{clone['id']}/action", {"os-extend": {"new_size": 3}})
    assert (await shown(client, f"/volumes/{clone['id']}", "volume"))["size"] == 3
    assert (await client.delete(f"{V3}/snapshots/{taken['id']}")).status_code == 202
    assert (await client.delete(f"{V3}{path}")).status_code == 202
    assert view(stores).get(Secret, str(record.key_id)) is not None
    assert (await client.delete(f"{V3}/volumes/{clone['id']}")).status_code == 202
    assert view(stores).all(Secret) == []


async def test_each_node_opens_the_key_and_nobody_else(stores: Stores, client: httpx.AsyncClient) -> None:
    await encrypted_type(client)
    volume = await made(stores, client)
    record = view(stores).need(Volume, volume["id"])
    keys = set()
    for node, drivers in stores[0].shared.drivers.items():
        key = drivers.get(VaultAccess).open(stores[0].shared.cluster(node).view(), str(record.key_id))
        assert len(key) == 32
        keys.add(key)
    [key] = keys
    log = b"".join(stores[0].shared.entries)
    assert key not in log, "it is in the log"
    assert key.hex().encode() not in log
    stranger = NodeVault(NodeId("node1"), bytes(range(32)))
    assert not stranger.can_open(view(stores))
    assert not NodeVault(NodeId("node9"), bytes(range(32))).can_open(view(stores))
    assert "<hidden>" in repr(view(stores).all(Vault)[0])
    assert b"node1" in msgspec.json.encode(sorted(view(stores).all(Vault)[0].envelopes))


async def test_a_plain_image_is_encrypted_and_an_encrypted_volume_becomes_an_encrypted_image(
    stores: Stores, client: httpx.AsyncClient
) -> None:
    await encrypted_type(client)
    image = await make_image(client, name="system", os_type="linux")
    assert (await upload(client, image, b"plain words" * 100)).status_code == 204
    volume = await made(stores, client, imageRef=image["id"])
    assert (volume["status"], volume["bootable"]) == ("available", "true")
    assert volume["volume_image_metadata"]["image_name"] == "system"
    assert (await start_of(stores, volume["id"], 6)) == MAGIC
    assert b"plain words" not in await start_of(stores, volume["id"], 3 << 20)
    copy = await make_an_image_of(client, volume["id"])
    await settle(stores)
    part = await client.get(f"{IMAGES}/{copy['image_id']}/file", headers={"Range": "bytes=0-5"})
    assert part.content == MAGIC
    again = await make(client, imageRef=str(copy["image_id"]), volume_type="safe", size=2)
    assert view(stores).need(Volume, again["id"]).key_id == view(stores).need(Volume, volume["id"]).key_id
    await post(client, "/volumes", {"volume": {"size": 2, "imageRef": copy["image_id"]}}, 400)
    gone = await make(client, volume_type="safe", imageRef=image["id"])
    assert (await client.delete(f"{IMAGES}/{image['id']}")).status_code == 204
    await settle(stores)
    assert (await shown(client, f"/volumes/{gone['id']}", "volume"))["status"] == "error"
    [message] = (await client.get(f"{V3}/messages", headers=speaking("3.3"))).json()["messages"]
    assert "image was deleted" in message["user_message"]
    assert (await client.delete(f"{V3}/volumes/{gone['id']}")).status_code == 202


async def test_what_would_not_be_encrypted_as_asked_is_refused(stores: Stores, client: httpx.AsyncClient) -> None:
    await encrypted_type(client)
    for name, more in (
        ("luks2", {"provider": "luks2"}),
        ("back", {"control_location": "back-end"}),
        ("cbc", {"cipher": "aes-cbc-essiv"}),
        ("odd", {"key_size": 192}),
    ):
        await encrypted_type(client, name, **more)
        await post(client, "/volumes", {"volume": {"size": 1, "volume_type": name}}, 400)
    plain, safe = await make(client), await made(stores, client)
    await post(client, "/volumes", {"volume": {"source_volid": plain["id"], "volume_type": "safe"}}, 400)
    await post(client, "/volumes", {"volume": {"source_volid": safe["id"], "volume_type": "__DEFAULT__"}}, 400)
    for volume, kind in ((plain, "safe"), (safe, "__DEFAULT__")):
        body = {"os-retype": {"new_type": kind, "migration_policy": "never"}}
        await post(client, f"/volumes/{volume['id']}/action", body, 400)
    answer = await client.post(f"{V3}/backups", json={"backup": {"volume_id": safe["id"]}})
    assert (answer.status_code, "encrypted" in answer.text) == (400, True)
    assert len(view(stores).all(Secret)) == 1, "what was refused left no key"
