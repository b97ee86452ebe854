"""Volumes as their clients see them: Cinder's words, numbers and headers."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from storage.volumes.model import Volume
from tests.api.stores import Stores, openstack
from tests.twins.cloud import api_certificate, serving

V3 = "/volume/v3"


async def make(client: httpx.AsyncClient, **keys: Any) -> dict[str, Any]:
    answer = await client.post(f"{V3}/volumes", json={"volume": {"size": 1, **keys}})
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()["volume"]
    return made


async def test_versions_are_told_to_anyone(stores: Stores) -> None:
    async with stores[0].client() as stranger:
        for path, status in (("/volume/", 300), (f"{V3}/", 200)):
            answer = await stranger.get(path)
            assert answer.status_code == status
            [version] = answer.json()["versions"]
            assert (version["id"], version["min_version"]) == ("v3.0", "3.0")
        assert (await stranger.get(f"{V3}/volumes")).status_code == 401


async def test_a_volumes_life(stores: Stores, client: httpx.AsyncClient) -> None:
    volume = await make(client, size="2", name="data", description="mine", metadata={"a": "b"})
    assert (volume["status"], volume["size"], volume["bootable"]) == ("available", 2, "false")
    detail = (await client.get(f"{V3}/volumes/{volume['id']}")).json()["volume"]
    assert (detail["metadata"], detail["os-vol-tenant-attr:tenant_id"]) == ({"a": "b"}, stores[0].admin_project_id)
    change = {"volume": {"name": "new", "description": "yours"}}
    assert (await client.put(f"{V3}/volumes/{volume['id']}", json=change)).json()["volume"]["name"] == "new"
    added = await client.post(f"{V3}/volumes/{volume['id']}/metadata", json={"metadata": {"c": "d"}})
    assert added.json() == {"metadata": {"a": "b", "c": "d"}}
    assert (await client.delete(f"{V3}/volumes/{volume['id']}/metadata/c")).status_code == 200
    assert (await client.delete(f"{V3}/volumes/{volume['id']}")).status_code == 202
    assert (await client.get(f"{V3}/volumes/{volume['id']}")).json()["volume"]["status"] == "deleting"
    await stores[0].shared.settle(*stores[1])
    gone = await client.get(f"{V3}/volumes/{volume['id']}")
    assert (gone.status_code, "itemNotFound" in gone.json()) == (404, True)


async def test_each_volume_has_three_replicas(stores: Stores, client: httpx.AsyncClient) -> None:
    volume = await make(client, size=3)
    record = stores[0].shared.machine.picture.need(Volume, volume["id"])
    assert (record.replicas, len(record.layout)) == (3, 3)


@pytest.mark.parametrize(
    "volume",
    [
        {}, {"size": 0}, {"size": -1}, {"size": "many"}, {"size": True}, {"size": 10**9},
        {"size": 1, "name": "n" * 256}, {"size": 1, "imageRef": "x"},
        {"size": 1, "availability_zone": "moon"},
        {"size": 1, "metadata": {"k": "v" * 256}},
    ],
)  # fmt: skip
async def test_a_wrong_creation_is_refused(client: httpx.AsyncClient, volume: object) -> None:
    assert (await client.post(f"{V3}/volumes", json={"volume": volume})).status_code == 400
    assert (await client.get(f"{V3}/volumes")).json()["volumes"] == []


async def test_other_projects_volumes_are_as_if_not_there(stores: Stores, client: httpx.AsyncClient) -> None:
    volume = await make(client)
    user = await stores[0].token_with(client, "member")
    assert (await client.get(f"{V3}/volumes/{volume['id']}", headers=user)).status_code == 404
    assert (await client.delete(f"{V3}/volumes/{volume['id']}", headers=user)).status_code == 404
    assert (await client.get(f"{V3}/volumes/detail", headers=user)).json()["volumes"] == []


async def test_lists_are_filtered_and_paged(client: httpx.AsyncClient) -> None:
    for number in range(3):
        await make(client, name=f"v{number}")
    found = (await client.get(f"{V3}/volumes/detail?name=v1")).json()["volumes"]
    assert [volume["name"] for volume in found] == ["v1"]
    first = (await client.get(f"{V3}/volumes?limit=2&sort=name:asc")).json()
    assert [volume["name"] for volume in first["volumes"]] == ["v0", "v1"]
    second = (await client.get(first["volumes_links"][0]["href"])).json()
    assert [volume["name"] for volume in second["volumes"]] == ["v2"]
    assert "volumes_links" not in second


async def test_types_zones_and_limits_can_be_read(client: httpx.AsyncClient) -> None:
    [kind] = (await client.get(f"{V3}/types")).json()["volume_types"]
    assert (await client.get(f"{V3}/types/{kind['id']}")).json()["volume_type"]["name"] == kind["name"]
    await make(client, size=2)
    limits = (await client.get(f"{V3}/limits")).json()["limits"]["absolute"]
    assert (limits["totalVolumesUsed"], limits["totalGigabytesUsed"]) == (1, 2)
    zones = (await client.get(f"{V3}/os-availability-zone")).json()["availabilityZoneInfo"]
    assert [zone["zoneName"] for zone in zones] == ["nova"]


async def test_a_microversion_that_is_not_served_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{V3}/volumes", headers={"openstack-api-version": "volume 3.99"})
    assert answer.status_code == 406


async def test_the_unmodified_client_manages_volumes(stores: Stores, tmp_path: Path) -> None:
    context, ca = api_certificate(tmp_path)
    async with serving(stores[0], context) as base:
        created = json.loads(await openstack(base, ca, "volume", "create", "--size", "1", "data", "-f", "json"))
        assert created["size"] == 1
        await openstack(base, ca, "volume", "set", "--property", "a=b", "data")
        shown = json.loads(await openstack(base, ca, "volume", "show", "data", "-f", "json"))
        assert (shown["status"], shown["properties"]) == ("available", {"a": "b"})
        assert json.loads(await openstack(base, ca, "volume", "type", "list", "-f", "json"))[0]["Name"] == "__DEFAULT__"
        await openstack(base, ca, "volume", "delete", "data")
        await stores[0].shared.settle(*stores[1])
        assert "No Volume found" in await openstack(base, ca, "volume", "show", "data", ok=False)
