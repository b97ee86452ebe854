"""Lives of a log: the newer one is known everywhere, and no node takes part in two."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from consensus.host import keepsakes
from consensus.host.core import beginning, change_of_voters
from consensus.host.disk import Disk
from consensus.host.journal import Journal, JournalInUse
from consensus.host.raft import RaftNode
from consensus.host.rebirth import NoLog, begin_again, begin_from, read_incarnation, set_log_aside
from consensus.incarnation import UNNAMED, Incarnation, agree
from consensus.log import OutcomeUnknown, Superseded
from consensus.recovery.host.note import copy_log
from consensus.room import Space
from noded.host.life import await_turn
from tests.logs import Ledger, RaftLogs, until

CHECKPOINT_ENTRIES = 50


@pytest.fixture
async def logs(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[RaftLogs]:
    made = RaftLogs(nursery, tmp_path, 3, checkpoint_entries=CHECKPOINT_ENTRIES)
    yield made
    for node_id in list(made.nodes):
        await made.stop(node_id)


def test_the_later_life_is_the_newer_one() -> None:
    first = Incarnation(1, "ff")
    assert UNNAMED < first < first.next("00") < first.next("01")
    assert agree(None, first)
    assert agree(first, Incarnation(1, "ff"))
    assert not agree(first, first.next("ff"))


async def test_all_nodes_of_a_cluster_know_its_life(logs: RaftLogs) -> None:
    await logs.form()
    await logs.level()
    [incarnation] = {logs.nodes[node_id].incarnation for node_id in logs.ids}
    assert incarnation is not None
    assert incarnation.count == 1
    for node_id in logs.ids:
        await logs.stop(node_id)
        assert read_incarnation(logs.directory_of(node_id)) == incarnation


async def test_a_life_is_still_known_when_its_first_entry_has_gone_into_a_checkpoint(logs: RaftLogs) -> None:
    node = await logs.start(logs.ids[0], found=True)
    incarnation = node.incarnation
    for number in range(3 * CHECKPOINT_ENTRIES):
        await node.propose(b"%d" % number)
    await until((logs.directory_of(node.node_id) / "checkpoint").exists)
    await logs.stop(node.node_id)
    assert read_incarnation(logs.directory_of(node.node_id)) == incarnation
    learner = await logs.start(logs.ids[1])
    assert learner.incarnation is None
    assert (await logs.start(node.node_id)).incarnation == incarnation
    await until(lambda: learner.incarnation == incarnation)


async def test_an_empty_directory_is_of_no_life(tmp_path: Path) -> None:
    assert read_incarnation(tmp_path / "nothing") is None
    with pytest.raises(NoLog, match="no log of a cluster"):
        begin_again(tmp_path, "one")


async def test_the_files_of_a_running_node_are_left_alone(logs: RaftLogs) -> None:
    node = await logs.start(logs.ids[0], found=True)
    with pytest.raises(JournalInUse):
        begin_again(logs.directory_of(node.node_id), node.node_id)


async def ends_superseded(logs: RaftLogs, node_id: str) -> None:
    """Run a node until it steps back."""
    node = logs.make(node_id, Ledger(), found=False)
    with trio.fail_after(30), pytest.raises(Superseded, match="newer log of this cluster"):
        await node.run()


async def test_one_survivor_goes_on_alone_and_the_others_step_back_and_join_it(logs: RaftLogs) -> None:
    await logs.form()
    for number in range(5):
        await (await logs.leader()).propose(b"%d" % number)
    await logs.level()
    for node_id in logs.ids:
        await logs.stop(node_id)
    survivor, *others = logs.ids
    newer = begin_again(logs.directory_of(survivor), survivor)
    assert newer.count == 2
    node = await logs.start(survivor)
    assert await node.propose(b"goes on") == 6
    assert node.voters == {survivor}
    assert node.incarnation == newer
    for other in others:
        await ends_superseded(logs, other)
        set_log_aside(logs.directory_of(other))
        await logs.start(other)
        await node.promote(other)
    await logs.level()
    assert all(logs.machines[node_id].payloads[-1] == b"goes on" for node_id in logs.ids)
    assert {logs.nodes[node_id].incarnation for node_id in logs.ids} == {newer}


async def test_a_living_older_majority_stops_when_a_newer_life_appears(logs: RaftLogs) -> None:
    await logs.form()
    leader = await logs.leader()
    survivor = next(node_id for node_id in logs.ids if node_id != leader.node_id)
    await logs.stop(survivor)
    begin_again(logs.directory_of(survivor), survivor)
    ended: list[str] = []

    async def run(node: RaftNode) -> None:
        with pytest.raises(Superseded):
            await node.run()
        ended.append(node.node_id)

    others = [node_id for node_id in logs.ids if node_id != survivor]
    for node_id in others:
        await logs.stop(node_id)
    older = [logs.make(node_id, Ledger(), found=False) for node_id in others]
    async with trio.open_nursery() as nursery:
        for node in older:
            assert isinstance(node, RaftNode)
            nursery.start_soon(run, node)
        await until(lambda: any(node.is_leader for node in older))
        newer = await logs.start(survivor)
        await until(lambda: len(ended) == 2)
    with pytest.raises(OutcomeUnknown):
        await older[0].propose(b"into the past", deadline_s=0.1)
    assert b"into the past" not in logs.machines[survivor].payloads
    await newer.propose(b"into the present")


async def test_a_log_begins_from_a_saved_state(logs: RaftLogs) -> None:
    first = await logs.start(logs.ids[0], found=True)
    for number in range(5):
        await first.propose(b"%d" % number)
    saved = list(logs.machines[first.node_id].capture().blocks())
    revision, before = first.applied_index, first.incarnation
    await logs.stop(first.node_id)
    directory = logs.directory_of(first.node_id)
    with pytest.raises(NoLog, match="set it aside first"):
        begin_from(directory, first.node_id, saved, revision=revision, after=before)
    assert set_log_aside(directory) is not None
    newer = begin_from(directory, first.node_id, saved, revision=revision, after=before)
    assert before is not None
    assert newer.count == before.count + 1
    again = await logs.start(first.node_id)
    assert again.applied_index > revision
    assert await again.propose(b"after") == 6
    assert logs.machines[first.node_id].entries[-1][0] > revision
    learner = await logs.start(logs.ids[1])
    await logs.level()
    assert learner.incarnation == newer


def set_aside_often(directory: Path, often: int) -> None:
    for number in range(often):
        directory.mkdir()
        (directory / "journal").write_text(str(number))
        set_log_aside(directory)


def kept_asides(directory: Path) -> list[str]:
    return [(path / "journal").read_text() for path in keepsakes.keepsakes(directory, "aside")]


def make_older(directory: Path, kind: str, by_ms: int) -> None:
    for path in keepsakes.keepsakes(directory, kind):
        then_ns = path.stat().st_mtime_ns - by_ms * 1_000_000
        os.utime(path, ns=(then_ns, then_ns))


def test_logs_set_aside_are_kept_for_a_week_and_do_not_pile_up(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    assert set_log_aside(directory) is None
    set_aside_often(directory, keepsakes.NEWEST_MAX + 8)
    assert kept_asides(directory) == [str(number) for number in range(keepsakes.NEWEST_MAX + 8)]
    make_older(directory, "aside", keepsakes.KEPT_MS + 1)
    set_aside_often(directory, 1)
    assert kept_asides(directory) == ["9", "10", "0"]


def test_a_low_disk_keeps_the_newest_logs_alone(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    set_aside_often(directory, keepsakes.NEWEST_MAX + 2)
    free = [0, 1 << 40]
    low = Disk(space=lambda _directory: Space(total=1 << 40, free=free.pop(0)))
    keepsakes.drop_old(directory, "aside", low)
    assert kept_asides(directory) == ["1", "2", "3", "4"]  # with the first gone, there was room enough
    keepsakes.drop_old(directory, "aside", Disk(space=lambda _directory: Space(total=1 << 40, free=0)))
    assert kept_asides(directory) == ["2", "3", "4"]


def test_a_copy_from_before_a_recovery_is_kept_for_a_week(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    directory.mkdir()
    (directory / "journal").write_text("all")
    copies = [copy_log(directory) for _ in range(keepsakes.NEWEST_MAX + 2)]
    assert all((copy / "journal").read_text() == "all" for copy in copies)
    make_older(directory, "before", keepsakes.KEPT_MS + 1)
    newest = copy_log(directory)
    assert keepsakes.keepsakes(directory, "before") == [*copies[-2:], newest]


def test_newer_lives_are_followed_only_so_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "log"
    set_aside_often(directory, keepsakes.OFTEN - 1)
    await_turn(directory)
    set_aside_often(directory, 1)
    assert 0 < keepsakes.wait_ms(directory) <= keepsakes.OFTEN_MS
    directory.mkdir()
    (directory / "journal").write_text("newest")
    looks = []

    def look_later(seconds: float) -> None:
        looks.append(seconds)
        make_older(directory, "aside", keepsakes.OFTEN_MS // 2)

    class StartedAgain(BaseException):
        """What stands for the end of this process."""

    def start_again() -> None:
        raise StartedAgain

    monkeypatch.setattr("noded.host.life.time.sleep", look_later)
    monkeypatch.setattr("noded.host.life.start_again", start_again)
    with pytest.raises(StartedAgain):
        await_turn(directory)
    assert looks
    assert (directory / "journal").read_text() == "newest"
    assert len(kept_asides(directory)) == keepsakes.OFTEN
    await_turn(directory)
    make_older(directory, "aside", -keepsakes.KEPT_MS)  # the clock went back: those are of no time that counts
    await_turn(directory)


def test_a_log_from_before_there_were_lives_is_the_oldest(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.add(b"\x01", 1, 0)
    journal.add(change_of_voters("add", "one"), 2, 0)
    journal.sync()
    journal.close()
    assert read_incarnation(tmp_path) == UNNAMED
    assert begin_again(tmp_path, "one").count == 1
    journal = Journal(tmp_path / "journal")
    assert beginning(Incarnation(1, "x"))[0] == journal[-1][0][0]
    journal.close()
