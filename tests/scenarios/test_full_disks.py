"""Disks of the log that fill up: what the API refuses and why, what goes on, and where an operator sees it."""

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

import consensus.disks
from consensus.disks.api import explain_log
from consensus.disks.model import LogStatus
from consensus.disks.views import advice, disk_view, log_view
from consensus.members import SERVICE as MEMBERS
from consensus.room import LogRoom, Shortage, Standing
from noded.cli.log import log_table
from noded.core.errors import NotFound
from noded.core.service import PeerContext
from noded.core.units import MIB
from tests.scenarios.test_members import IDS, admission, founding
from tests.twins.cloud import IDENTITY_SERVICES, found_cloud
from tests.twins.cluster import SharedCluster


async def test_writes_are_refused_with_the_reason_while_reads_and_deletions_go_on() -> None:
    cloud = await found_cloud((*IDENTITY_SERVICES, MEMBERS))
    await cloud.shared.cluster().propose(founding())
    async with cloud.client() as client:
        admin = await cloud.admin(client)
        made = await client.post("/identity/v3/projects", json={"project": {"name": "old"}}, headers=admin)
        old = f"/identity/v3/projects/{made.json()['project']['id']}"
        cloud.shared.short = {IDS[0]: Shortage(free=3 * MIB, needed=64 * MIB)}
        refused = await client.post("/identity/v3/projects", json={"project": {"name": "new"}}, headers=admin)
        assert refused.status_code == 503
        assert "The log's disk on node n0 has 3 MiB free, 64 are needed." in refused.text
        assert (await client.get(old, headers=admin)).status_code == 200
        assert (await client.delete(old, headers=admin)).status_code == 204
        cloud.shared.short = {}
        again = await client.post("/identity/v3/projects", json={"project": {"name": "new"}}, headers=admin)
        assert again.status_code == 201


async def test_an_operator_sees_how_full_every_disk_is() -> None:
    shared = SharedCluster((MEMBERS, consensus.disks.SERVICE), nodes=IDS[:3])
    await shared.cluster(IDS[0]).propose(founding(), admission(1), admission(2))
    shared.short = {IDS[1]: Shortage(free=3 * MIB, needed=64 * MIB)}
    shared.up.discard(IDS[2])
    answer = await shared.call(IDS[0], "log.status", b"")
    first, second, third = msgspec.msgpack.decode(answer, type=list[LogStatus])
    assert first.report is not None
    assert second.report is not None
    assert third.report is None
    assert first.leader
    assert log_view(first)["advice"] == ""
    assert "it leads no longer. Make room there." in str(log_view(second)["advice"])
    assert log_view(third) == {"node_id": IDS[2], "name": "n2", "leader": False, "answers": False}
    console = Console(width=120)
    with console.capture() as screen:
        console.print(log_table([first, second, third]))
    assert "The log's disk on n1 has 3 MiB free and 64 are needed" in screen.get()
    context = PeerContext(cluster=shared.cluster(IDS[0]), drivers=shared.drivers[IDS[0]])
    assert (await explain_log(context, "n1"))["disk"] == disk_view(second.report.room)
    with pytest.raises(NotFound):
        await explain_log(context, "nobody")


def test_what_is_wrong_with_a_disk_is_said_with_its_cure() -> None:
    room = LogRoom(
        standing=Standing.ENOUGH,
        free_bytes=90 * MIB,
        needed_bytes=64 * MIB,
        reserve_bytes=0,
        checkpoint_fault="",
        stopped_by={},
    )
    assert advice("n1", room) == ""
    assert "so its journal grows" in advice("n1", replace(room, checkpoint_fault="read-only file system"))
    assert "takes no entries" in advice("n1", replace(room, standing=Standing.FULL))
