"""Disks that fill up and disks that fail: what a node does, and what it never does."""

import errno
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from consensus.host.applying import Applier
from consensus.host.checkpoint import Header
from consensus.host.checkpointing import Checkpointing
from consensus.host.journal import Journal
from consensus.host.raft import ATTEMPT_S_MAX, RaftNode
from consensus.host.reserve import Reserve
from consensus.host.shelf import Shelf
from consensus.log import NoRoom, OutcomeUnknown, StorageFailed
from consensus.machine import Machine
from consensus.proposals import LogCluster
from consensus.room import Limits, Shortage, Standing, shortages_that_stop, standing
from noded.core.errors import Unavailable
from noded.core.units import MIB
from tests.faults.log.node import NoPeers
from tests.faults.log.registers import Forget, codec
from tests.logs import PATIENCE_S, Ledger, Platter, RaftLogs, until

CHECKPOINT_ENTRIES = 50


@pytest.fixture
async def logs(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[RaftLogs]:
    made = RaftLogs(nursery, tmp_path, 3, checkpoint_entries=CHECKPOINT_ENTRIES)
    yield made
    for node_id in list(made.nodes):
        await made.stop(node_id)


def test_a_disk_at_the_limit_does_not_go_back_and_forth() -> None:
    assert standing(100, 100, Standing.ENOUGH) is Standing.ENOUGH
    assert standing(99, 100, Standing.ENOUGH) is Standing.LOW
    assert standing(110, 100, Standing.LOW) is Standing.LOW
    assert standing(125, 100, Standing.LOW) is Standing.ENOUGH
    assert standing(24, 100, Standing.ENOUGH) is Standing.FULL


def test_a_small_file_system_keeps_a_part_of_itself_free() -> None:
    assert Limits().within(64 * MIB) == Limits(4 * MIB, 4 * MIB)
    assert Limits().within(1024 * 1024 * MIB) == Limits()


@pytest.mark.parametrize(
    ("short", "linked", "stopped_by"),
    [
        ("", "bc", ""),
        ("b", "bc", ""),
        ("a", "bc", ""),  # b or c takes over
        ("a", "", "a"),  # nobody can
        ("bc", "bc", "bc"),  # no majority has room
        ("abc", "bc", "abc"),
        ("ax", "bc", ""),  # a learner's disk stops nobody
    ],
)
def test_writes_stop_only_where_nobody_can_take_them(short: str, linked: str, stopped_by: str) -> None:
    lacks = {node_id: Shortage(1, 2) for node_id in short}
    assert "".join(shortages_that_stop("a", "abc", linked, lacks)) == stopped_by


def test_the_reserve_is_filled_and_given_in_steps(tmp_path: Path) -> None:
    platter = Platter(free=300 * MIB, total=16 * 1024 * MIB)
    reserve = Reserve(tmp_path, platter.disk, Limits(reserve=8 * MIB, low=64 * MIB))
    assert (tmp_path / "reserve").stat().st_size == reserve.held_bytes == 8 * MIB
    assert reserve.free_bytes == 292 * MIB
    assert reserve.give(1)
    assert reserve.held_bytes == 7 * MIB
    assert reserve.give(100 * MIB)
    assert reserve.held_bytes == 0
    assert not reserve.give(1)
    platter.free = 100 * MIB
    reserve.look()
    assert reserve.held_bytes == 0, "what is free is needed more elsewhere"
    platter.free = 300 * MIB
    reserve.look()
    assert reserve.held_bytes == 8 * MIB
    assert Reserve(tmp_path, platter.disk, Limits(reserve=8 * MIB, low=64 * MIB)).held_bytes == 8 * MIB


def test_an_append_to_a_full_disk_uses_the_reserve_and_leaves_no_torn_part(tmp_path: Path) -> None:
    platter = Platter()
    asked: list[int] = []

    def make_room(needed: int) -> bool:
        asked.append(needed)
        platter.takes = None
        return True

    path = tmp_path / "journal"
    journal = Journal(path, write=platter.disk.write, make_room=make_room)
    journal.add(b"one", 1, 1)
    journal.sync()
    platter.takes = 5
    journal.add(b"two", 2, 1)
    journal.sync()
    assert len(asked) == 1
    journal.close()
    journal = Journal(path)
    assert journal[:] == [(b"one", 1, 1), (b"two", 2, 1)]
    assert journal.torn_bytes == 0
    journal.close()


def test_an_append_that_finds_no_room_at_all_is_the_end(tmp_path: Path) -> None:
    platter = Platter()
    journal = Journal(tmp_path / "journal", write=platter.disk.write)
    platter.takes = 5
    journal.add(b"one", 1, 1)
    with pytest.raises(StorageFailed, match="no space left"):
        journal.sync()
    journal.close()
    journal = Journal(tmp_path / "journal")
    assert len(journal) == 0
    journal.close()


def test_a_journal_without_room_for_its_rewrite_goes_on_with_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "journal"

    def write(descriptor: int, data: bytes | memoryview) -> int:
        if os.fstat(descriptor).st_ino != path.stat().st_ino:
            raise OSError(errno.ENOSPC, "no space left for a second file")
        return os.write(descriptor, data)

    journal = Journal(path, write=write)
    for index in range(1, 101):
        journal.add(b"%d" % index, index, 1)
    journal.set_vote(3, "a")
    journal.sync()
    journal.trim(90, 10)
    journal.add(b"101", 101, 1)
    journal.sync()
    assert not journal.is_dirty
    assert journal.first_index == 80
    journal.cut_from(101)
    journal.add(b"another", 101, 4)
    journal.sync()
    journal.close()
    journal = Journal(path)
    assert journal.first_index == 1
    assert journal[-1] == (b"another", 101, 4)
    assert (journal.term, journal.voted_for) == (3, "a")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["journal", "journal.lock"]
    journal.close()


def test_a_rewrite_that_the_disk_refuses_is_the_end(tmp_path: Path) -> None:
    platter = Platter()
    journal = Journal(tmp_path / "journal", fdatasync=platter.disk.fdatasync)
    for index in range(1, 11):
        journal.add(b"x", index, 1)
    journal.sync()
    journal.trim(9, 0)
    platter.fault = OSError(errno.EIO, "the disk is gone")
    with pytest.raises(StorageFailed, match="the disk is gone"):
        journal.sync()
    journal.close()


async def test_a_full_follower_takes_no_entries_and_catches_up_when_it_has_room(logs: RaftLogs) -> None:
    await logs.form()
    leader, follower = await logs.leader(), await logs.follower()
    await leader.propose(b"before")
    await logs.level()
    logs.set_free(follower.node_id, 10 * MIB)
    await until(lambda: follower.room.standing is Standing.FULL)
    assert isinstance(follower, RaftNode)
    held = follower._core.last_index()
    for number in range(20):
        await leader.propose(b"%d" % number, deadline_s=PATIENCE_S)
    assert follower._core.last_index() == held
    assert logs.machines[follower.node_id].payloads == [b"before"]
    logs.set_free(follower.node_id, 400 * MIB)
    await logs.level()


async def test_a_full_follower_says_at_once_that_another_node_must_be_asked(logs: RaftLogs) -> None:
    await logs.form()
    leader, follower = await logs.leader(), await logs.follower()
    logs.set_free(follower.node_id, 10 * MIB)
    await until(lambda: follower.room.standing is Standing.FULL)
    await leader.propose(b"unheard")
    cluster = LogCluster(follower, Machine(codec()), codec(), NoPeers())
    with trio.fail_after(ATTEMPT_S_MAX), pytest.raises(Unavailable, match="Ask another node"):
        await cluster.propose(Forget(epoch=1))
    with trio.fail_after(ATTEMPT_S_MAX), pytest.raises(Unavailable, match="Ask another node"):
        await cluster.fresh_view()
    logs.set_free(follower.node_id, 400 * MIB)
    await until(lambda: follower.room.standing is not Standing.FULL)
    await cluster.fresh_view()


async def test_a_full_node_does_not_campaign_and_a_roomy_one_leads(logs: RaftLogs) -> None:
    await logs.form()
    leader = await logs.leader()
    full, roomy = (node_id for node_id in logs.ids if node_id != leader.node_id)
    logs.set_free(full, 10 * MIB)
    await until(lambda: logs.nodes[full].room.standing is Standing.FULL)
    await logs.stop(leader.node_id)
    await until(lambda: logs.nodes[roomy].is_leader)
    assert logs.nodes[full].leader_id in (None, roomy)


async def test_a_full_disk_of_the_only_voter_refuses_writes_and_answers_reads(logs: RaftLogs) -> None:
    node = await logs.start(logs.ids[0], found=True)
    await node.propose(b"before")
    await logs.stop(node.node_id)
    logs.set_free(node.node_id, 1 * MIB)
    node = await logs.start(node.node_id)
    await node.read_barrier()
    with pytest.raises(NoRoom):
        await node.propose(b"too much")
    logs.set_free(node.node_id, 400 * MIB)
    await until(lambda: not node.room.stopped_by)
    assert await node.propose(b"after") == 2


async def test_a_checkpoint_that_cannot_be_written_is_told_and_stops_nothing(logs: RaftLogs) -> None:
    node = await logs.start(logs.ids[0], found=True)
    # Where the new file should be is a directory: no file can be opened there.
    obstacle = logs.directory_of(node.node_id) / ".checkpoint.new"
    obstacle.mkdir()
    for number in range(2 * CHECKPOINT_ENTRIES):
        await node.propose(b"%d" % number)
    await until(lambda: node.room.checkpoint_fault)
    assert "checkpoint" in node.room.checkpoint_fault
    assert await node.propose(b"still") == 2 * CHECKPOINT_ENTRIES + 1


class Refused(Ledger):
    """A state that meets a full disk while it is written."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals

    def capture(self) -> "Refused":  # type: ignore[override]
        return self

    def blocks(self) -> Iterator[bytes]:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.ENOSPC, "no space left on this disk")
        yield b"state"


@pytest.mark.parametrize(("refusals", "reserve", "written"), [(1, True, True), (2, True, False), (1, False, False)])
async def test_a_checkpoint_on_a_full_disk_uses_the_reserve(
    tmp_path: Path, refusals: int, reserve: bool, written: bool
) -> None:
    shelf = Shelf(tmp_path / "checkpoint")
    checkpointing = Checkpointing(shelf, Applier(Refused(refusals)), make_room=lambda _bytes: reserve)
    header = Header(previous=(b"\x01", 1, 1), last=(b"\x01", 2, 1), voters=("a",))
    assert await checkpointing.capture(header).run() == (header if written else None)
    assert shelf.header() == (header if written else None)
    assert checkpointing.fault == ("" if written else "[Errno 28] no space left on this disk")


@pytest.mark.parametrize("fault", [errno.EIO, errno.ENOSPC, errno.EROFS])
async def test_no_fault_of_the_journal_is_ever_acknowledged(logs: RaftLogs, fault: int) -> None:
    node = logs.make(logs.ids[0], Ledger(), found=True)
    logs.platters[node.node_id].fault = OSError(fault, "the disk refuses")
    failures: list[StorageFailed] = []

    async def run() -> None:
        try:
            await node.run()
        except StorageFailed as failure:
            failures.append(failure)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        with pytest.raises(OutcomeUnknown):
            await node.propose(b"not durable")
    assert "the disk refuses" in str(failures[0])


async def test_a_leader_that_retires_hands_over_at_once(logs: RaftLogs) -> None:
    await logs.form()
    leader = await logs.leader()
    assert isinstance(leader, RaftNode)
    with trio.fail_after(20):
        await leader.retire()
    assert not leader.is_leader
    await until(lambda: any(node.is_leader for node in logs.nodes.values()))
    await leader.retire()  # who does not lead has nothing to hand over


async def test_a_node_alone_retires_at_once(logs: RaftLogs) -> None:
    node = await logs.start(logs.ids[0], found=True)
    assert isinstance(node, RaftNode)
    await until(lambda: node.is_leader)
    with trio.fail_after(1):
        await node.retire()
