"""Snapshots, clones, growing and going back, as Cinder's clients ask for them."""

from typing import Any

import httpx

from storage.snapshots.model import Snapshot
from storage.volumes.claims import ClaimVolume
from storage.volumes.model import Volume
from tests.api.stores import Stores
from tests.api.test_block_storage import V3, make, post, speaking


async def settle(stores: Stores) -> None:
    for _ in range(2):
        for reconciler in stores[1]:
            await reconciler.reconcile()


async def snapshot(client: httpx.AsyncClient, volume_id: str, **keys: Any) -> dict[str, Any]:
    made: dict[str, Any] = (await post(client, "/snapshots", {"snapshot": {"volume_id": volume_id, **keys}}))[
        "snapshot"
    ]
    return made


async def shown(client: httpx.AsyncClient, path: str, key: str) -> dict[str, Any]:
    answer = await client.get(f"{V3}{path}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()[key]
    return found


async def test_a_snapshot_is_made_described_listed_and_deleted(stores: Stores, client: httpx.AsyncClient) -> None:
    volume = await make(client, name="data")
    made = await snapshot(client, volume["id"], name="first", metadata={"a": "b"})
    assert (made["status"], made["size"], made["volume_id"]) == ("creating", 1, volume["id"])
    await settle(stores)
    path = f"/snapshots/{made['id']}"
    found = await shown(client, path, "snapshot")
    assert (found["status"], found["os-extended-snapshot-attributes:progress"]) == ("available", "100%")
    answer = await client.put(f"{V3}{path}", json={"snapshot": {"name": "second", "description": "words"}})
    assert (answer.status_code, answer.json()["snapshot"]["name"]) == (200, "second")
    listed = (await client.get(f"{V3}/snapshots/detail", params={"volume_id": volume["id"]})).json()["snapshots"]
    assert [each["id"] for each in listed] == [made["id"]]
    assert (await client.get(f"{V3}/snapshots", params={"status": "error"})).json()["snapshots"] == []
    assert (await client.delete(f"{V3}{path}")).status_code == 202
    assert (await client.get(f"{V3}{path}")).status_code == 404


async def test_the_metadata_of_a_snapshot(client: httpx.AsyncClient) -> None:
    made = await snapshot(client, (await make(client))["id"], metadata={"a": "1"})
    path = f"{V3}/snapshots/{made['id']}/metadata"
    assert (await client.post(path, json={"metadata": {"b": "2"}})).json() == {"metadata": {"a": "1", "b": "2"}}
    assert (await client.put(path, json={"metadata": {"c": "3"}})).json() == {"metadata": {"c": "3"}}
    assert (await client.put(f"{path}/c", json={"meta": {"c": "4"}})).json() == {"meta": {"c": "4"}}
    assert (await client.put(f"{path}/c", json={"meta": {"d": "4"}})).status_code == 400
    assert (await client.get(f"{path}/c")).json() == {"meta": {"c": "4"}}
    assert (await client.delete(f"{path}/c")).status_code == 200
    assert (await client.delete(f"{path}/c")).status_code == 404


async def test_each_microversion_adds_its_keys_to_a_snapshot(client: httpx.AsyncClient) -> None:
    made = await snapshot(client, (await make(client))["id"])
    before: set[str] = set()
    for version, added in (("3.0", set()), ("3.14", {"group_snapshot_id"}), ("3.41", {"user_id"})):
        answer = await client.get(f"{V3}/snapshots/{made['id']}", headers=speaking(version))
        keys = set(answer.json()["snapshot"])
        assert not before or keys - before == added
        before = keys


async def test_a_volume_with_snapshots_goes_only_with_them(stores: Stores, client: httpx.AsyncClient) -> None:
    volume = await make(client)
    await snapshot(client, volume["id"])
    await settle(stores)
    path = f"{V3}/volumes/{volume['id']}"
    refused = await client.delete(path)
    assert (refused.status_code, "snapshots" in refused.text) == (400, True)
    assert (await client.delete(path, params={"cascade": "true"})).status_code == 202
    await settle(stores)
    assert (await client.get(path)).status_code == 404
    assert (await client.get(f"{V3}/snapshots")).json()["snapshots"] == []


async def test_volumes_are_made_from_snapshots_and_from_volumes(stores: Stores, client: httpx.AsyncClient) -> None:
    source = await make(client, name="source")
    made = await snapshot(client, source["id"])
    await settle(stores)
    copy = await make(client, snapshot_id=made["id"], size=2)
    assert (copy["snapshot_id"], copy["status"], copy["size"]) == (made["id"], "available", 2)
    clone = await make(client, source_volid=source["id"])
    assert (clone["source_volid"], clone["status"]) == (source["id"], "creating")
    await settle(stores)
    found = await shown(client, f"/volumes/{clone['id']}", "volume")
    assert (found["status"], found["bootable"]) == ("available", "false")
    too_small = await client.post(f"{V3}/volumes", json={"volume": {"size": 1, "source_volid": copy["id"]}})
    assert too_small.status_code == 400
    nothing = await client.post(f"{V3}/volumes", json={"volume": {"size": 1, "snapshot_id": source["id"]}})
    assert nothing.status_code == 404


async def test_a_clone_that_is_not_made_yet_can_be_deleted(stores: Stores, client: httpx.AsyncClient) -> None:
    source = await make(client)
    clone = await make(client, source_volid=source["id"])
    answer = await client.request("POST", f"{V3}/volumes/{clone['id']}/action", json={"os-force_delete": {}})
    assert answer.status_code == 202
    await settle(stores)
    assert (await client.get(f"{V3}/volumes/{clone['id']}")).status_code == 404


async def test_a_volume_grows_and_never_shrinks(client: httpx.AsyncClient) -> None:
    volume = await make(client)
    path = f"/volumes/{volume['id']}/action"
    await post(client, path, {"os-extend": {"new_size": 3}})
    assert (await shown(client, f"/volumes/{volume['id']}", "volume"))["size"] == 3
    for wrong in (3, 1, 0, "x"):
        await post(client, path, {"os-extend": {"new_size": wrong}}, 400)


async def test_a_volume_goes_back_to_its_newest_snapshot(stores: Stores, client: httpx.AsyncClient) -> None:
    cluster, volume = stores[0].shared.cluster(), await make(client)
    await cluster.propose(ClaimVolume(volume_id=volume["id"], node_id=cluster.node_id, claim_id="x"))
    older = await snapshot(client, volume["id"])
    await settle(stores)
    newer = await snapshot(client, volume["id"])
    await settle(stores)
    path = f"/volumes/{volume['id']}/action"
    refused = await client.post(f"{V3}{path}", json={"revert": {"snapshot_id": newer["id"]}})
    assert refused.status_code == 400
    client.headers.update(speaking("3.40"))
    await post(client, path, {"revert": {"snapshot_id": older["id"]}}, 400)
    before = cluster.view().need(Volume, volume["id"]).layer
    await post(client, path, {"revert": {"snapshot_id": newer["id"]}})
    assert cluster.view().need(Volume, volume["id"]).layer != before


async def test_an_administrator_says_the_status_of_a_snapshot(stores: Stores, client: httpx.AsyncClient) -> None:
    made = await snapshot(client, (await make(client))["id"])
    await settle(stores)
    path = f"/snapshots/{made['id']}"
    for word in ("error", "available"):
        await post(client, f"{path}/action", {"os-reset_status": {"status": word}})
        assert (await shown(client, path, "snapshot"))["status"] == word
    await post(client, f"{path}/action", {"os-reset_status": {"status": "nonsense"}}, 400)
    await post(client, f"{path}/action", {"os-force_delete": None})
    assert (await client.get(f"{V3}{path}")).status_code == 404


async def test_a_member_tells_the_progress_of_a_snapshot_and_no_more(stores: Stores, client: httpx.AsyncClient) -> None:
    admin = dict(client.headers)
    user = await stores[0].token_with(client, "member")
    client.headers.update(user)
    made = await snapshot(client, (await make(client))["id"])
    path = f"/snapshots/{made['id']}"
    action = f"{path}/action"
    for body in ({"os-force_delete": {}}, {"os-reset_status": {"status": "error"}}):
        await post(client, action, body, 403)
    await post(client, action, {"os-update_snapshot_status": {"status": "deleting"}}, 400)
    await post(client, action, {"os-update_snapshot_status": {"status": "error", "progress": "much"}}, 400)
    await post(client, action, {"os-update_snapshot_status": {"status": "error", "progress": "80%"}})
    found = await shown(client, path, "snapshot")
    assert (found["status"], found["os-extended-snapshot-attributes:progress"]) == ("error", "80%")
    await post(client, action, {"os-update_snapshot_status": {"status": "available"}}, 400)
    client.headers.update(admin)
    await post(client, action, {"os-reset_status": {"status": "error_deleting"}})
    assert (await client.delete(f"{V3}{path}")).status_code == 400
    await post(client, action, {"os-force_delete": {}})
    assert (await client.get(f"{V3}{path}")).status_code == 404


async def test_a_snapshot_of_no_volume_is_not_found(client: httpx.AsyncClient) -> None:
    await post(client, "/snapshots", {"snapshot": {"volume_id": None}}, 404)
    await post(client, "/snapshots", {"snapshot": {"name": "of nothing"}}, 400)


async def test_snapshots_count_against_the_quota(client: httpx.AsyncClient) -> None:
    volume = await make(client)
    project = (
        volume.get("os-vol-tenant-attr:tenant_id")
        or (await shown(client, f"/volumes/{volume['id']}", "volume"))["os-vol-tenant-attr:tenant_id"]
    )
    answer = await client.put(f"{V3}/os-quota-sets/{project}", json={"quota_set": {"snapshots": 1}})
    assert answer.status_code == 200
    await snapshot(client, volume["id"])
    over = await client.post(f"{V3}/snapshots", json={"snapshot": {"volume_id": volume["id"]}})
    assert over.status_code == 413


async def test_snapshots_go_with_their_volume_to_another_project(stores: Stores, client: httpx.AsyncClient) -> None:
    user = await stores[0].token_with(client, "member")
    volume = await make(client)
    made = await snapshot(client, volume["id"])
    await settle(stores)
    client.headers.update(speaking("3.55"))
    for no_snapshots, kept in ((True, 200), (False, 404)):
        wanted = {"transfer": {"volume_id": volume["id"], "no_snapshots": no_snapshots}}
        offer = (await post(client, "/volume-transfers", wanted))["transfer"]
        body = {"accept": {"auth_key": offer["auth_key"]}}
        path = f"{V3}/volume-transfers/{offer['id']}/accept"
        # The first time the administrator takes it back: nothing but the volume itself moves.
        taken = await client.post(path, json=body, headers={} if no_snapshots else user)
        assert taken.status_code == 202, taken.text
        view = stores[0].shared.machine.picture
        owner = view.need(Snapshot, made["id"]).project_id
        assert (owner == stores[0].admin_project_id) is (kept == 200)
    used = (await client.get(f"{V3}/limits", headers=user)).json()["limits"]["absolute"]
    assert (used["totalVolumesUsed"], used["totalSnapshotsUsed"], used["totalGigabytesUsed"]) == (1, 1, 2)
    assert (await client.get(f"{V3}/snapshots/{made['id']}", headers=user)).status_code == 200
