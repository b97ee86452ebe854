"""Images as their clients see them: Glance's words, numbers and headers."""

import hashlib
import json
import os
from typing import Any

import httpx
import pytest

from storage.volumes.model import Volume
from tests.api.stores import Stores
from tests.unit.images.builders import qcow2

IMAGES = "/image/v2/images"
PATCH = {"content-type": "application/openstack-images-v2.1-json-patch"}
METHODS = ["glance-direct", "web-download", "copy-image"]
OCTETS = {"content-type": "application/octet-stream"}


async def make(client: httpx.AsyncClient, **keys: Any) -> dict[str, Any]:
    answer = await client.post(IMAGES, json={"disk_format": "raw", "container_format": "bare", **keys})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def upload(client: httpx.AsyncClient, image: dict[str, Any], content: bytes) -> httpx.Response:
    return await client.put(f"{IMAGES}/{image['id']}/file", content=content, headers=OCTETS)


async def test_versions_are_told_to_anyone(stores: Stores) -> None:
    async with stores[0].client() as stranger:
        for path, status in (("/image/", 300), ("/image", 300), ("/image/versions", 200)):
            answer = await stranger.get(path)
            assert answer.status_code == status
            first = answer.json()["versions"][0]
            assert (first["status"], first["links"][0]["href"]) == ("CURRENT", "https://cloud.test/image/v2/")
        assert (await stranger.get(IMAGES)).status_code == 401


async def test_an_images_life(client: httpx.AsyncClient) -> None:
    content = os.urandom(200_000)
    image = await make(client, name="disk", visibility="private", hw_disk_bus="virtio", tags=["a"], min_disk=1)
    assert (image["status"], image["size"], image["hw_disk_bus"]) == ("queued", None, "virtio")
    assert (image["self"], image["file"]) == (f"/v2/images/{image['id']}", f"/v2/images/{image['id']}/file")
    assert (await client.get(f"{IMAGES}/{image['id']}/file")).status_code == 204
    answer = await upload(client, image, content)
    assert (answer.status_code, answer.content) == (204, b"")
    active = (await client.get(f"{IMAGES}/{image['id']}")).json()
    assert (active["status"], active["size"], active["virtual_size"]) == ("active", 200_000, 200_000)
    assert active["checksum"] == hashlib.md5(content).hexdigest()
    assert (active["os_hash_algo"], active["os_hash_value"]) == ("sha512", hashlib.sha512(content).hexdigest())
    whole = await client.get(f"{IMAGES}/{image['id']}/file")
    assert (whole.content, whole.headers["content-length"]) == (content, "200000")
    part = await client.get(f"{IMAGES}/{image['id']}/file", headers={"range": "bytes=5-9"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, content[5:10], "bytes 5-9/200000")
    outside = await client.get(f"{IMAGES}/{image['id']}/file", headers={"range": "bytes=200000-"})
    assert outside.status_code == 416
    assert (await upload(client, image, b"again")).status_code == 409
    assert (await client.delete(f"{IMAGES}/{image['id']}")).status_code == 204
    assert (await client.delete(f"{IMAGES}/{image['id']}")).status_code == 404


async def test_what_is_written_on_an_image_is_patched(client: httpx.AsyncClient) -> None:
    image = await make(client, name="old", colour="red")
    changes = [
        {"op": "replace", "path": "/name", "value": "new"},
        {"op": "remove", "path": "/colour"},
        {"op": "add", "path": "/shape", "value": "round"},
    ]
    answer = await client.patch(f"{IMAGES}/{image['id']}", content=json.dumps(changes), headers=PATCH)
    assert answer.status_code == 200
    assert (answer.json()["name"], answer.json()["shape"], "colour" in answer.json()) == ("new", "round", False)
    plain = await client.patch(f"{IMAGES}/{image['id']}", json=changes)
    assert plain.status_code == 415
    read_only = [{"op": "replace", "path": "/status", "value": "active"}]
    answer = await client.patch(f"{IMAGES}/{image['id']}", content=json.dumps(read_only), headers=PATCH)
    assert (answer.status_code, set(answer.json())) == (403, {"message", "code", "title"})


async def test_tags_come_and_go(client: httpx.AsyncClient) -> None:
    image = await make(client)
    place = f"{IMAGES}/{image['id']}/tags"
    assert (await client.put(f"{place}/blue")).status_code == 204
    assert (await client.put(f"{place}/blue")).status_code == 204
    assert (await client.get(f"{IMAGES}/{image['id']}")).json()["tags"] == ["blue"]
    assert (await client.delete(f"{place}/blue")).status_code == 204
    assert (await client.delete(f"{place}/blue")).status_code == 404
    assert (await client.put(f"{place}/{'t' * 256}")).status_code == 400


async def test_a_deactivated_image_is_kept_back_from_users(stores: Stores, client: httpx.AsyncClient) -> None:
    image = await make(client, visibility="public")
    actions = f"{IMAGES}/{image['id']}/actions"
    assert (await client.post(f"{actions}/deactivate")).status_code == 403
    await upload(client, image, b"data")
    user = await stores[0].token_with(client, "reader")
    assert (await client.get(f"{IMAGES}/{image['id']}/file", headers=user)).content == b"data"
    assert (await client.post(f"{actions}/deactivate")).status_code == 204
    assert (await client.get(f"{IMAGES}/{image['id']}")).json()["status"] == "deactivated"
    assert (await client.get(f"{IMAGES}/{image['id']}/file", headers=user)).status_code == 403
    assert (await client.post(f"{actions}/reactivate")).status_code == 204
    assert (await client.get(f"{IMAGES}/{image['id']}/file", headers=user)).status_code == 200


async def test_other_projects_see_only_what_they_may(stores: Stores, client: httpx.AsyncClient) -> None:
    private, public = await make(client, visibility="private"), await make(client, visibility="public")
    user = await stores[0].token_with(client, "member")
    listed = (await client.get(IMAGES, headers=user)).json()["images"]
    assert [image["id"] for image in listed] == [public["id"]]
    assert (await client.get(f"{IMAGES}/{private['id']}", headers=user)).status_code == 404
    assert (await client.delete(f"{IMAGES}/{private['id']}", headers=user)).status_code == 404
    assert (await client.delete(f"{IMAGES}/{public['id']}", headers=user)).status_code == 403
    assert (await client.post(IMAGES, json={"visibility": "public"}, headers=user)).status_code == 403
    assert (await client.post(IMAGES, json={}, headers=user)).status_code == 201


async def test_a_shared_image_is_offered_and_accepted(stores: Stores, client: httpx.AsyncClient) -> None:
    image = await make(client, visibility="shared")
    user = await stores[0].token_with(client, "member")
    looked_up = await client.get("/identity/v3/auth/tokens", headers={"x-subject-token": user["X-Auth-Token"]})
    project = looked_up.json()["token"]["project"]["id"]
    members = f"{IMAGES}/{image['id']}/members"
    offered = await client.post(members, json={"member": project})
    assert (offered.status_code, offered.json()["status"]) == (200, "pending")
    assert (await client.post(members, json={"member": project})).status_code == 409
    assert (await client.get(f"{IMAGES}/{image['id']}", headers=user)).status_code == 200
    assert (await client.get(IMAGES, headers=user)).json()["images"] == []
    accepted = await client.put(f"{members}/{project}", json={"status": "accepted"}, headers=user)
    assert (accepted.status_code, accepted.json()["status"]) == (200, "accepted")
    assert len((await client.get(IMAGES, headers=user)).json()["images"]) == 1
    assert (await client.get(members, headers=user)).json()["members"][0]["member_id"] == project
    assert (await client.delete(f"{members}/{project}")).status_code == 204
    assert (await client.get(f"{IMAGES}/{image['id']}", headers=user)).status_code == 404


async def test_lists_are_paged_with_links(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await make(client, name=f"image {number}")
    path, names = f"{IMAGES}?limit=2&sort=name:asc", list[str]()
    while path:
        page = (await client.get(path)).json()
        names += [image["name"] for image in page["images"]]
        path = f"/image{page['next']}" if "next" in page else ""
    assert names == [f"image {number}" for number in range(5)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"disk_format": "floppy"}, 400),
        ({"name": "n" * 256}, 400),
        ({"id": "not-a-uuid"}, 400),
        ({"protected": "maybe"}, 400),
        ({"min_disk": -1}, 400),
        ({"made_up": 5}, 400),
        ({"os_glance_x": "y"}, 403),
        ({"status": "active"}, 403),
        ({"tags": ["t" * 256]}, 400),
        ([], 400),
    ],
)
async def test_a_wrong_creation_is_refused(client: httpx.AsyncClient, body: object, status: int) -> None:
    assert (await client.post(IMAGES, json=body)).status_code == status
    assert (await client.get(IMAGES)).json()["images"] == []


async def test_an_id_is_taken_once(client: httpx.AsyncClient) -> None:
    id = "12345678-1234-1234-1234-123456789abc"
    assert (await make(client, id=id))["id"] == id
    assert (await client.post(IMAGES, json={"id": id})).status_code == 409


@pytest.mark.parametrize(
    ("disk_format", "content"),
    [("qcow2", b"garbage" * 1000), ("raw", qcow2()), ("qcow2", qcow2(backing_offset=512)), (None, b"x")],
)
async def test_a_bad_file_is_refused_and_nothing_stays(
    stores: Stores, client: httpx.AsyncClient, disk_format: str | None, content: bytes
) -> None:
    image = await make(client, disk_format=disk_format)
    answer = await upload(client, image, content)
    assert answer.status_code == 400
    assert answer.json()["message"]
    await stores[0].shared.settle(*stores[1])
    assert (await client.get(f"{IMAGES}/{image['id']}")).json()["status"] == "queued"
    assert stores[0].shared.machine.picture.count(Volume) == 0


async def test_an_empty_id_names_no_image(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{IMAGES}/")).status_code == 404
    assert (await client.delete(f"{IMAGES}/")).status_code == 404
    assert (await client.delete(IMAGES)).status_code == 405


async def test_data_of_another_type_is_refused(client: httpx.AsyncClient) -> None:
    image = await make(client)
    answer = await client.put(f"{IMAGES}/{image['id']}/file", content=b"x", headers={"content-type": "text/plain"})
    assert answer.status_code == 415


async def test_schemas_and_import_methods_can_be_read(client: httpx.AsyncClient) -> None:
    for name in ("image", "images", "member", "members"):
        assert (await client.get(f"/image/v2/schemas/{name}")).json()["name"] == name
    assert (await client.get("/image/v2/info/import")).json()["import-methods"]["value"] == METHODS


async def test_what_is_staged_waits_for_its_import(stores: Stores, client: httpx.AsyncClient) -> None:
    answer = await client.post(IMAGES, json={"disk_format": "raw", "container_format": "bare"})
    assert answer.headers["openstack-image-import-methods"] == ",".join(METHODS)
    path = f"{IMAGES}/{answer.json()['id']}"

    async def status() -> str:
        return str((await client.get(path)).json()["status"])

    async def imported(body: object) -> int:
        return (await client.post(f"{path}/import", json=body)).status_code

    direct = {"method": {"name": "glance-direct"}, "all_stores": True}
    assert (await imported(direct), await status()) == (409, "queued")
    for body in ({}, {"method": {}}, {"method": {"name": "web-download", "uri": "http://127.0.0.1/"}}):
        assert await imported(body) == 400
    staged = await client.put(f"{path}/stage", content=b"x", headers={"content-type": "text/plain"})
    assert staged.status_code == 415
    staged = await client.put(f"{path}/stage", content=b"data", headers=OCTETS)
    assert (staged.status_code, staged.content, await status()) == (204, b"", "uploading")
    assert (await client.get(f"{path}/file")).status_code == 204
    for verb in ("stage", "file"):
        assert (await client.put(f"{path}/{verb}", content=b"other", headers=OCTETS)).status_code == 409
    assert (await imported(direct), await status()) == (202, "active")
    assert (await client.get(f"{path}/file")).content == b"data"
    assert await imported(direct) == 409
    bad = await make(client, disk_format="qcow2")
    assert (await client.put(f"{IMAGES}/{bad['id']}/stage", content=b"no" * 999, headers=OCTETS)).status_code == 400
    assert (await client.get(f"{IMAGES}/{bad['id']}")).json()["status"] == "queued"


async def test_the_one_store_is_told_and_images_say_that_they_are_there(client: httpx.AsyncClient) -> None:
    [store] = (await client.get("/image/v2/info/stores")).json()["stores"]
    assert (store["id"], store["default"]) == ("pool", "true")
    assert (await client.get("/image/v2/info/stores/detail")).json()["stores"][0]["type"] == "noded"
    image = await make(client)
    path = f"{IMAGES}/{image['id']}"
    gone = f"/image/v2/stores/pool/{image['id']}"
    assert ("stores" in image, (await client.delete(gone)).status_code) == (False, 404)
    elsewhere = await client.put(f"{path}/file", content=b"x", headers={**OCTETS, "x-image-meta-store": "tape"})
    assert elsewhere.status_code == 409
    assert (await client.get(f"{path}/locations")).json() == []
    await upload(client, image, b"data")
    assert (await client.get(path)).json()["stores"] == "pool"
    assert (await client.delete(gone)).status_code == 403
    assert (await client.delete(gone.replace("pool", "tape"))).status_code == 404
    [location] = (await client.get(f"{path}/locations")).json()
    assert location["metadata"] == {"store": "pool"}
    copy = {"method": {"name": "copy-image"}, "all_stores": True, "all_stores_must_succeed": False}
    answer = await client.post(f"{path}/import", json=copy)
    assert answer.status_code == 202
    shown = (await client.get(path)).json()
    assert (shown["os_glance_importing_to_stores"], shown["os_glance_failed_import"]) == ("", "")
    [task] = (await client.get(f"{path}/tasks")).json()["tasks"]
    assert (task["status"], task["request_id"]) == ("success", answer.headers["x-openstack-request-id"])
    for wrong in ({"stores": ["tape"]}, {"stores": ["pool"], "all_stores": True}):
        refused = await client.post(f"{path}/import", json={"method": {"name": "copy-image"}, **wrong})
        assert refused.status_code in {400, 409}


async def test_tasks_are_started_and_listed_by_an_administrator(stores: Stores, client: httpx.AsyncClient) -> None:
    keys = {"disk_format": "raw", "container_format": "bare", "name": "made"}
    source = {"import_from": "http://does-not.exist.invalid/", "import_from_format": "raw", "image_properties": keys}
    made = await client.post("/image/v2/tasks", json={"type": "import", "input": source})
    task = made.json()
    assert (made.status_code, task["status"], task["input"]["image_properties"]) == (201, "processing", keys)
    assert made.headers["location"].endswith(task["self"])
    other = await client.post("/image/v2/tasks", json={"type": "export", "input": source})
    inside = {**source, "import_from": "http://127.0.0.1/"}
    inwards = await client.post("/image/v2/tasks", json={"type": "import", "input": inside})
    assert (other.status_code, inwards.status_code) == (400, 400)
    await stores[0].shared.settle(*stores[1])
    shown = (await client.get(f"/image/v2/tasks/{task['id']}")).json()
    assert (shown["status"], "does-not.exist" in shown["message"], shown["result"]) == ("failure", True, None)
    for query, count in (("", 1), ("?status=failure", 1), ("?status=success", 0), ("?type=import&limit=0", 0)):
        assert len((await client.get(f"/image/v2/tasks{query}")).json()["tasks"]) == count
    for wrong in ("limit=x", "marker=x", "sort_key=x", "sort_dir=x", "status=x"):
        assert (await client.get(f"/image/v2/tasks?{wrong}")).status_code == 400
    assert (await client.get("/image/v2/tasks/x")).status_code == 404
    user = await stores[0].token_with(client, "manager")
    assert (await client.get("/image/v2/tasks", headers=user)).status_code == 403
    for name in ("task", "tasks"):
        assert (await client.get(f"/image/v2/schemas/{name}")).json()["name"] == name


async def test_an_administrator_says_from_where_images_may_come(client: httpx.AsyncClient) -> None:
    path = "/noded/v1/image-import-rules"
    assert (await client.get(path)).json()["image_import_rules"]["allowed_ports"] == [80, 443]
    rules = {"allowed_ports": [], "allowed_networks": ["127.0.0.0/8"]}
    assert (await client.put(path, json={"image_import_rules": rules})).json()["image_import_rules"] == {
        "allowed_schemes": ["http", "https"],
        "allowed_hosts": [],
        "disallowed_hosts": [],
        "disallowed_ports": [],
        "disallowed_networks": [],
        **rules,
    }
    wrong = {"image_import_rules": {"allowed_networks": ["10.0.0.1/8"]}}
    assert (await client.put(path, json=wrong)).status_code == 400
