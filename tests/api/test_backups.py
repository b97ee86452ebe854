"""Backups as their clients see them: Cinder's words, numbers, microversions and the unmodified client's verbs."""

import json
from pathlib import Path
from typing import Any

import httpx

from tests.api.stores import Stores, openstack
from tests.twins.cloud import api_certificate, serving

V3 = "/volume/v3"


async def make(client: httpx.AsyncClient, stores: Stores, *names: str) -> list[str]:
    """A volume, and backups of it; their ids."""
    volume = (await client.post(f"{V3}/volumes", json={"volume": {"size": 1}})).json()["volume"]["id"]
    made = []
    for name in names:
        answer = await client.post(f"{V3}/backups", json={"backup": {"volume_id": volume, "name": name}})
        assert answer.status_code == 202, answer.text
        assert set(answer.json()["backup"]) == {"id", "name", "links"}
        made.append(answer.json()["backup"]["id"])
        await stores[0].shared.settle(*stores[1])
    return [volume, *made]


def at(version: str) -> dict[str, str]:
    return {"openstack-api-version": f"volume {version}"}


async def test_what_a_backup_shows_depends_on_the_microversion(stores: Stores, client: httpx.AsyncClient) -> None:
    volume, backup = await make(client, stores, "one")
    keys: dict[str, set[str]] = {}
    for version in ("3.0", "3.18", "3.43", "3.56"):
        shown: dict[str, Any] = (await client.get(f"{V3}/backups/{backup}", headers=at(version))).json()["backup"]
        keys[version] = set(shown)
        assert (shown["status"], shown["volume_id"], shown["name"]) == ("available", volume, "one")
    assert keys["3.18"] - keys["3.0"] == {"os-backup-project-attr:project_id"}
    assert keys["3.43"] - keys["3.18"] == {"metadata"}
    assert keys["3.56"] - keys["3.43"] == {"user_id"}


async def test_words_are_changed_from_their_microversions_on(stores: Stores, client: httpx.AsyncClient) -> None:
    _, backup = await make(client, stores, "one")
    change = {"backup": {"name": "two", "description": "d"}}
    assert (await client.put(f"{V3}/backups/{backup}", json=change)).status_code == 404
    changed = await client.put(f"{V3}/backups/{backup}", json=change, headers=at("3.9"))
    assert (changed.status_code, changed.json()["backup"]["name"]) == (200, "two")
    words = {"backup": {"metadata": {"a": "b"}}}
    assert (await client.put(f"{V3}/backups/{backup}", json=words, headers=at("3.42"))).status_code == 400
    assert (await client.put(f"{V3}/backups/{backup}", json=words, headers=at("3.43"))).status_code == 200


async def test_lists_are_filtered_sorted_and_paged(stores: Stores, client: httpx.AsyncClient) -> None:
    volume, *backups = await make(client, stores, "b1", "b2", "b3")

    async def names(query: str, version: str = "3.0") -> list[str]:
        answer = await client.get(f"{V3}/backups/detail?{query}", headers=at(version))
        assert answer.status_code == 200, answer.text
        return [each["name"] for each in answer.json()["backups"]]

    assert await names("") == ["b3", "b2", "b1"]
    assert await names("sort=name:asc&limit=2") == ["b1", "b2"]
    assert await names(f"sort=name:asc&marker={backups[1]}") == ["b3"]
    assert await names("sort_key=name&sort_dir=asc&offset=1&limit=1") == ["b2"]
    assert await names("name=b2") == ["b2"]
    assert await names("name~=b", "3.34") == ["b3", "b2", "b1"]
    assert await names("status=error") == []
    assert len(await names(f"volume_id={volume}&status=available")) == 3
    counted = await client.get(f"{V3}/backups?limit=1&with_count=true", headers=at("3.45"))
    assert (counted.json()["count"], len(counted.json()["backups"])) == (3, 1)
    assert set(counted.json()["backups"][0]) == {"id", "name", "links"}
    assert "backups_links" in counted.json()
    for query in ("limit=-1", "sort=shoe", "marker=none"):
        assert (await client.get(f"{V3}/backups?{query}")).status_code in (400, 404)


async def test_other_projects_backups_are_as_if_not_there(stores: Stores, client: httpx.AsyncClient) -> None:
    volume, backup = await make(client, stores, "mine")
    other = await stores[0].token_with(client, "member")
    for verb, path in (("GET", ""), ("DELETE", ""), ("POST", "/restore")):
        body = {"restore": {}} if path else None
        answer = await client.request(verb, f"{V3}/backups/{backup}{path}", json=body, headers=other)
        assert answer.status_code == 404, answer.text
    assert (await client.get(f"{V3}/backups", headers=other)).json()["backups"] == []
    answer = await client.post(f"{V3}/backups", json={"backup": {"volume_id": volume}}, headers=other)
    assert answer.status_code == 404
    for path in ("export_record", "action"):
        verb = "GET" if path == "export_record" else "POST"
        refused = await client.request(verb, f"{V3}/backups/{backup}/{path}", json={}, headers=other)
        assert refused.status_code == 403


async def test_backups_are_counted_and_limited(stores: Stores, client: httpx.AsyncClient) -> None:
    project = stores[0].admin_project_id
    limit = {"quota_set": {"backups": 1}}
    assert (await client.put(f"{V3}/os-quota-sets/{project}", json=limit)).status_code == 200
    volume, backup = await make(client, stores, "one")
    refused = await client.post(f"{V3}/backups", json={"backup": {"volume_id": volume}})
    assert refused.status_code == 413, refused.text
    used = (await client.get(f"{V3}/limits")).json()["limits"]["absolute"]
    assert (used["totalBackupsUsed"], used["totalBackupGigabytesUsed"]) == (1, 1)
    assert (await client.get(f"{V3}/volumes/{volume}")).json()["volume"]["status"] == "available"
    assert (await client.delete(f"{V3}/backups/{backup}")).status_code == 202
    await stores[0].shared.settle(*stores[1])
    assert (await client.get(f"{V3}/backups/{backup}")).status_code == 404
    assert (await client.post(f"{V3}/backups", json={"backup": {"volume_id": volume}})).status_code == 202


async def test_the_unmodified_client_manages_backups(stores: Stores, tmp_path: Path) -> None:
    context, ca = api_certificate(tmp_path)
    async with serving(stores[0], context) as base:

        async def run(*words: str, ok: bool = True) -> Any:
            said = await openstack(base, ca, "--os-volume-api-version=3.64", "volume", *words, ok=ok)
            await stores[0].shared.settle(*stores[1])
            return said

        async def told(*words: str) -> Any:
            return json.loads(await run(*words, "-f", "json"))

        await run("create", "--size", "1", "data")
        full = await told("backup", "create", "--name", "full", "--description", "d", "data")
        await run("backup", "create", "--name", "more", "--incremental", "--property", "a=b", "data")
        listed = await told("backup", "list", "--long")
        assert {each["Name"] for each in listed} == {"full", "more"}
        shown = await told("backup", "show", "more")
        assert (shown["status"], shown["is_incremental"], shown["metadata"]) == ("available", True, {"a": "b"})
        await run("backup", "set", "--name", "most", "--property", "c=d", "more")
        assert (await told("backup", "show", "most"))["metadata"] == {"a": "b", "c": "d"}
        await run("backup", "set", "--state", "error", "most")
        assert (await told("backup", "show", "most"))["status"] == "error"
        await run("backup", "set", "--state", "available", "most")
        await run("backup", "restore", "most", "new")
        assert (await told("show", "new"))["status"] == "available"
        await run("backup", "restore", "--force", "full", "data")
        record = await told("backup", "record", "export", "full")
        assert "Incremental backups exist" in await run("backup", "delete", "full", ok=False)
        await run("backup", "delete", "most")
        await run("backup", "delete", "--force", "full")
        assert await told("backup", "list") == []
        # Not through the client, whose SDK (4.22) sends the path of its request instead of the record.
        async with stores[0].client() as asker:
            body = {"backup-record": record}
            refused = await asker.post(f"{V3}/backups/import_record", json=body, headers=await stores[0].admin(asker))
            assert (refused.status_code, "the pool of another cluster" in refused.text) == (400, True)
        assert full["name"] == "full"
