"""What surrounds volumes in Cinder's API: microversions, types, quotas and actions, with the codes clients know."""

from typing import Any

import httpx

from storage.pools.model import Disk
from storage.qos.model import guest_limits
from storage.volumes.model import Volume
from storage.volumes.moves import steps
from storage.volumes.moving import JoinReplicas
from tests.api.stores import Stores

V3 = "/volume/v3"


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


async def test_a_qos_of_a_type_says_what_its_guests_may_do(stores: Stores, client: httpx.AsyncClient) -> None:
    type_id = await make_type(client, "limited")
    specs = {"name": "slow", "consumer": "front-end", "total_iops_sec": "500", "read_bytes_sec_per_gb": "1000"}
    qos_id = (await post(client, "/qos-specs", {"qos_specs": specs}, 200))["qos_specs"]["id"]
    await post(client, "/qos-specs", {"qos_specs": specs}, 409)
    await post(client, "/qos-specs", {"qos_specs": {"name": "odd", "total_iops_sec": "many"}}, 400)
    path = f"{V3}/qos-specs/{qos_id}"
    assert (await client.get(f"{path}/associate?vol_type_id={type_id}")).status_code == 202
    assert (await client.get(f"{path}/associations")).json()["qos_associations"][0]["name"] == "limited"
    assert (await client.get(f"{V3}/types/{type_id}")).json()["volume_type"]["qos_specs_id"] == qos_id
    view = stores[0].shared.machine.picture
    assert guest_limits(view, type_id, 10) == {"read_bytes_sec": 10_000, "total_iops_sec": 500}
    assert guest_limits(view, "", 10) == {}
    assert (await client.delete(path)).status_code == 400
    removed = await client.put(f"{path}/delete_keys", json={"keys": ["total_iops_sec"]})
    assert removed.status_code == 202
    assert (await client.delete(f"{path}?force=True")).status_code == 202
    assert (await client.get(f"{V3}/types/{type_id}")).json()["volume_type"]["qos_specs_id"] is None


async def test_who_has_the_key_gets_the_volume_and_its_place_in_the_quota(
    stores: Stores, client: httpx.AsyncClient
) -> None:
    volume = await make(client, size=2)
    for path, version in (("/os-volume-transfer", "3.0"), ("/volume-transfers", "3.57")):
        client.headers.update(speaking(version))
        offer = (await post(client, path, {"transfer": {"volume_id": volume["id"], "name": "t"}}))["transfer"]
        assert ("source_project_id" in offer) is (version == "3.57")
        assert (await client.get(f"{V3}/volumes/{volume['id']}")).json()["volume"]["status"] == "awaiting-transfer"
        shown = (await client.get(f"{V3}{path}/{offer['id']}")).json()["transfer"]
        assert "auth_key" not in shown
        assert (await client.delete(f"{V3}{path}/{offer['id']}")).status_code == 202
    other = await make(client)
    await post(client, "/os-volume-transfer", {"transfer": {"volume_id": other["id"], "name": "by name"}})
    assert (await client.delete(f"{V3}/os-volume-transfer/by%20name")).status_code == 202
    await post(client, "/os-volume-transfer", {"transfer": {"volume_id": other["id"]}})
    assert (await client.delete(f"{V3}/volumes/{other['id']}?force=True", headers=speaking("3.22"))).status_code == 400
    assert (await client.delete(f"{V3}/volumes/{other['id']}?force=True")).status_code == 202
    offer = (await post(client, "/os-volume-transfer", {"transfer": {"volume_id": volume["id"]}}))["transfer"]
    user = await stores[0].token_with(client, "member")
    path = f"{V3}/os-volume-transfer/{offer['id']}"
    assert (await client.get(path, headers=user)).status_code == 404
    wrong = await client.post(f"{path}/accept", json={"accept": {"auth_key": "guess"}}, headers=user)
    assert wrong.status_code == 400
    taken = await client.post(f"{path}/accept", json={"accept": {"auth_key": offer["auth_key"]}}, headers=user)
    assert (taken.status_code, taken.json()["transfer"]["volume_id"]) == (202, volume["id"])
    assert (await client.get(f"{V3}/volumes/{volume['id']}", headers=user)).json()["volume"]["status"] == "available"
    used = (await client.get(f"{V3}/limits", headers=user)).json()["limits"]["absolute"]
    assert (used["totalVolumesUsed"], used["totalGigabytesUsed"]) == (1, 2)
    assert (await client.get(f"{V3}/limits")).json()["limits"]["absolute"]["totalVolumesUsed"] == 0


async def test_what_no_pool_can_do_is_an_error_and_a_message(client: httpx.AsyncClient) -> None:
    await make_type(client, "odd", extra_specs={"storage_protocol": "pigeons"})
    client.headers.update(speaking("3.3"))
    volume = await make(client, volume_type="odd")
    shown = (await client.get(f"{V3}/volumes/{volume['id']}")).json()["volume"]
    assert shown["status"] == "error"
    [message] = (await client.get(f"{V3}/messages")).json()["messages"]
    assert (message["resource_uuid"], message["event_id"]) == (volume["id"], "VOLUME_VOLUME_001_003")
    assert "storage_protocol=pigeons" in message["user_message"]
    assert (await client.delete(f"{V3}/messages/{message['id']}")).status_code == 204
    assert (await client.get(f"{V3}/messages/{message['id']}")).status_code == 404
    assert (await client.delete(f"{V3}/volumes/{volume['id']}")).status_code == 202
    assert (await client.get(f"{V3}/messages", headers=speaking("3.2"))).status_code == 404


async def test_a_node_that_is_switched_off_gets_no_new_volumes(stores: Stores, client: httpx.AsyncClient) -> None:
    services = (await client.get(f"{V3}/os-services?binary=cinder-volume")).json()["services"]
    assert [(each["host"], each["state"]) for each in services] == [(f"node{n}@noded", "up") for n in (1, 2, 3)]
    off = {"host": "node1@noded", "binary": "cinder-volume", "disabled_reason": "new disks"}
    answer = await client.put(f"{V3}/os-services/disable-log-reason", json=off)
    assert answer.json() | {"service": "", "binary": ""} == {
        "host": "node1@noded", "service": "", "binary": "", "disabled": True, "status": "disabled",
        "disabled_reason": "new disks",
    }  # fmt: skip
    volume = await make(client)
    record = stores[0].shared.machine.picture.need(Volume, volume["id"])
    homes = {disk.node_id for disk in stores[0].shared.machine.picture.all(Disk) if disk.id in record.disk_ids}
    assert homes == {"node2", "node3"}
    on = {"host": "node1@noded", "binary": "cinder-volume"}
    assert (await client.put(f"{V3}/os-services/enable", json=on)).json()["status"] == "enabled"
    assert (await client.put(f"{V3}/os-services/enable", json=on | {"host": "moon"})).status_code == 404
    assert (await client.put(f"{V3}/os-services/freeze", json={"host": "moon"})).status_code == 400
    pools = (await client.get(f"{V3}/scheduler-stats/get_pools?detail=True")).json()["pools"]
    assert [pool["name"] for pool in pools] == [f"node{n}@noded#pool" for n in (1, 2, 3)]
    shown = (await client.get(f"{V3}/volumes/{volume['id']}")).json()["volume"]
    assert shown["os-vol-host-attr:host"] in {pool["name"] for pool in pools}
    found = (await client.get(f"{V3}/capabilities/node1@noded")).json()
    assert found["vendor_name"] == pools[0]["capabilities"]["vendor_name"]
    host = (await client.get(f"{V3}/os-hosts/node2@noded")).json()["host"]
    assert host[0]["resource"]["volume_count"] == "1"


async def test_a_group_type_and_its_specs(stores: Stores, client: httpx.AsyncClient) -> None:
    client.headers.update(speaking("3.11"))
    new = {"name": "together", "is_public": False, "group_specs": {"consistent_group_snapshot_enabled": "<is> True"}}
    made = (await post(client, "/group_types", {"group_type": new}))["group_type"]
    path = f"{V3}/group_types/{made['id']}"
    assert made["group_specs"] == new["group_specs"]
    await post(client, "/group_types", {"group_type": new}, 409)
    assert (await client.get(f"{V3}/group_types")).json()["group_types"] == []
    assert (await client.get(f"{V3}/group_types?is_public=None")).json()["group_types"] == [made]
    user = await stores[0].token_with(client, "member") | speaking("3.11")
    assert (await client.get(path, headers=user)).status_code == 404
    assert (await client.put(path, json={"group_type": {"is_public": True}})).status_code == 200
    assert "group_specs" not in (await client.get(path, headers=user)).json()["group_type"]
    assert (await client.post(f"{path}/group_specs", json={"group_specs": {"a": "b"}})).status_code == 202
    assert (await client.put(f"{path}/group_specs/a", json={"b": "c"})).status_code == 400
    assert (await client.put(f"{path}/group_specs/a", json={"a": "c"})).json() == {"a": "c"}
    assert (await client.delete(f"{path}/group_specs/a")).status_code == 202
    assert (await client.get(f"{path}/group_specs/a")).status_code == 404
    assert (await client.get(path, headers=speaking("3.10"))).status_code == 404
    assert (await client.delete(path)).status_code == 202


async def test_a_volume_changes_its_type_in_place(stores: Stores, client: httpx.AsyncClient) -> None:
    one = await make_type(client, "one", extra_specs={"replicas": "1"})
    several = await make_type(client, "several", extra_specs={"multiattach": "<is> True"})
    far = await make_type(client, "far", extra_specs={"volume_backend_name": "elsewhere"})
    volume = await make(client, volume_type=one, name="data")
    path = f"/volumes/{volume['id']}"
    refused: tuple[dict[str, str], ...] = (
        {"new_type": "none"},
        {"new_type": one},
        {"new_type": far},
        {"new_type": several, "migration_policy": "sometimes"},
    )
    for value in refused:
        await post(client, f"{path}/action", {"os-retype": value}, 400)
    cluster = stores[0].shared.cluster(sorted(stores[0].shared.drivers)[0])
    assert steps(cluster.view(), 0) == []
    await post(client, f"{path}/action", {"os-retype": {"new_type": "several", "migration_policy": "never"}})
    found = (await client.get(f"{V3}{path}")).json()["volume"]
    assert (found["volume_type"], found["multiattach"], found["name"]) == ("several", True, "data")
    [join] = steps(cluster.view(), 0)
    assert isinstance(join, JoinReplicas)
    assert (join.volume_id, len(join.joins)) == (volume["id"], 2)
    await post(client, f"{path}/action", {"os-reset_status": {"status": "error"}})
    await post(client, f"{path}/action", {"os-retype": {"new_type": one}}, 400)


async def test_what_has_no_meaning_here_is_refused_with_the_reason(client: httpx.AsyncClient) -> None:
    volume = await make(client)
    body: dict[str, object] = {"os-migrate_volume": {"host": "node2@noded#pool", "force_host_copy": False}}
    answer = await client.post(f"{V3}/volumes/{volume['id']}/action", json=body)
    assert (answer.status_code, "noded disk drain" in answer.text) == (400, True)
    for path, word in (
        ("os-services/failover", "no other backend"),
        ("os-services/get-log", "journalctl"),
        ("os-services/set-log", "journalctl"),
    ):
        answer = await client.put(f"{V3}/{path}", json={}, headers=speaking("3.32"))
        assert (answer.status_code, word in answer.text) == (400, True)
    answer = await client.put(f"{V3}/clusters/enable", json={"name": "c"}, headers=speaking("3.7"))
    assert answer.status_code == 404
    for noun in ("volumes", "snapshots"):
        path = f"{V3}/manageable_{noun}/detail"
        answer = await client.get(path, params={"host": "node1@noded#pool"}, headers=speaking("3.8"))
        assert answer.json() == {f"manageable-{noun}": []}
        assert (await client.get(path, params={"host": "moon"}, headers=speaking("3.8"))).status_code == 400
