"""Regions, services, endpoints, filters and policies as their clients see them, and what tokens then carry."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.twins.cloud import BASE, Cloud, found_cloud

V3 = "/identity/v3"
EP = f"{V3}/OS-EP-FILTER"


@pytest.fixture
async def cloud() -> Cloud:
    return await found_cloud()


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client() as client:
        client.headers.update(await cloud.admin(client))
        yield client


async def make(client: httpx.AsyncClient, noun: str, **attributes: Any) -> dict[str, Any]:
    answer = await client.post(f"{V3}/{noun}s", json={noun: attributes})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()[noun]
    return made


async def catalog(client: httpx.AsyncClient) -> dict[str, list[str]]:
    entries = (await client.get(f"{V3}/auth/catalog")).json()["catalog"]
    return {entry["type"]: sorted(each["url"] for each in entry["endpoints"]) for entry in entries}


async def test_a_region_lives_and_its_children_go_with_it(client: httpx.AsyncClient) -> None:
    north = await make(client, "region", id="north", description="cold")
    assert north["parent_region_id"] is None
    child = await make(client, "region", parent_region_id="north")
    assert child["description"] == ""
    listed = (await client.get(f"{V3}/regions", params={"parent_region_id": "north"})).json()["regions"]
    assert listed == [child]
    changed = await client.patch(f"{V3}/regions/north", json={"region": {"description": "colder", "color": "blue"}})
    assert (changed.json()["region"]["description"], changed.json()["region"]["color"]) == ("colder", "blue")
    circle = await client.patch(f"{V3}/regions/north", json={"region": {"parent_region_id": child["id"]}})
    assert circle.status_code == 400
    assert (await client.put(f"{V3}/regions/north", json={"region": {}})).status_code == 409
    assert (await client.put(f"{V3}/regions/a", json={"region": {"id": "b"}})).status_code == 400
    assert (await client.put(f"{V3}/regions/a", json={"region": {"parent_region_id": "no"}})).status_code == 404
    assert (await client.delete(f"{V3}/regions/north")).status_code == 204
    assert [each["id"] for each in (await client.get(f"{V3}/regions")).json()["regions"]] == ["RegionOne"]


async def test_the_clouds_own_region_can_be_described_and_not_deleted(client: httpx.AsyncClient) -> None:
    answer = await client.patch(f"{V3}/regions/RegionOne", json={"region": {"description": "home"}})
    assert (answer.status_code, answer.json()["region"]["description"]) == (200, "home")
    assert (await client.delete(f"{V3}/regions/RegionOne")).status_code == 403


async def test_a_told_service_is_in_the_catalogue_of_every_node(cloud: Cloud, client: httpx.AsyncClient) -> None:
    service = await make(client, "service", type="monitoring", name="watch")
    assert service["enabled"] is True
    place = await make(
        client,
        "endpoint",
        service_id=service["id"],
        interface="public",
        url="http://watch/%(project_id)s/$(user_id)s",
        region="south",
    )
    assert (place["region"], place["region_id"]) == ("south", "south")
    assert (await client.get(f"{V3}/regions/south")).status_code == 200
    token = (await cloud.sign_in(client)).json()["token"]
    user_id, project_id = token["user"]["id"], cloud.admin_project_id
    async with cloud.client("node3") as other:
        other.headers.update(client.headers)
        assert (await catalog(other))["monitoring"] == [f"http://watch/{project_id}/{user_id}"]
    assert (await client.delete(f"{V3}/regions/south")).status_code == 403
    off = await client.patch(f"{V3}/endpoints/{place['id']}", json={"endpoint": {"enabled": False}})
    assert off.json()["endpoint"]["enabled"] is False
    assert (await catalog(client))["monitoring"] == []
    assert (await client.delete(f"{V3}/services/{service['id']}")).status_code == 204
    assert (await client.get(f"{V3}/endpoints/{place['id']}")).status_code == 404
    assert "monitoring" not in await catalog(client)
    assert (await client.delete(f"{V3}/regions/south")).status_code == 204


@pytest.mark.parametrize(
    "wrong",
    [
        {"service_id": "nothing"},
        {"region_id": "nowhere"},
        {"interface": "secret"},
        {"url": "no address"},
        {"url": "http://x/%(password)s"},
        {"url": "http://x/%(project_id)d"},
        {"enabled": "True"},
    ],
)
async def test_a_wrong_endpoint_is_refused(client: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    service = await make(client, "service", type="monitoring")
    body = {"service_id": service["id"], "interface": "public", "url": "http://x", **wrong}
    answer = await client.post(f"{V3}/endpoints", json={"endpoint": body})
    assert answer.status_code == 400, answer.text
    found = (await client.get(f"{V3}/endpoints", params={"service_id": service["id"]})).json()["endpoints"]
    assert found == []


async def test_what_the_daemon_serves_is_listed_and_can_not_be_changed(client: httpx.AsyncClient) -> None:
    (service,) = (await client.get(f"{V3}/services", params={"type": "identity"})).json()["services"]
    places = (await client.get(f"{V3}/endpoints", params={"service_id": service["id"]})).json()["endpoints"]
    assert [each["url"] for each in places] == [f"{BASE}{V3}"] * 3
    assert (await client.delete(f"{V3}/services/{service['id']}")).status_code == 403
    patch = {"endpoint": {"enabled": False}}
    assert (await client.patch(f"{V3}/endpoints/{places[0]['id']}", json=patch)).status_code == 403


async def test_a_project_that_was_given_endpoints_sees_those_alone(cloud: Cloud, client: httpx.AsyncClient) -> None:
    service = await make(client, "service", type="monitoring")
    inside = await make(client, "endpoint", service_id=service["id"], interface="internal", url="http://in")
    await make(client, "endpoint", service_id=service["id"], interface="public", url="http://out")
    link = f"{EP}/projects/{cloud.admin_project_id}/endpoints/{inside['id']}"
    assert (await client.get(link)).status_code == 404
    assert (await client.put(link)).status_code == 204
    assert (await client.head(link)).status_code == 204
    assert await catalog(client) == {"monitoring": ["http://in"]}
    body = {"endpoint_group": {"name": "ours", "filters": {"interface": "public"}, "description": "all public"}}
    group = (await client.post(f"{EP}/endpoint_groups", json=body)).json()["endpoint_group"]
    same = {"endpoint_group": {"name": None, "filters": None, "description": "all that is public"}}
    changed = (await client.patch(f"{EP}/endpoint_groups/{group['id']}", json=same)).json()["endpoint_group"]
    assert changed == {**group, "description": "all that is public"}
    joined = f"{EP}/endpoint_groups/{group['id']}/projects/{cloud.admin_project_id}"
    assert (await client.put(joined)).status_code == 204
    assert (await client.get(joined)).json()["project_endpoint_group"]["endpoint_group_id"] == group["id"]
    assert await catalog(client) == {"identity": [f"{BASE}{V3}"], "monitoring": ["http://in", "http://out"]}
    found = (await client.get(f"{EP}/projects/{cloud.admin_project_id}/endpoints")).json()["endpoints"]
    assert sorted(each["url"] for each in found) == ["http://in", "http://out", f"{BASE}{V3}"]
    (project,) = (await client.get(f"{EP}/endpoints/{inside['id']}/projects")).json()["projects"]
    assert project["id"] == cloud.admin_project_id
    assert (await client.delete(f"{EP}/endpoint_groups/{group['id']}")).status_code == 204
    assert (await client.delete(link)).status_code == 204
    assert len((await catalog(client))["identity"]) == 3


@pytest.mark.parametrize("filters", [{"color": "blue"}, {"interface": "secret"}, {"service_id": 7}])
async def test_a_group_goes_by_what_endpoints_have(client: httpx.AsyncClient, filters: dict[str, Any]) -> None:
    body = {"endpoint_group": {"name": "ours", "filters": filters}}
    assert (await client.post(f"{EP}/endpoint_groups", json=body)).status_code == 400


async def test_an_endpoint_has_the_policy_that_is_nearest(client: httpx.AsyncClient) -> None:
    texts = [(await make_policy(client, name))["id"] for name in ("own", "region", "service")]
    service = await make(client, "service", type="monitoring")
    place = await make(client, "endpoint", service_id=service["id"], interface="public", url="http://x", region="r")
    await client.patch(f"{V3}/regions/r", json={"region": {"parent_region_id": "RegionOne"}})
    targets = [
        f"endpoints/{place['id']}",
        f"services/{service['id']}/regions/RegionOne",
        f"services/{service['id']}",
    ]
    for text, target in zip(texts, targets, strict=True):
        link = f"{V3}/policies/{text}/OS-ENDPOINT-POLICY/{target}"
        assert (await client.get(link)).status_code == 404
        assert (await client.put(link)).status_code == 204
        assert (await client.get(link)).status_code == 204
        found = (await client.get(f"{V3}/policies/{text}/OS-ENDPOINT-POLICY/endpoints")).json()["endpoints"]
        assert [each["id"] for each in found] == [place["id"]]
    effective = f"{V3}/endpoints/{place['id']}/OS-ENDPOINT-POLICY/policy"
    for text in texts:
        assert (await client.get(effective)).json()["policy"]["id"] == text
        assert (await client.delete(f"{V3}/policies/{text}")).status_code == 204
    assert (await client.get(effective)).status_code == 404


async def make_policy(client: httpx.AsyncClient, blob: str) -> dict[str, Any]:
    answer = await client.post(f"{V3}/policies", json={"policy": {"blob": blob, "type": "text/plain"}})
    assert answer.status_code == 201, answer.text
    policy: dict[str, Any] = answer.json()["policy"]
    changed = await client.patch(f"{V3}/policies/{policy['id']}", json={"policy": {"type": "application/json"}})
    assert changed.json()["policy"] == {**policy, "type": "application/json"}
    assert (await client.get(f"{V3}/policies", params={"type": "text/plain"})).json()["policies"] == []
    return policy
