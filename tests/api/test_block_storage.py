"""What surrounds volumes in Cinder's API: microversions, types, quotas and actions, with the codes clients know."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from noded.core.reconciler import Reconciler
from storage.volumes.model import Volume
from tests.api.stores import found_stores
from tests.twins.cloud import Cloud

V3 = "/volume/v3"
Stores = tuple[Cloud, list[Reconciler]]


@pytest.fixture
async def stores(tmp_path: Path) -> Stores:
    return await found_stores(tmp_path)


@pytest.fixture
async def client(stores: Stores) -> AsyncIterator[httpx.AsyncClient]:
    async with stores[0].client() as client:
        client.headers.update(await stores[0].admin(client))
        yield client


def speaking(version: str) -> dict[str, str]:
    return {"openstack-api-version": f"volume {version}"}


async def post(client: httpx.AsyncClient, path: str, body: object, status: int = 202) -> Any:
    answer = await client.post(f"{V3}{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def make(client: httpx.AsyncClient, **keys: Any) -> dict[str, Any]:
    made: dict[str, Any] = (await post(client, "/volumes", {"volume": {"size": 1, **keys}}))["volume"]
    return made


async def make_type(client: httpx.AsyncClient, name: str, **keys: Any) -> str:
    made = await post(client, "/types", {"volume_type": {"name": name, **keys}}, 200)
    return str(made["volume_type"]["id"])


async def test_each_microversion_adds_its_keys_and_no_other(client: httpx.AsyncClient) -> None:
    volume = await make(client)
    before: set[str] = set()
    for version, added in (
        ("3.0", set()),
        ("3.13", {"group_id"}),
        ("3.21", {"provider_id"}),
        ("3.48", {"service_uuid", "shared_targets"}),
        ("3.61", {"cluster_name"}),
        ("3.63", {"volume_type_id"}),
        ("3.65", {"consumes_quota"}),
        ("3.71", set()),
    ):
        answer = await client.get(f"{V3}/volumes/{volume['id']}", headers=speaking(version))
        assert answer.headers["openstack-api-version"] == f"volume {version}"
        assert "OpenStack-API-Version" in answer.headers["vary"]
        keys = set(answer.json()["volume"])
        assert not before or keys - before == added, version
        before = keys
    assert (await client.get(f"{V3}/volumes", headers=speaking("3.72"))).status_code == 406
    assert (await client.get(f"{V3}/volumes", headers=speaking("three"))).status_code == 400
    assert (await client.get(f"{V3}/volumes/summary", headers=speaking("3.11"))).status_code == 404
    found = (await client.get(f"{V3}/volumes/summary", headers=speaking("3.12"))).json()
    assert found == {"volume-summary": {"total_size": 1, "total_count": 1}}


async def test_the_project_may_stand_in_the_path_if_it_is_the_callers(
    stores: Stores, client: httpx.AsyncClient
) -> None:
    volume = await make(client)
    own = f"{V3}/{stores[0].admin_project_id}"
    assert (await client.get(f"{own}/volumes/{volume['id']}")).json()["volume"]["id"] == volume["id"]
    wrong = await client.get(f"{V3}/{'0' * 32}/volumes")
    assert (wrong.status_code, "Malformed request url" in wrong.json()["badRequest"]["message"]) == (400, True)
    assert (await client.delete(f"{V3}/volumes/")).status_code == 404
    assert (await client.get(f"{V3}/volumes/")).status_code == 404


async def test_a_type_says_how_many_replicas_its_volumes_have(stores: Stores, client: httpx.AsyncClient) -> None:
    type_id = await make_type(client, "scratch", extra_specs={"replicas": "1"})
    volume = await make(client, volume_type="scratch")
    assert volume["volume_type"] == "scratch"
    record = stores[0].shared.machine.picture.need(Volume, volume["id"])
    assert (record.replicas, record.replicas_wanted, record.type_id) == (1, 1, type_id)
    assert (await client.delete(f"{V3}/types/{type_id}")).status_code == 400
    refused = await client.post(f"{V3}/types/{type_id}/extra_specs", json={"extra_specs": {"replicas": "4"}})
    assert (refused.status_code, "from 1 to 3" in refused.text) == (400, True)
    assert (await client.delete(f"{V3}/volumes/{volume['id']}")).status_code == 202
    assert (await client.delete(f"{V3}/types/{type_id}")).status_code == 202
    assert (await client.get(f"{V3}/types/{type_id}")).status_code == 404


async def test_a_private_type_is_for_those_who_may_use_it(stores: Stores, client: httpx.AsyncClient) -> None:
    type_id = await make_type(client, "private", **{"os-volume-type-access:is_public": False})
    user = await stores[0].token_with(client, "member")
    body = {"volume": {"size": 1, "volume_type": type_id}}
    assert (await client.post(f"{V3}/volumes", json=body, headers=user)).status_code == 404
    projects = (await client.get("/identity/v3/projects?name=only-member")).json()["projects"]
    access = {"addProjectAccess": {"project": projects[0]["id"]}}
    await post(client, f"/types/{type_id}/action", access)
    assert (await client.post(f"{V3}/types/{type_id}/action", json=access)).status_code == 409
    assert (await client.post(f"{V3}/volumes", json=body, headers=user)).status_code == 202
    listed = (await client.get(f"{V3}/types", headers=user)).json()["volume_types"]
    assert {kind["name"] for kind in listed} == {"__DEFAULT__", "private"}
    assert (await client.get(f"{V3}/types?is_public=False")).json()["volume_types"][0]["id"] == type_id


async def test_a_project_has_a_default_type_of_its_own(stores: Stores, client: httpx.AsyncClient) -> None:
    type_id, path = await make_type(client, "own"), f"{V3}/default-types/{stores[0].admin_project_id}"
    client.headers.update(speaking("3.62"))
    answer = await client.put(path, json={"default_type": {"volume_type": "own"}})
    assert answer.json()["default_type"]["volume_type_id"] == type_id
    assert (await client.get(f"{V3}/types/default")).json()["volume_type"]["id"] == type_id
    assert (await make(client))["volume_type"] == "own"
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_quotas_hold_for_volumes_gigabytes_and_types(stores: Stores, client: httpx.AsyncClient) -> None:
    path = f"{V3}/os-quota-sets/{stores[0].admin_project_id}"
    await make_type(client, "fast")
    limits = {"volumes": 2, "gigabytes": 5, "volumes_fast": 1, "per_volume_gigabytes": 4}
    answer = await client.put(path, json={"quota_set": limits})
    assert limits.items() <= answer.json()["quota_set"].items()
    await make(client, size=3, volume_type="fast")
    for body, word in (
        ({"size": 5}, "larger than maximum allowed limit 4G"),
        ({"size": 3}, "gigabytes quota. Requested 3G, quota is 5G and 3G has been consumed"),
        ({"size": 1, "volume_type": "fast"}, "quota 'volumes_fast'"),
    ):
        refused = await client.post(f"{V3}/volumes", json={"volume": body})
        assert (refused.status_code, word in refused.json()["overLimit"]["message"]) == (413, True), refused.text
    second = await make(client)
    usage = (await client.get(f"{path}?usage=True")).json()["quota_set"]
    assert usage["gigabytes"] == {"limit": 5, "in_use": 4, "reserved": 0}
    assert usage["volumes_fast"] == {"limit": 1, "in_use": 1, "reserved": 0}
    assert (await client.post(f"{V3}/volumes", json={"volume": {"size": 1}})).status_code == 413
    await client.delete(f"{V3}/volumes/{second['id']}")
    await make(client)
    assert (await client.put(path, json={"quota_set": {"moons": 1}})).status_code == 400
    assert (await client.delete(path)).status_code == 200
    assert (await client.get(path)).json()["quota_set"]["volumes"] > 2


async def test_actions_change_what_goes_on_with_a_volume(stores: Stores, client: httpx.AsyncClient) -> None:
    volume = await make(client)
    path = f"/volumes/{volume['id']}"

    async def shown() -> Any:
        return (await client.get(f"{V3}{path}")).json()["volume"]

    await post(client, f"{path}/action", {"os-reserve": {}})
    assert (await shown())["status"] == "attaching"
    await post(client, f"{path}/action", {"os-reserve": {}}, 400)
    assert (await client.delete(f"{V3}{path}")).status_code == 400
    await post(client, f"{path}/action", {"os-unreserve": {}})
    await post(client, f"{path}/action", {"os-set_bootable": {"bootable": "True"}}, 200)
    await post(client, f"{path}/action", {"os-update_readonly_flag": {"readonly": True}})
    words = {"image_name": "tiny", "kernel_id": "k"}
    assert await post(client, f"{path}/action", {"os-set_image_metadata": {"metadata": words}}, 200)
    await post(client, f"{path}/action", {"os-unset_image_metadata": {"key": "kernel_id"}}, 200)
    await post(client, f"{path}/action", {"os-unset_image_metadata": {"key": "kernel_id"}}, 404)
    now = await shown()
    assert (now["status"], now["bootable"], now["metadata"]) == ("available", "true", {"readonly": "True"})
    assert now["volume_image_metadata"] == {"image_name": "tiny"}
    await post(client, f"{path}/action", {"os-reset_status": {"status": "error"}})
    assert (await shown())["status"] == "error"
    await post(client, f"{path}/action", {"os-reset_status": {"status": "moon"}}, 400)
    await post(client, f"{path}/action", {"os-made-up": {}}, 400)
    user = await stores[0].token_with(client, "member")
    refused = await client.post(f"{V3}{path}/action", json={"os-force_delete": {}}, headers=user)
    assert refused.status_code == 403
    await post(client, f"{path}/action", {"os-force_delete": {}})
    assert (await shown())["status"] == "deleting"
