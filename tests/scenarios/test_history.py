"""Who changed what, as administrators and members of projects hear it from the API."""

from typing import Any

import httpx
import pytest

import consensus.history
import consensus.members
import net.networks
import net.ports
import net.security_groups
from consensus.history.links import Book
from consensus.members.commands import AdmitNode
from noded.core.ids import NodeId
from tests.twins.cloud import IDENTITY_SERVICES, Cloud, found_cloud
from tests.twins.history import MemoryBook

SERVICES = (*IDENTITY_SERVICES, consensus.members.SERVICE, consensus.history.SERVICE)
HISTORY, DIFF = "/noded/v1/history", "/noded/v1/diff"


@pytest.fixture
async def cloud() -> Cloud:
    return await found_cloud(SERVICES)


async def make_project(client: httpx.AsyncClient, headers: dict[str, str], name: str) -> str:
    answer = await client.post("/identity/v3/projects", json={"project": {"name": name}}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["project"]["id"])


async def history(client: httpx.AsyncClient, headers: dict[str, str], **query: object) -> list[dict[str, Any]]:
    answer = await client.get(HISTORY, params={key: str(value) for key, value in query.items()}, headers=headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["lines"])


async def test_a_line_says_who_did_what_when_from_where_and_to_what(cloud: Cloud) -> None:
    async with cloud.client() as client:
        admin = await cloud.admin(client)
        answer = await client.post("/identity/v3/projects", json={"project": {"name": "x [/] y"}}, headers=admin)
        line = (await history(client, admin))[0]
    assert line["told"] == ["created the project x [/] y"]
    assert (line["name"], line["who"].split(":")[0], line["address"]) == ("admin", "user", "10.77.0.9")
    assert line["request_id"] == answer.headers["x-openstack-request-id"]
    assert line["objects"] == [{"noun": "project", "id": answer.json()["project"]["id"], "name": "x [/] y"}]
    assert (line["outcome"], line["reason"], line["kind"]) == ("applied", "", "line")
    assert line["at"].startswith("20")


async def test_a_refused_change_is_told_with_its_reason(cloud: Cloud) -> None:
    order = AdmitNode(node_id=NodeId("1"), name="n", addresses=(), fingerprint="2", release="1", now_ms=1)
    with pytest.raises(Exception, match="another id than its key"):
        await cloud.shared.cluster().propose(order)
    async with cloud.client() as client:
        line = (await history(client, await cloud.admin(client)))[0]
    assert (line["outcome"], line["reason"]) == ("refused", "Node 1 has another id than its key.")
    assert (line["who"], line["told"], line["objects"]) == ("node:node1", ["admitted the node n"], [])


async def test_no_secret_is_in_it(cloud: Cloud) -> None:
    async with cloud.client() as client:
        admin = await cloud.admin(client)
        user = {"user": {"name": "eve", "password": "tell nobody"}}
        assert (await client.post("/identity/v3/users", json=user, headers=admin)).status_code == 201
        whole = (await client.get(HISTORY, headers=admin)).text + (
            await client.get(f"{DIFF}?from=0", headers=admin)
        ).text
    assert "created the user eve" in whole
    assert "argon2" not in whole
    assert "tell nobody" not in whole
    assert "<hidden>" in whole


async def test_it_is_found_by_object_user_time_and_page_by_page(cloud: Cloud) -> None:
    async with cloud.client() as client:
        admin = await cloud.admin(client)
        ids = [await make_project(client, admin, f"p{number}") for number in range(5)]
        path = f"/identity/v3/projects/{ids[1]}"
        await client.patch(path, json={"project": {"description": "new"}}, headers=admin)
        for name in (ids[1], "p1"):
            told = [line["told"][0] for line in await history(client, admin, object=name)]
            assert told == ["changed the project p1", "created the project p1"]
        assert await history(client, admin, object="nothing of that name") == []
        assert len(await history(client, admin, user="admin")) == 6
        assert await history(client, admin, user="nobody") == []
        assert len(await history(client, admin, since="1h")) == len(await history(client, admin, until="2099-01-01"))
        assert await history(client, admin, since="2099-01-01") == []
        assert await history(client, admin, until="2000-01-01") == []
        first = (await client.get(f"{HISTORY}?limit=4", headers=admin)).json()
        second = (await client.get(f"{HISTORY}?limit=4&before={first['older']}", headers=admin)).json()
        revisions = [line["revision"] for line in first["lines"] + second["lines"]]
        everything = await history(client, admin)
        assert revisions == [line["revision"] for line in everything][: len(revisions)]
        assert second["older"] is None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"{HISTORY}?since=yesterday", "is no time"),
        (f"{HISTORY}?since=2026-13-45", "is no time"),
        (f"{HISTORY}?limit=0", "limit"),
        (f"{HISTORY}?limit=x", "limit"),
        (f"{HISTORY}?before=-1", "before"),
        (f"{HISTORY}?before={'9' * 5000}", "before"),
        (DIFF, "from which revision"),
        (f"{DIFF}?from=2&to=1", "newer"),
        (f"{DIFF}?from=x", "no revision"),
        (f"{HISTORY}/verify?expect=12", "REVISION:HASH"),
        (f"{HISTORY}/verify?expect=12:zz", "REVISION:HASH"),
    ],
)
async def test_what_makes_no_sense_is_refused(cloud: Cloud, path: str, words: str) -> None:
    async with cloud.client() as client:
        answer = await client.get(path, headers=await cloud.admin(client))
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]["what"]


async def test_a_revision_that_is_not_kept_or_still_to_come_is_said_to_be_so(cloud: Cloud) -> None:
    async with cloud.client() as client:
        admin = await cloud.admin(client)
        future = await client.get(f"{DIFF}?from=0&to=1000", headers=admin)
        assert (future.status_code, "still to come" in future.text) == (404, True)
        state = cloud.shared.machine
        book = MemoryBook()
        book.resume(state.link)
        for drivers in cloud.shared.drivers.values():
            drivers._by_protocol[Book] = book
        old = await client.get(f"{DIFF}?from=0", headers=admin)
        assert (old.status_code, "not kept any more" in old.text) == (404, True)


async def test_a_difference_tells_old_and_new(cloud: Cloud) -> None:
    async with cloud.client() as client:
        admin = await cloud.admin(client)
        stays = await make_project(client, admin, "stays")
        goes = await make_project(client, admin, "goes")
        before = int(cloud.shared.machine.picture.revision)
        await client.delete(f"/identity/v3/projects/{goes}", headers=admin)
        await client.patch(f"/identity/v3/projects/{stays}", json={"project": {"description": "a"}}, headers=admin)
        await client.patch(f"/identity/v3/projects/{stays}", json={"project": {"description": "b"}}, headers=admin)
        new = await make_project(client, admin, "new")
        passing = await make_project(client, admin, "passing")
        await client.delete(f"/identity/v3/projects/{passing}", headers=admin)
        found = (await client.get(f"{DIFF}?from={before}", headers=admin)).json()
        one = (await client.get(f"{DIFF}?from={before}&object=stays", headers=admin)).json()
    by_id = {record["id"]: record for record in found["records"]}
    assert {id: record["change"] for id, record in by_id.items()} == {stays: "changed", goes: "removed", new: "added"}
    assert by_id[stays]["fields"] == {"description": ["", "b"]}
    assert by_id[goes]["fields"]["name"] == ["goes", None]
    assert by_id[new]["fields"]["name"] == [None, "new"]
    assert [record["id"] for record in one["records"]] == [stays]


async def test_a_whole_history_is_found_whole_and_a_noted_head_equal(cloud: Cloud) -> None:
    async with cloud.client() as client:
        admin = await cloud.admin(client)
        noted = (await client.get(HISTORY, headers=admin)).json()["head"]
        await make_project(client, admin, "later")
        verdict = (await client.get(f"{HISTORY}/verify?expect={noted}", headers=admin)).json()
        assert (verdict["whole"], verdict["expected"], verdict["problems"]) == (True, "equal", [])
        revision, _, head = noted.partition(":")
        other = f"{revision}:{head[:-1]}{'0' if head[-1] != '0' else '1'}"
        verdict = (await client.get(f"{HISTORY}/verify?expect={other}", headers=admin)).json()
        assert (verdict["whole"], verdict["expected"]) == (False, "altered")
        verdict = (await client.get(f"{HISTORY}/verify?expect=99999:{head}", headers=admin)).json()
        assert (verdict["whole"], verdict["expected"]) == (False, "unknown")


NETWORKS = "/network/v2.0/networks"


async def test_members_see_what_surely_is_their_projects_and_nothing_else() -> None:
    cloud = await found_cloud((*SERVICES, net.security_groups.SERVICE, net.networks.SERVICE, net.ports.SERVICE))
    async with cloud.client() as client:
        admin, member = await cloud.admin(client), await cloud.token_with(client, "member")
        await client.post(NETWORKS, json={"network": {"name": "foreign"}}, headers=admin)
        assert await history(client, member) == [], "users and projects belong to no project"
        made = await client.post(NETWORKS, json={"network": {"name": "ours"}}, headers=member)
        network_id = made.json()["network"]["id"]
        by_admin = {"network": {"description": "looked at"}}
        assert (await client.put(f"{NETWORKS}/{network_id}", json=by_admin, headers=admin)).status_code == 200
        theirs, own = await history(client, member)
        assert (own["told"], own["name"], own["address"]) == (["created the network ours"], "only-member", "10.77.0.9")
        assert {each["id"] for each in own["objects"]} >= {network_id}
        assert (theirs["who"], theirs["name"], theirs["address"], theirs["request_id"]) == ("", "", "", "")
        assert theirs["told"] == ["changed by the cloud's administration"]
        assert [each["id"] for each in theirs["objects"]] == [network_id]
        assert await history(client, member, user="admin") == [], "whoever asks for a name must not learn it"
        for path in (DIFF, f"{HISTORY}/verify"):
            assert (await client.get(f"{path}?from=0", headers=member)).status_code == 403
