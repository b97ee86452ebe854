"""Groups of volumes and their snapshots, as Cinder's clients ask for them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from storage.volumes.model import Cut, Volume
from tests.api.stores import Stores
from tests.api.test_block_storage import V3, make, make_type, post, speaking
from tests.api.test_snapshots import settle, shown


@pytest.fixture
async def client(stores: Stores) -> AsyncIterator[httpx.AsyncClient]:
    async with stores[0].client() as client:
        client.headers.update(await stores[0].admin(client) | speaking("3.58"))
        yield client


async def make_group_type(client: httpx.AsyncClient) -> str:
    made = await post(client, "/group_types", {"group_type": {"name": "kind"}})
    return str(made["group_type"]["id"])


async def make_group(client: httpx.AsyncClient, name: str, type_id: str, *volume_types: str) -> str:
    body = {"group": {"name": name, "group_type": type_id, "volume_types": list(volume_types)}}
    return str((await post(client, "/groups", body))["group"]["id"])


async def found(client: httpx.AsyncClient) -> tuple[str, str, list[dict[str, Any]]]:
    """A group of two volumes, and the type of these."""
    kind = await make_type(client, "fast")
    group = await make_group(client, "both", await make_group_type(client), kind)
    return group, kind, [await make(client, name=name, volume_type=kind, group_id=group) for name in ("a", "b")]


async def members(client: httpx.AsyncClient, group: str) -> list[str]:
    listed = (await client.get(f"{V3}/groups/{group}", params={"list_volume": "true"})).json()["group"]
    return sorted(listed["volumes"])


async def test_a_group_is_made_described_listed_and_deleted(client: httpx.AsyncClient) -> None:
    group, kind, volumes = await found(client)
    ids = sorted(each["id"] for each in volumes)
    assert await members(client, group) == ids
    assert volumes[0]["group_id"] == group
    detail = (await client.get(f"{V3}/groups/detail", params={"name": "both"})).json()["groups"]
    assert [(each["id"], each["status"], each["volume_types"]) for each in detail] == [(group, "available", [kind])]
    assert (await client.get(f"{V3}/groups")).json()["groups"] == [{"id": group, "name": "both"}]
    assert (await client.delete(f"{V3}/volumes/{ids[0]}")).status_code == 400
    await post(client, f"/groups/{group}/action", {"delete": {"delete-volumes": False}}, 400)
    await post(client, f"/groups/{group}/action", {"delete": {"delete-volumes": True}})
    assert (await client.get(f"{V3}/groups/{group}")).status_code == 404
    assert (await client.get(f"{V3}/volumes", params={"status": "available"})).json()["volumes"] == []


async def test_volumes_go_into_a_group_and_out_of_it(client: httpx.AsyncClient) -> None:
    group, _, volumes = await found(client)
    first, second = (each["id"] for each in volumes)
    path, other = f"{V3}/groups/{group}", (await make(client))["id"]
    refused: tuple[dict[str, object], ...] = (
        {},
        {"add_volumes": first},
        {"add_volumes": other},
        {"add_volumes": "nothing"},
        {"remove_volumes": other},
        {"add_volumes": first, "remove_volumes": first},
    )
    for change in refused:
        assert (await client.put(path, json={"group": change})).status_code == 400, change
    assert (await client.put(path, json={"group": {"name": "one", "remove_volumes": second}})).status_code == 202
    assert await members(client, group) == [first]
    assert (await client.put(path, json={"group": {"add_volumes": second}})).status_code == 202
    assert await members(client, group) == sorted([first, second])
    assert (await shown(client, f"/groups/{group}", "group"))["name"] == "one"
    await post(client, "/volumes", {"volume": {"size": 1, "group_id": group}}, 400)
    await post(client, "/volumes", {"volume": {"size": 1, "group_id": "none", "volume_type": "fast"}}, 404)
    await post(client, "/volume-transfers", {"transfer": {"volume_id": first}}, 400)


async def test_a_group_is_snapshotted_at_one_moment_and_made_again(stores: Stores, client: httpx.AsyncClient) -> None:
    group, _, volumes = await found(client)
    made = (await post(client, "/group_snapshots", {"group_snapshot": {"group_id": group, "name": "then"}}))[
        "group_snapshot"
    ]
    cluster = stores[0].shared.cluster(sorted(stores[0].shared.drivers)[0])
    [cut] = cluster.view().all(Cut)
    assert set(cut.volume_ids) == {each["id"] for each in volumes}
    path = f"/group_snapshots/{made['id']}"
    assert (await shown(client, path, "group_snapshot"))["status"] == "creating"
    await settle(stores)
    assert (await shown(client, path, "group_snapshot"))["status"] == "available"
    parts = (await client.get(f"{V3}/snapshots/detail")).json()["snapshots"]
    assert {each["group_snapshot_id"] for each in parts} == {made["id"]}
    assert {each["volume_id"] for each in parts} == {each["id"] for each in volumes}
    assert (await client.delete(f"{V3}/snapshots/{parts[0]['id']}")).status_code == 400
    await post(client, f"/groups/{group}/action", {"delete": {"delete-volumes": True}}, 400)
    body = {"create-from-src": {"name": "again", "group_snapshot_id": made["id"]}}
    again = (await post(client, "/groups/action", body))["group"]["id"]
    clones = await members(client, again)
    assert len(clones) == 2
    sources = {(await shown(client, f"/volumes/{each}", "volume"))["snapshot_id"] for each in clones}
    assert sources == {each["id"] for each in parts}
    assert (await client.delete(f"{V3}{path}")).status_code == 202
    assert (await client.get(f"{V3}/snapshots")).json()["snapshots"] == []
    assert (await client.get(f"{V3}{path}")).status_code == 404
    await post(client, f"/groups/{group}/action", {"delete": {"delete-volumes": True}})
    assert len(await members(client, again)) == 2


async def test_a_group_is_made_from_a_group_at_one_moment(stores: Stores, client: httpx.AsyncClient) -> None:
    group, _, volumes = await found(client)
    copy = (await post(client, "/groups/action", {"create-from-src": {"source_group_id": group}}))["group"]["id"]
    cluster = stores[0].shared.cluster(sorted(stores[0].shared.drivers)[0])
    [cut] = cluster.view().all(Cut)
    assert set(cut.volume_ids) == {each["id"] for each in volumes}
    assert (await shown(client, f"/groups/{copy}", "group"))["status"] == "creating"
    await settle(stores)
    found_copy = await shown(client, f"/groups/{copy}", "group")
    assert (found_copy["status"], found_copy["source_group_id"]) == ("available", group)
    clones = await members(client, copy)
    assert {cluster.view().need(Volume, each).made_from.volume_id for each in clones} == set(cut.volume_ids)
    await post(client, "/groups/action", {"create-from-src": {"name": "of nothing"}}, 400)
    await post(client, "/groups/action", {"create-from-src": {"source_group_id": "none"}}, 404)


async def test_an_empty_group_has_no_snapshots_and_status_is_an_administrators_word(
    stores: Stores, client: httpx.AsyncClient
) -> None:
    kind, group_type = await make_type(client, "fast"), await make_group_type(client)
    group = await make_group(client, "empty", group_type, kind)
    await post(client, "/group_snapshots", {"group_snapshot": {"group_id": group}}, 400)
    await post(client, "/group_snapshots", {"group_snapshot": {"group_id": "none"}}, 404)
    await post(client, "/groups", {"group": {"group_type": group_type, "volume_types": []}}, 400)
    await post(client, "/groups", {"group": {"group_type": "none", "volume_types": [kind]}}, 404)
    await post(client, "/groups", {"group": {"group_type": group_type, "volume_types": ["none"]}}, 404)
    action = f"/groups/{group}/action"
    await post(client, action, {"reset_status": {"status": "nonsense"}}, 400)
    await post(client, action, {"reset_status": {"status": "creating"}})
    assert (await shown(client, f"/groups/{group}", "group"))["status"] == "creating"
    await post(client, action, {"delete": {}}, 400)
    await post(client, action, {"reset_status": {"status": "available"}})
    assert (await client.delete(f"{V3}/group_types/{group_type}")).status_code == 400
    client.headers.update(await stores[0].token_with(client, "member"))
    assert (await client.get(f"{V3}/groups/{group}")).status_code == 404


async def test_the_status_of_a_group_snapshot_is_an_administrators_word(
    stores: Stores, client: httpx.AsyncClient
) -> None:
    group, _, _ = await found(client)
    made = await post(client, "/group_snapshots", {"group_snapshot": {"group_id": group}})
    path = f"/group_snapshots/{made['group_snapshot']['id']}"
    await settle(stores)
    for word in ("creating", "error", "available"):
        await post(client, f"{path}/action", {"reset_status": {"status": word}})
        assert (await shown(client, path, "group_snapshot"))["status"] == word
    await post(client, f"{path}/action", {"reset_status": {"status": "nonsense"}}, 400)
    client.headers.update(speaking("3.13"))
    assert (await client.get(f"{V3}/group_snapshots")).status_code == 404
