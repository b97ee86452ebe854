"""A node that sees only a minority: it refuses changes at once with the reason, serves reads, and goes on by itself."""

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from consensus.majority import MINORITY_S_MAX
from tests.twins.cloud import Cloud, found_cloud


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    cloud = await found_cloud()
    yield cloud
    cloud.shared.alone = set()


async def test_the_api_refuses_changes_at_once_and_says_why(
    cloud: Cloud, autojump_clock: trio.testing.MockClock
) -> None:
    async with cloud.client("node1") as client, cloud.client("node2") as other:
        admin = await cloud.admin(client)
        project = {"project": {"name": "mine"}}
        cloud.shared.alone = {"node1"}
        assert not cloud.shared.cluster("node1").has_majority  # looked at each second by the daemon
        await trio.sleep(MINORITY_S_MAX)
        with trio.fail_after(5):
            refused = await client.post("/identity/v3/projects", json=project, headers=admin)
        assert refused.status_code == 503
        assert "sees only 1 of 3 voting nodes, and 2 are needed: node2 and node3 can't be reached" in refused.text
        health = await client.get("/healthz")
        assert health.status_code == 503
        assert "sees no majority" in health.text
        assert (await client.get("/identity/v3/projects", headers=admin)).status_code == 200
        assert (await cloud.sign_in(client)).status_code == 201
        assert (await other.post("/identity/v3/projects", json=project, headers=admin)).status_code == 201
        cloud.shared.alone = set()
        again = {"project": {"name": "again"}}
        assert (await client.post("/identity/v3/projects", json=again, headers=admin)).status_code == 201
        assert (await client.get("/healthz")).status_code == 200
