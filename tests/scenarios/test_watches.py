"""Watching through the API: what changed, a watcher that lags, a stream that is resumed."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing

import consensus.watches
from consensus.recent import Recent
from consensus.watches.links import Kinds
from noded.core.ids import Revision
from noded.identity.model import Project
from noded.services import DaemonRegistry
from tests.twins.cloud import IDENTITY_SERVICES, Cloud, api_certificate, found_cloud, serving

PATIENCE_S = 30.0
PROJECTS = "/identity/v3/projects"


@pytest.fixture
async def cloud() -> Cloud:
    cloud = await found_cloud((*IDENTITY_SERVICES, consensus.watches.SERVICE))
    for drivers in cloud.shared.drivers.values():
        drivers.add(Kinds, DaemonRegistry(cloud.shared.machine))
    return cloud


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client() as client:
        client.headers.update(await cloud.admin(client))
        yield client


async def new_project(client: httpx.AsyncClient, name: str) -> str:
    answer = await client.post(PROJECTS, json={"project": {"name": name}})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["project"]["id"])


async def test_a_watcher_is_told_what_changed_since(cloud: Cloud, client: httpx.AsyncClient) -> None:
    start = cloud.shared.cluster().view().revision
    project = await new_project(client, "watched")
    answer = (await client.get("/noded/v1/watch", params={"after": start, "kinds": "project"})).json()
    assert [(change["kind"], change["id"], change["gone"]) for change in answer["changes"]] == [
        ("project", project, False)
    ]
    assert not answer["list_again"]
    assert (await client.delete(f"{PROJECTS}/{project}")).status_code == 204
    answer = (await client.get("/noded/v1/watch", params={"after": answer["revision"], "kinds": "project"})).json()
    assert [(change["id"], change["gone"]) for change in answer["changes"]] == [(project, True)]


async def test_an_answer_waits_for_a_change_and_not_for_ever(cloud: Cloud, client: httpx.AsyncClient) -> None:
    now = cloud.shared.cluster().view().revision
    quiet = (await client.get("/noded/v1/watch", params={"kinds": "project", "wait": 0})).json()
    assert quiet == {"revision": now, "list_again": False, "changes": []}
    heard: list[dict[str, object]] = []

    async def wait() -> None:
        answer = await client.get("/noded/v1/watch", params={"kinds": "project"})
        heard.append(answer.json())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert heard == []
        await new_project(client, "late")
    assert len(heard[0]["changes"]) == 1  # type: ignore[arg-type]


async def test_a_watcher_that_lags_lists_again_and_goes_on(cloud: Cloud, client: httpx.AsyncClient) -> None:
    cloud.shared.machine._recent = Recent(remembered_max=2)
    start = cloud.shared.cluster().view().revision
    for number in range(4):
        await new_project(client, f"p{number}")
    lagging = (await client.get("/noded/v1/watch", params={"after": start, "kinds": "project"})).json()
    assert lagging["list_again"]
    assert lagging["changes"] == []
    assert len((await client.get(PROJECTS)).json()["projects"]) >= 4
    await new_project(client, "after the list")
    answer = (await client.get("/noded/v1/watch", params={"after": lagging["revision"], "kinds": "project"})).json()
    assert not answer["list_again"]
    assert len(answer["changes"]) == 1


async def test_only_the_administrator_watches_and_nonsense_is_refused(cloud: Cloud, client: httpx.AsyncClient) -> None:
    assert (await client.get("/noded/v1/watch", headers={"X-Auth-Token": "none"})).status_code == 401
    member = await cloud.token_with(client, "member")
    assert (await client.get("/noded/v1/watch", headers=member)).status_code == 403
    for query in ("after=x", "after=-1", "after=" + "9" * 30, "wait=soon", "kinds=nonsense"):
        answer = await client.get(f"/noded/v1/watch?{query}")
        assert answer.status_code == 400, query
    assert "Known are:" in answer.text


async def test_the_handle_says_what_changed(cloud: Cloud, client: httpx.AsyncClient) -> None:
    cluster = cloud.shared.cluster()
    seen = cluster.view().revision
    project = await new_project(client, "seen by a reconciler")
    watched = await cluster.watch([Project], seen)
    assert [change.id for change in watched.changes] == [project]
    assert watched.revision > seen
    with trio.move_on_after(0) as waiting:
        await cluster.watch([Project], Revision(watched.revision))
    assert waiting.cancelled_caught


async def test_a_stream_tells_changes_and_is_resumed(cloud: Cloud, client: httpx.AsyncClient, tmp_path: Path) -> None:
    context, ca = api_certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=str(ca))
    token = client.headers["x-auth-token"]
    project = await new_project(client, "one")
    async with serving(cloud, context) as base:
        port = int(base.rpartition(":")[2])
        first = await heard(port, trusted, token, project.encode())
        assert b"content-type: text/event-stream" in first
        assert b"event: changed" in first
        seen = first.rpartition(b"id: ")[2].split(b"\n")[0].decode()
        other = await new_project(client, "two")
        resumed = await heard(port, trusted, token, other.encode(), f"last-event-id: {seen}\r\n")
        assert project.encode() not in resumed


async def heard(port: int, trusted: ssl.SSLContext, token: str, words: bytes, more: str = "") -> bytes:
    """What a stream says until it has said these words."""
    stream = await trio.open_ssl_over_tcp_stream("127.0.0.1", port, ssl_context=trusted)
    async with stream:
        head = f"GET /noded/v1/watch?kinds=project&after=0 HTTP/1.1\r\nhost: h\r\nx-auth-token: {token}\r\n{more}"
        await stream.send_all(f"{head}accept: text/event-stream\r\n\r\n".encode())
        received = b""
        with trio.fail_after(PATIENCE_S):
            while words not in received:
                received += await stream.receive_some(65536)
        return received
