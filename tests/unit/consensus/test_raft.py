"""Real nodes on the loopback: what the contract does not show, since the twin has no disk and no checkpoints."""

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from consensus.host.checkpoint import CheckpointRefused
from consensus.host.core import Core
from consensus.host.journal import JournalDamaged, JournalInUse
from consensus.host.raft import PAYLOAD_BYTES_MAX, RaftNode
from consensus.host.requests import seal
from consensus.host.seams import EntryKind
from consensus.log import OutcomeUnknown, StorageFailed
from tests.logs import Ledger, RaftLogs, make_identities, until

CHECKPOINT_ENTRIES = 50


@pytest.fixture
async def logs(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[RaftLogs]:
    made = RaftLogs(nursery, tmp_path, 3, checkpoint_entries=CHECKPOINT_ENTRIES)
    yield made
    for node_id in list(made.nodes):
        await made.stop(node_id)


def core_of(logs: RaftLogs, node_id: str) -> Core:
    node = logs.nodes[node_id]
    assert isinstance(node, RaftNode)
    return node._core


async def write(logs: RaftLogs, node_id: str, count: int) -> None:
    async with trio.open_nursery() as writers:
        for _ in range(count):
            writers.start_soon(logs.nodes[node_id].propose, os.urandom(10))


def checkpoint_file(logs: RaftLogs, node_id: str) -> Path:
    return logs.directory_of(node_id) / "checkpoint"


async def trimmed(logs: RaftLogs, node_id: str, entries: int) -> None:
    """Fill the log until its start has gone into the checkpoint."""
    while core_of(logs, node_id).journal.first_index < entries:
        await write(logs, node_id, CHECKPOINT_ENTRIES)


async def test_a_node_restarts_from_its_checkpoint(logs: RaftLogs) -> None:
    node = await logs.start(logs.ids[0], found=True)
    await write(logs, node.node_id, 2 * CHECKPOINT_ENTRIES)
    await until(checkpoint_file(logs, node.node_id).exists)
    await node.propose(b"last")
    digest = logs.machines[node.node_id].digest()
    await logs.stop(node.node_id)
    again = await logs.start(node.node_id)
    # The checkpoint is there at once; what came after it, as soon as somebody leads.
    assert len(logs.machines[node.node_id].entries) >= CHECKPOINT_ENTRIES - 3
    await again.read_barrier()
    assert logs.machines[node.node_id].digest() == digest


async def test_a_learner_that_lags_beyond_the_log_gets_the_checkpoint(logs: RaftLogs) -> None:
    founder = await logs.start(logs.ids[0], found=True)
    await trimmed(logs, founder.node_id, 20)
    await logs.start(logs.ids[1])
    await founder.promote(logs.ids[1])
    await logs.level()
    assert core_of(logs, logs.ids[1]).journal.first_index > 2
    assert logs.applied[logs.ids[1]][0] > 20
    assert logs.nodes[logs.ids[1]].voters == {founder.node_id, logs.ids[1]}


async def test_a_voter_that_lags_beyond_the_log_gets_the_checkpoint_and_keeps_it(logs: RaftLogs) -> None:
    await logs.form()
    follower = await logs.follower()
    await logs.stop(follower.node_id)
    leader = await logs.leader()
    await trimmed(logs, leader.node_id, 20)
    await logs.start(follower.node_id)
    await logs.level()
    await logs.stop(follower.node_id)
    again = await logs.start(follower.node_id)
    assert again.applied_index > 20
    assert again.voters == frozenset(logs.ids)
    await logs.level()


async def test_a_damaged_checkpoint_is_refused_at_start(logs: RaftLogs) -> None:
    node = await logs.start(logs.ids[0], found=True)
    await write(logs, node.node_id, 2 * CHECKPOINT_ENTRIES)
    path = checkpoint_file(logs, node.node_id)
    await until(path.exists)
    await logs.stop(node.node_id)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointRefused):
        logs.make(node.node_id, Ledger(), found=False)


async def test_a_missing_checkpoint_is_refused_at_start(logs: RaftLogs) -> None:
    node = await logs.start(logs.ids[0], found=True)
    await trimmed(logs, node.node_id, 20)
    await logs.stop(node.node_id)
    checkpoint_file(logs, node.node_id).unlink()
    with pytest.raises(CheckpointRefused, match="missing"):
        logs.make(node.node_id, Ledger(), found=True)


async def test_a_damaged_journal_is_refused_at_start(logs: RaftLogs) -> None:
    node = await logs.start(logs.ids[0], found=True)
    for payload in (b"first", b"second", b"third"):
        await node.propose(payload)
    await logs.stop(node.node_id)
    path = logs.directory_of(node.node_id) / "journal"
    path.write_bytes(path.read_bytes().replace(b"second", b"sEcond"))
    with pytest.raises(JournalDamaged):
        logs.make(node.node_id, Ledger(), found=False)


async def test_a_directory_serves_one_process(logs: RaftLogs) -> None:
    node = await logs.start(logs.ids[0], found=True)
    with pytest.raises(JournalInUse):
        logs.make(node.node_id, Ledger(), found=False)


async def test_a_checkpoint_that_ran_ahead_of_the_journal_is_where_the_node_goes_on(logs: RaftLogs) -> None:
    """A crash between the arrival of the leader's checkpoint and the sync of the journal that it replaces."""
    await logs.form()
    follower = await logs.follower()
    await logs.stop(follower.node_id)
    leader = await logs.leader()
    await write(logs, leader.node_id, 2 * CHECKPOINT_ENTRIES)
    await until(checkpoint_file(logs, leader.node_id).exists)
    checkpoint_file(logs, follower.node_id).write_bytes(checkpoint_file(logs, leader.node_id).read_bytes())
    again = await logs.start(follower.node_id)
    assert again.applied_index >= CHECKPOINT_ENTRIES
    await logs.level()


async def test_one_request_in_the_log_twice_acts_once(logs: RaftLogs) -> None:
    await logs.form()
    content = seal(b"request 0001", 0, b"once")
    for node_id in logs.ids:
        core_of(logs, node_id).submit(EntryKind.REQUEST, content, lambda _result, _failure: None)
    for node_id in logs.ids:
        await logs.nodes[node_id].propose(b"after")
    await logs.level()
    assert logs.machines[logs.ids[0]].payloads.count(b"once") == 1


async def test_a_payload_that_is_too_large_is_not_proposed(logs: RaftLogs) -> None:
    node = await logs.start(logs.ids[0], found=True)
    with pytest.raises(ValueError, match="larger than"):
        await node.propose(bytes(PAYLOAD_BYTES_MAX + 1))
    await node.propose(bytes(PAYLOAD_BYTES_MAX))


async def test_overlapping_changes_of_voters_are_refused_or_made_one_by_one(logs: RaftLogs) -> None:
    await logs.form()
    leader = await logs.leader()
    others = [node_id for node_id in logs.ids if node_id != leader.node_id]
    core = core_of(logs, leader.node_id)
    failures: list[int] = []
    for node_id in others:
        core.propose_change("rem", node_id, lambda _result, failure: failures.append(failure))
    await leader.propose(b"x")
    await until(lambda: len(failures) == 2)
    assert sorted(failures) == [0, 6]
    assert len(leader.voters) == 2


async def test_an_unreachable_node_is_not_promoted(logs: RaftLogs) -> None:
    await logs.start(logs.ids[0], found=True)
    founder = await logs.leader()
    with trio.move_on_after(0.5) as scope:
        await founder.promote(logs.ids[1])
    assert scope.cancelled_caught
    assert founder.voters == {founder.node_id}
    assert await founder.propose(b"still at work") == 1


async def test_an_isolated_leader_steps_down_and_serves_no_stale_read(logs: RaftLogs) -> None:
    await logs.form()
    leader = await logs.leader()
    others = [logs.nodes[node_id] for node_id in logs.ids if node_id != leader.node_id]
    for other in others:
        leader.drop_peer(other.node_id)
        other.drop_peer(leader.node_id)
    with pytest.raises(OutcomeUnknown):
        await leader.read_barrier(deadline_s=0.2)
    await until(lambda: any(other.is_leader for other in others))
    await until(lambda: not leader.is_leader)
    assert await others[0].propose(b"meanwhile") == 1
    assert logs.machines[leader.node_id].payloads == []


async def test_a_flapping_follower_deposes_nobody(logs: RaftLogs) -> None:
    await logs.form()
    leader, follower = await logs.leader(), await logs.follower()
    term = leader.term
    others = [node_id for node_id in logs.ids if node_id != follower.node_id]
    for node_id in others:
        follower.drop_peer(node_id)
    await until(lambda: follower.leader_id is None)
    for node_id in others:
        follower.set_peer(node_id, logs.address_of(node_id))
    await until(lambda: follower.leader_id == leader.node_id)
    assert leader.is_leader
    assert leader.term == term


async def test_a_dropped_peer_is_refused_until_it_is_set_again(logs: RaftLogs) -> None:
    await logs.form()
    leader, follower = await logs.leader(), await logs.follower()
    leader.drop_peer(follower.node_id)
    await until(lambda: follower.node_id not in leader.reachable())
    await until(lambda: leader.node_id not in follower.reachable())
    leader.set_peer(follower.node_id, logs.address_of(follower.node_id))
    await until(lambda: follower.node_id in leader.reachable())
    await logs.level()


async def test_a_storage_failure_ends_the_node(tmp_path: Path) -> None:
    [identity] = make_identities(tmp_path, 1)
    node = RaftNode(
        identity.node_id,
        tmp_path / "raft",
        Ledger(),
        tls=identity.tls,
        listen=identity.address,
        found=True,
        on_applied=lambda _index: None,
    )

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "the disk is gone")

    node._journal._fdatasync = fail
    failures: list[Exception] = []

    async def run() -> None:
        try:
            await node.run()
        except StorageFailed as failure:
            failures.append(failure)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        with pytest.raises(OutcomeUnknown):
            await node.propose(b"not durable")
    assert "the disk is gone" in str(failures[0])
