"""What every carrier of the log must do: one suite for the real one and its twin."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from consensus.host.raft import RaftNode
from consensus.host.twin import SimulatedLog
from consensus.log import MembershipRefused, NoRoom, NotLeader, OutcomeUnknown
from consensus.room import Shortage, Standing
from noded.core.units import MIB
from tests.logs import PATIENCE_S, Logs, RaftLogs, SimulatedLogs, until


@pytest.fixture(params=["real", "simulated"])
async def logs(request: pytest.FixtureRequest, nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Logs]:
    made: Logs = RaftLogs(nursery, tmp_path, 3) if request.param == "real" else SimulatedLogs(nursery, 3)
    yield made
    for node_id in list(made.nodes):
        await made.stop(node_id)


async def test_a_founder_alone_takes_writes(logs: Logs) -> None:
    node = await logs.start(logs.ids[0], found=True)
    assert await node.propose(b"one") == 1
    assert await node.propose(b"two") == 2
    assert logs.machines[node.node_id].payloads == [b"one", b"two"]
    assert node.voters == {node.node_id}
    assert node.is_leader
    assert node.leader_id == node.node_id


async def test_a_node_that_nobody_admitted_never_leads(logs: Logs) -> None:
    node = await logs.start(logs.ids[0])
    with pytest.raises(OutcomeUnknown):
        await node.propose(b"lost", deadline_s=0.3)
    assert not node.is_leader
    assert node.voters == frozenset()
    assert logs.machines[node.node_id].payloads == []


async def test_a_learner_follows_without_a_vote(logs: Logs) -> None:
    founder = await logs.start(logs.ids[0], found=True)
    await founder.propose(b"before")
    learner = await logs.start(logs.ids[1])
    await until(lambda: learner.leader_id == founder.node_id)
    assert await learner.propose(b"from the learner") == 2
    await logs.level()
    assert learner.voters == {founder.node_id}
    assert founder.learners == {learner.node_id}


async def test_an_entry_from_any_node_is_applied_everywhere_in_one_order(logs: Logs) -> None:
    await logs.form()
    async with trio.open_nursery() as writers:
        for node_id in logs.ids:
            for number in range(10):
                writers.start_soon(logs.nodes[node_id].propose, f"{node_id} {number}".encode())
    await logs.level()
    payloads = logs.machines[logs.ids[0]].payloads
    assert sorted(payloads) == sorted(f"{node_id} {number}".encode() for node_id in logs.ids for number in range(10))


async def test_a_proposer_reads_its_own_write(logs: Logs) -> None:
    await logs.form()
    follower = await logs.follower()
    for number in range(5):
        assert await follower.propose(b"%d" % number) == number + 1
        assert logs.machines[follower.node_id].payloads[-1] == b"%d" % number


async def test_the_index_given_to_apply_is_the_applied_index(logs: Logs) -> None:
    node = await logs.start(logs.ids[0], found=True)
    for number in range(3):
        await node.propose(b"%d" % number)
        await until(lambda: logs.applied[node.node_id][-1] == node.applied_index)
        assert logs.machines[node.node_id].entries[-1][0] == node.applied_index
    assert node.commit_index == node.applied_index
    assert logs.applied[node.node_id] == sorted(set(logs.applied[node.node_id]))


async def test_a_barrier_shows_what_was_acknowledged_elsewhere(logs: Logs) -> None:
    await logs.form()
    leader, follower = await logs.leader(), await logs.follower()
    for number in range(5):
        await leader.propose(b"%d" % number)
        await follower.read_barrier()
        assert logs.machines[follower.node_id].payloads[-1] == b"%d" % number


async def test_only_the_leader_changes_members(logs: Logs) -> None:
    await logs.form()
    follower = await logs.follower()
    with pytest.raises(NotLeader):
        await follower.promote(logs.ids[0])
    with pytest.raises(NotLeader):
        await follower.demote(logs.ids[0])
    with pytest.raises(NotLeader):
        await follower.transfer_leadership(None)


async def test_a_demoted_voter_still_follows(logs: Logs) -> None:
    await logs.form()
    leader, follower = await logs.leader(), await logs.follower()
    await leader.demote(follower.node_id)
    assert follower.node_id not in leader.voters
    await follower.propose(b"as a learner")
    await logs.level()
    assert follower.voters == leader.voters


async def test_the_leader_does_not_demote_itself(logs: Logs) -> None:
    await logs.form()
    leader = await logs.leader()
    with pytest.raises(MembershipRefused):
        await leader.demote(leader.node_id)


async def test_leadership_is_handed_over(logs: Logs) -> None:
    await logs.form()
    leader, follower = await logs.leader(), await logs.follower()
    await leader.transfer_leadership(follower.node_id)
    await until(lambda: follower.is_leader)
    await until(lambda: leader.leader_id == follower.node_id)
    assert await leader.propose(b"after") == 1


async def test_without_a_majority_nothing_is_acknowledged(logs: Logs) -> None:
    await logs.form()
    for node_id in logs.ids[1:]:
        await logs.stop(node_id)
    survivor = logs.nodes[logs.ids[0]]
    with pytest.raises(OutcomeUnknown):
        await survivor.propose(b"alone", deadline_s=0.5)
    with pytest.raises(OutcomeUnknown):
        await survivor.read_barrier(deadline_s=0.5)
    assert logs.machines[survivor.node_id].payloads == []


async def test_writes_go_on_when_the_leader_is_lost(logs: Logs) -> None:
    await logs.form()
    leader, follower = await logs.leader(), await logs.follower()
    await follower.propose(b"before")
    await logs.stop(leader.node_id)
    with trio.fail_after(PATIENCE_S):
        assert await follower.propose(b"after", deadline_s=PATIENCE_S) == 2
    await logs.start(leader.node_id)
    await logs.level()


async def test_a_node_that_comes_back_catches_up(logs: Logs) -> None:
    await logs.form()
    leader, follower = await logs.leader(), await logs.follower()
    await leader.propose(b"one")
    await logs.stop(follower.node_id)
    await until(lambda: follower.node_id not in leader.reachable())
    await leader.propose(b"two")
    again = await logs.start(follower.node_id)
    await logs.level()
    assert again.voters == frozenset(logs.ids)
    assert logs.machines[follower.node_id].payloads == [b"one", b"two"]
    await until(lambda: follower.node_id in leader.reachable())


async def test_the_whole_cluster_comes_back_with_its_log(logs: Logs) -> None:
    await logs.form()
    for number in range(5):
        await (await logs.follower()).propose(b"%d" % number)
    for node_id in logs.ids:
        await logs.stop(node_id)
    for node_id in logs.ids:
        # A node that has founded once must not found again.
        await logs.start(node_id, found=node_id == logs.ids[0])
    await logs.level()
    assert logs.machines[logs.ids[0]].payloads == [b"%d" % number for number in range(5)]


async def test_a_proposer_that_is_cancelled_leaves_the_log_at_work(logs: Logs) -> None:
    await logs.form()
    follower = await logs.follower()
    with trio.move_on_after(0):
        await follower.propose(b"given up")
    await follower.propose(b"kept")
    await logs.level()
    assert logs.machines[follower.node_id].payloads.count(b"kept") == 1
    assert logs.machines[follower.node_id].payloads.count(b"given up") <= 1


async def test_a_leader_hands_over_before_its_disk_is_full(logs: Logs) -> None:
    await logs.form()
    leader = await logs.leader()
    logs.set_free(leader.node_id, 40 * MIB)
    await until(lambda: not leader.is_leader)
    assert leader.room.standing is Standing.LOW
    assert await leader.propose(b"through another", deadline_s=PATIENCE_S) == 1
    await logs.level()
    logs.set_free(leader.node_id, 400 * MIB)
    await until(lambda: leader.room.standing is Standing.ENOUGH)


async def test_when_all_disks_are_short_writes_are_refused_and_reads_go_on(logs: Logs) -> None:
    await logs.form()
    leader, follower = await logs.leader(), await logs.follower()
    await leader.propose(b"before")
    for node_id in logs.ids:
        logs.set_free(node_id, 40 * MIB)
    await until(lambda: all(len(node.room.stopped_by) == 3 for node in logs.nodes.values()))
    for node in (await logs.leader(), follower):
        lack = await refusal_of(node)
        assert lack.shortages[follower.node_id] == Shortage(free=40 * MIB, needed=64 * MIB)
        await node.read_barrier(deadline_s=PATIENCE_S)
    await follower.propose(b"a deletion", deadline_s=PATIENCE_S, frees_room=True)
    for node_id in logs.ids[:2]:
        logs.set_free(node_id, 400 * MIB)
    await until(lambda: not any(node.room.stopped_by for node in logs.nodes.values()))
    await follower.propose(b"after", deadline_s=PATIENCE_S)
    assert {b"before", b"a deletion", b"after"} <= set(logs.machines[follower.node_id].payloads)
    await logs.level()


async def refusal_of(node: RaftNode | SimulatedLog) -> NoRoom:
    """What the node says to a write. While nobody leads it knows no reason, and the write may pass: so ask again."""
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                await node.propose(b"too much", deadline_s=0.5)
            except NoRoom as lack:
                return lack
            except OutcomeUnknown:
                continue


async def test_a_minority_of_short_disks_stops_nothing(logs: Logs) -> None:
    await logs.form()
    follower = await logs.follower()
    logs.set_free(follower.node_id, 40 * MIB)
    await until(lambda: follower.room.standing is Standing.LOW)
    assert await follower.propose(b"still") == 1


async def test_learners_know_of_one_another_through_the_leader(logs: Logs) -> None:
    founder = await logs.start(logs.ids[0], found=True)
    one, other = [await logs.start(node_id) for node_id in logs.ids[1:]]
    everyone = set(logs.ids)
    await until(lambda: all(node.reachable() | {node.node_id} == everyone for node in logs.nodes.values()))
    assert founder.learners == {one.node_id, other.node_id}
    await logs.stop(other.node_id)
    await until(lambda: one.reachable() == {founder.node_id})
    await logs.start(other.node_id)
    await until(lambda: one.reachable() == {founder.node_id, other.node_id})
    await logs.stop(founder.node_id)
    await until(lambda: one.reachable() == frozenset())
