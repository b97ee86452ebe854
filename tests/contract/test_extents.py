"""What an owner may count on from an extent server: the store on a real disk, and its twin in memory."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from noded.core.ids import DiskId
from storage.extents import frame
from storage.extents.frame import ALWAYS, ZEROES, BadFrame, Op, Why
from storage.extents.messages import BLOCK_LINE, Usage, Welcome
from storage.host.extent_store import ExtentStore
from tests.twins.extents import MemoryStore
from tests.unit.storage.talk import CLONE, EXTENT_BYTES, VOLUME, Talk, block, refusal


@pytest.fixture(params=["disk", "memory", "settled disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryStore()
    else:
        disk = ExtentStore(tmp_path, DiskId("d"), segment_bytes=4 << 20)
        if request.param == "settled disk":
            settle_after_each_commit(disk)
        yield disk
        disk.close()


def settle_after_each_commit(disk: ExtentStore) -> None:
    """Let every commit be followed by a settling: what is read then comes from the extent files."""
    commit: Callable[[], None] = disk.commit

    def commit_and_settle() -> None:
        disk.commit = commit  # type: ignore[method-assign]
        disk.settle()
        disk.commit = commit_and_settle  # type: ignore[method-assign]

    disk.commit = commit_and_settle  # type: ignore[method-assign]


def test_what_was_written_is_read(store: Any) -> None:
    talk = Talk(store)
    assert talk.write(5, block(1) + block(2)).op == Op.ACK
    talk.write(1, block(3), extent=2)
    assert talk.read(4, 4) == block(0) + block(1) + block(2) + block(0)
    assert talk.read(1, extent=2) == block(3)


def test_many_writes_are_acknowledged_together(store: Any) -> None:
    talk = Talk(store)
    answers = talk.send(*(talk.write_frame(number, block(number)) for number in range(1, 30)))
    assert [(answer.op, len(answer.payload)) for answer in answers] == [(Op.ACK, 29 * 4)]
    assert talk.read(1, 29) == b"".join(block(number) for number in range(1, 30))


def test_zeroes_are_told_and_not_sent(store: Any) -> None:
    talk = Talk(store)
    talk.write(0, block(9) * 3)
    talk.zero(0, 2)
    talk.write(2, block(0))
    answer = talk.ask(talk.read_frame(0, 3))
    assert (answer.flags, answer.payload, answer.length) == (ZEROES, b"", 3 * 4096)
    states = talk.stamps()
    assert [states[number].stamp for number in range(3)] == [frame.first_stamp(1) + 2] * 2 + [frame.first_stamp(1) + 3]


def test_a_newer_write_replaces_an_older_one_and_never_the_reverse(store: Any) -> None:
    talk = Talk(store)
    newer = talk.stamp() + 10
    talk.write(0, block(1), stamp=newer)
    assert refusal(talk.write(0, block(2), stamp=newer - 5)) == Why.MALFORMED
    assert talk.write(0, block(1), stamp=newer).op == Op.ACK
    assert talk.read(0) == block(1)


def test_a_check_tells_the_states_of_a_span_and_where_more_may_be_known(store: Any) -> None:
    talk = Talk(store)
    talk.write(3, block(1))
    talk.zero(5, 1)
    talk.write(1023, block(2))
    span = {"offset": 0, "length": 64 * 4096}
    answer = talk.ask(talk.frame(Op.CHECK, **span))
    found = {number: (stamp, digest) for number, stamp, digest in BLOCK_LINE.iter_unpack(answer.payload)}
    assert found == {number: state for number, state in talk.stamps().items() if number < 64}
    assert 64 * 4096 <= answer.offset <= 1023 * 4096
    answer = talk.ask(talk.frame(Op.CHECK, offset=1023 * 4096, length=4096))
    assert (len(answer.payload), answer.offset) == (BLOCK_LINE.size, 0)
    assert refusal(talk.ask(talk.frame(Op.CHECK, offset=0, length=65 * 4096))) == Why.MALFORMED


def test_the_seal_of_a_newer_owner_shuts_out_the_older_one(store: Any) -> None:
    old = Talk(store, epoch=1)
    old.write(0, block(1))
    new = Talk(store, epoch=2)
    assert refusal(old.write(0, block(2))) == Why.FENCED
    assert refusal(old.ask(old.read_frame(0))) == Why.FENCED
    assert refusal(Talk(store, epoch=1).welcome) == Why.FENCED
    assert new.read(0) == block(1)


def test_an_owners_newer_connection_shuts_out_its_older_one(store: Any) -> None:
    first = Talk(store, epoch=3)
    second = Talk(store, epoch=3)
    assert refusal(first.write(0, block(1))) == Why.FENCED
    assert second.write(0, block(2)).op == Op.ACK


def test_a_watermark_is_kept_and_told(store: Any) -> None:
    talk = Talk(store)
    talk.write(0, block(1))
    talk.write(1, block(1), mark=frame.first_stamp(1) + 1)
    welcome = msgspec.msgpack.decode(Talk(store, epoch=2).welcome.payload, type=Welcome)
    assert welcome == Welcome(sealed_epoch=1, watermark=frame.first_stamp(1) + 1, checks=True)


def test_stamps_above_a_watermark_are_listed(store: Any) -> None:
    talk = Talk(store)
    for number in (3, 1, 2):
        talk.write(number, block(number))
    assert list(talk.stamps(frame.first_stamp(1) + 1)) == [1, 2]
    assert talk.stamps(extent=1) == {}


def test_a_list_of_stamps_has_what_was_sent_before_it(store: Any) -> None:
    talk = Talk(store)
    answers = talk.send(talk.write_frame(3, block(1)), talk.frame(Op.STAMPS))
    [listed] = [answer for answer in answers if answer.op == Op.DATA]
    assert len(listed.payload) == BLOCK_LINE.size


def test_a_repair_leaves_newer_writes_alone(store: Any) -> None:
    talk = Talk(store)
    talk.write(0, block(1) * 3, stamp=100 + frame.first_stamp(1))
    talk.write(1, block(2), stamp=200 + frame.first_stamp(1))
    floor = 150 + frame.first_stamp(1)
    talk.repair(Op.REPAIR, 0, block(7) * 3, stamp=50, mark=floor)
    assert talk.read(0, 3) == block(7) + block(2) + block(7)
    assert [state.stamp for state in talk.stamps().values()] == [50, 200 + frame.first_stamp(1), 50]


def test_a_repair_takes_back_what_was_never_acknowledged(store: Any) -> None:
    talk = Talk(store)
    talk.write(0, block(1) * 2)
    talk.repair(Op.REPAIR_ABSENT, 0, 1, stamp=0, mark=1 << 62)
    talk.repair(Op.REPAIR_ZERO, 1, 1, stamp=40, mark=1 << 62)
    assert talk.read(0, 2) == bytes(8192)
    assert {number: state.stamp for number, state in talk.stamps().items()} == {1: 40}


def test_a_repair_of_a_damaged_block_asks_for_no_stamp(store: Any) -> None:
    talk = Talk(store)
    stamp = talk.stamp()
    talk.write(0, block(1), stamp=stamp)
    talk.repair(Op.REPAIR, 0, block(1), stamp=stamp, mark=0, flags=ALWAYS)
    assert talk.read(0) == block(1)


def test_what_is_fetched_comes_with_its_stamps_and_without_the_parents_blocks(store: Any) -> None:
    parent = Talk(store)
    parent.write(0, block(1) * 4)
    clone = Talk(store, CLONE, parents=(VOLUME,))
    stamp = clone.stamp()
    clone.write(1, block(2), stamp=stamp)
    lines, data = clone.fetch(0, 3)
    assert [line[:2] for line in lines] == [(0, 0), (1, stamp), (2, 0)]
    assert data[4096:8192] == block(2)


def test_a_clone_shows_its_parent_where_it_has_nothing_of_its_own(store: Any) -> None:
    parent = Talk(store)
    parent.write(0, block(1) * 4)
    parent.write(0, block(8), extent=2)
    clone = Talk(store, CLONE, parents=(VOLUME,))
    clone.write(1, block(2))
    clone.zero(2, 1)
    assert clone.read(0, 5) == block(1) + block(2) + block(0) + block(1) + block(0)
    assert clone.read(0, extent=2) == block(8)
    assert parent.read(0, 4) == block(1) * 4


def test_what_a_parent_gets_later_shows_through_in_a_clone_that_was_there_before(store: Any) -> None:
    clone = Talk(store, CLONE, parents=(VOLUME,))
    clone.write(1, block(7))
    assert clone.read(0, 2) == block(0) + block(7)
    Talk(store).write(0, block(1) * 4)
    assert clone.read(0, 2) == block(1) + block(7)


def test_a_reader_finds_a_volume_and_changes_nothing(store: Any) -> None:
    assert refusal(Talk(store, writer=False).welcome) == Why.UNKNOWN
    Talk(store).write(0, block(1))
    reader = Talk(store, writer=False)
    assert reader.read(0) == block(1)
    assert refusal(reader.write(0, block(2))) == Why.FENCED


def test_a_reader_of_what_nobody_ever_wrote_reads_its_source(store: Any) -> None:
    Talk(store).write(0, block(1))
    reader = Talk(store, CLONE, epoch=0, writer=False, parents=(VOLUME,), unclaimed=True)
    assert reader.read(0, 2) == block(1) + block(0)
    assert refusal(reader.write(0, block(2))) == Why.FENCED
    assert Talk(store, CLONE, epoch=1, parents=(VOLUME,)).write(0, block(3)).op == Op.ACK


def test_a_full_disk_refuses_data_and_takes_trims(store: Any) -> None:
    talk = Talk(store)
    talk.write(0, block(1))
    store.full = True
    assert refusal(talk.write(1, block(2))) == Why.FULL
    assert talk.zero(0, 1).op == Op.ACK


@pytest.mark.parametrize(
    "fields",
    [
        {"offset": 512, "length": 4096},
        {"offset": 0, "length": 100},
        {"offset": EXTENT_BYTES, "length": 4096},
        {"offset": 0, "length": 0},
        {"offset": 0, "length": 2 << 20},
    ],
)
def test_what_lies_outside_the_blocks_is_refused(store: Any, fields: dict[str, int]) -> None:
    talk = Talk(store)
    assert refusal(talk.ask(talk.frame(Op.READ, **fields))) == Why.MALFORMED


def test_a_flipped_bit_on_the_wire_ends_the_connection(store: Any) -> None:
    talk = Talk(store)
    for at in (9, 80):
        bad = bytearray(talk.write_frame(0, block(1)))
        bad[at] ^= 4
        with pytest.raises(BadFrame):
            talk.send(bytes(bad))


def test_a_removed_volume_is_gone_and_may_come_again(store: Any) -> None:
    talk = Talk(store)
    talk.write(0, block(1))
    for _ in range(2):
        assert talk.ask(talk.frame(Op.REMOVE, VOLUME.encode())).op == Op.ACK
    assert msgspec.msgpack.decode(talk.ask(talk.frame(Op.USAGE)).payload, type=Usage).volumes == ()
    again = Talk(store)
    assert again.read(0) == block(0)


def test_equal_replicas_have_equal_digests(store: Any, tmp_path: Path) -> None:
    other = ExtentStore(tmp_path / "other", DiskId("o"), segment_bytes=4 << 20)
    one, two = Talk(store), Talk(other)
    for number in (1, 700, 3):
        one.write(number, block(number % 250))
    for number in (1, 700, 3):
        two.write(number, block(number % 250))
        other.settle()
    if isinstance(store, ExtentStore):
        assert one.digest() == two.digest() != []
    one.write(1, block(9))
    assert one.digest() != two.digest()
    other.close()


def drop(talk: Talk, extents: tuple[int, ...], changes: int) -> None:
    talk.store.drop(VOLUME, extents, changes)


def test_what_was_dropped_is_gone_and_the_rest_stays(store: Any) -> None:
    talk = Talk(store)
    talk.write(0, block(1), extent=1)
    talk.write(0, block(2), extent=2)
    drop(talk, (1,), 5)
    again = Talk(store, changes=5)
    assert again.read(0, extent=1) == block(0)
    assert again.read(0, extent=2) == block(2)
    again.write(1, block(3), extent=1)
    assert again.read(0, 2, extent=1) == block(0) + block(3)


def test_who_goes_by_a_map_from_before_a_drop_is_refused_until_it_has_another(store: Any) -> None:
    talk = Talk(store)
    talk.write(0, block(1), extent=1)
    drop(talk, (1,), 5)
    assert refusal(talk.write(0, block(2), extent=1)) == Why.OUTDATED
    assert refusal(Talk(store, epoch=2, changes=4).welcome) == Why.OUTDATED
    assert talk.send(frame.pack(Op.PING, request=1, stamp=5))[0].op == Op.ACK
    assert talk.write(0, block(2), extent=2).op == Op.ACK


def test_a_drop_that_comes_again_late_takes_nothing_away(store: Any) -> None:
    talk = Talk(store)
    drop(talk, (1,), 5)
    again = Talk(store, changes=6)
    again.write(0, block(1), extent=1)
    drop(talk, (1,), 5)
    assert again.read(0, extent=1) == block(1)


@pytest.mark.parametrize("settled", [False, True])
def test_a_dropped_extent_does_not_come_back_with_a_restart(tmp_path: Path, settled: bool) -> None:
    disk = ExtentStore(tmp_path, DiskId("d"), segment_bytes=4 << 20)
    talk = Talk(disk)
    talk.write(0, block(1), extent=1)
    talk.write(0, block(2), extent=2)
    if settled:
        disk.settle()
    drop(talk, (1,), 5)
    Talk(disk, changes=5).write(3, block(3), extent=1)
    for thread in threading.enumerate():
        if thread.name == "remove":
            thread.join()
    found = ExtentStore(tmp_path, DiskId("d"), segment_bytes=4 << 20)
    assert refusal(Talk(found).welcome) == Why.OUTDATED
    again = Talk(found, changes=5)
    assert again.read(0, 4, extent=1) == block(0) * 3 + block(3)
    assert again.read(0, extent=2) == block(2)
    found.close()


def test_an_older_write_after_a_newer_one_is_refused(store: Any) -> None:
    talk = Talk(store)
    talk.write(1, block(1), stamp=frame.first_stamp(1) + 9)
    assert refusal(talk.write(1, block(2), stamp=frame.first_stamp(1) + 8)) == Why.MALFORMED
    assert talk.write(2, block(3), stamp=frame.first_stamp(1) + 7).op == Op.ACK
    assert talk.read(1, 2) == block(1) + block(3)


def test_it_is_refused_after_a_restart_too(tmp_path: Path) -> None:
    for settled in (True, False):
        directory = tmp_path / str(settled)
        store = ExtentStore(directory, DiskId("d"), segment_bytes=4 << 20)
        Talk(store).write(1, block(1), stamp=frame.first_stamp(1) + 9)
        if settled:
            store.settle()
        again = ExtentStore(directory, DiskId("d"), segment_bytes=4 << 20)  # the first one was killed
        assert refusal(Talk(again).write(1, block(2), stamp=frame.first_stamp(1) + 8)) == Why.MALFORMED
        again.close()
