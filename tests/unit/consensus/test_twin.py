"""The twin's faults: what a scenario can do to a cluster, and what the log then does."""

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from consensus.log import OutcomeUnknown
from tests.logs import SimulatedLogs


@pytest.fixture
async def logs(nursery: trio.Nursery) -> AsyncIterator[SimulatedLogs]:
    made = SimulatedLogs(nursery, 3)
    await made.form()
    yield made
    for node_id in list(made.nodes):
        await made.stop(node_id)


async def test_a_cut_off_leader_is_replaced_and_told_nothing(
    logs: SimulatedLogs, autojump_clock: trio.testing.MockClock
) -> None:
    old = logs.nodes["node0"]
    logs.cluster.isolate("node0")
    assert logs.cluster.leader_id == "node1"
    assert not old.is_leader
    assert await logs.nodes["node2"].propose(b"meanwhile") == 1
    with pytest.raises(OutcomeUnknown):
        await old.propose(b"cut off")
    with pytest.raises(OutcomeUnknown):
        await old.read_barrier()
    logs.cluster.heal()
    assert logs.machines["node0"].payloads == [b"meanwhile"]
    assert old.term == 2


async def test_a_voter_that_is_cut_off_from_the_leader_alone_catches_up_later(logs: SimulatedLogs) -> None:
    logs.cluster.cut("node0", "node2")
    assert logs.cluster.leader_id == "node0"
    await logs.nodes["node1"].propose(b"one")
    assert logs.machines["node2"].payloads == []
    assert logs.nodes["node2"].reachable() == {"node1"}
    logs.cluster.heal()
    assert logs.machines["node2"].payloads == [b"one"]


async def test_a_held_node_reads_the_past_until_a_barrier(logs: SimulatedLogs) -> None:
    logs.cluster.hold("node1")
    await logs.nodes["node2"].propose(b"news")
    assert logs.machines["node1"].payloads == []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(logs.nodes["node1"].read_barrier)
        await trio.testing.wait_all_tasks_blocked()
        logs.cluster.release("node1")
    assert logs.machines["node1"].payloads == [b"news"]


async def test_an_outcome_can_be_unknown_although_the_write_was_made(
    logs: SimulatedLogs, autojump_clock: trio.testing.MockClock
) -> None:
    logs.cluster.hold("node1")
    with pytest.raises(OutcomeUnknown):
        await logs.nodes["node1"].propose(b"made", deadline_s=1)
    assert logs.machines["node0"].payloads == [b"made"]
