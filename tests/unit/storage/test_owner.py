"""What an owner does for its guest, one situation at a time. (All of them at once: tests/simulation.)"""

import errno

from msgspec.structs import replace

from noded.core.errors import Conflict, Unavailable
from storage.extents import authority
from storage.extents.authority import Grow, Locate, Shrink
from storage.extents.member import MemberState
from storage.extents.replication import Phase
from tests.unit.storage.rig import DISKS, Rig, clone_map, volume_map
from tests.unit.storage.talk import block

A, B, C = DISKS


def all_equal(rig: Rig) -> bool:
    return rig.content(A) == rig.content(B) == rig.content(C)


def test_a_write_is_on_every_replica_when_it_is_answered() -> None:
    rig = Rig()
    assert rig.write(3, block(1) * 6) == [0]
    assert rig.read(2, 8) == [(0, block(0) + block(1) * 6 + block(0))]
    assert len(rig.content(A)) == 6
    assert all_equal(rig)


def test_a_write_waits_for_every_replica() -> None:
    rig = Rig()
    rig.silent = {C}
    done = rig.write(0, block(1))
    assert done == []
    rig.silent = set()
    rig.settle()
    assert done == [0]


def test_the_replica_on_this_node_is_read() -> None:
    rig = Rig()
    rig.write(0, block(1) * 12)
    rig.silent = {B, C}
    assert rig.read(0, 12) == [(0, block(1) * 12)]


def test_a_read_waits_for_the_write_of_its_block() -> None:
    rig = Rig()
    rig.silent = {C}
    rig.write(1, block(1))
    answer = rig.read(0, 2)
    assert (answer, rig.read(2)) == ([], [(0, None)])
    rig.silent = set()
    rig.settle()
    assert answer == [(0, block(0) + block(1))]


def test_writes_of_one_block_follow_one_another() -> None:
    rig = Rig()
    rig.silent = {C}
    first, second, other = rig.write(1, block(1)), rig.write(0, block(2) * 2), rig.write(5, block(3))
    assert len(rig.owner.inflight) == 2
    rig.silent = set()
    rig.settle()
    assert [first, second, other] == [[0], [0], [0]]
    assert rig.read(0, 2) == [(0, block(2) * 2)]


def test_bytes_that_end_inside_a_block_leave_the_rest_of_it() -> None:
    rig = Rig()
    rig.write(0, block(7) * 3)
    assert rig.update(4000, b"x" * 4500) == [0]
    expected = bytearray(block(7) * 3)
    expected[4000:8500] = b"x" * 4500
    assert rig.read(0, 3) == [(0, bytes(expected))]
    assert rig.update(10, None, length=20) == [0]
    expected[10:30] = bytes(20)
    assert rig.read(0, 3) == [(0, bytes(expected))]
    assert all_equal(rig)


def test_two_updates_of_one_block_both_count() -> None:
    rig = Rig()
    rig.silent = {C}
    rig.update(0, b"one")
    rig.update(10, b"two")
    rig.silent = set()
    rig.settle()
    assert rig.read(0) == [(0, b"one".ljust(10, b"\0") + b"two".ljust(4086, b"\0"))]


def test_zeroes_over_several_extents_take_the_blocks_away() -> None:
    rig = Rig()
    rig.write(0, block(1) * 12)
    assert rig.update(0, None, length=12 * 4096) == [0]
    assert rig.read(0, 12) == [(0, bytes(12 * 4096))]


def test_a_replica_that_goes_is_taken_out_before_a_write_is_answered_without_it() -> None:
    rig = Rig()
    rig.answers_at_once = False
    rig.disconnect(C)
    done = rig.write(0, block(1))
    rig.pass_time(1)
    assert (done, rig.asked) == ([], [Shrink(rig.volume.volume_id, 1, 0, (C,))])
    rig.answer()
    assert done == [0]


def test_reads_and_writes_go_on_without_the_log_as_long_as_the_replicas_stay() -> None:
    rig = Rig()
    rig.answers_at_once = False
    rig.disconnect(C)
    rig.pass_time(1)
    rig.answer()
    assert rig.write(0, block(1)) == [0]
    rig.come_back(C)
    assert isinstance(rig.asked[-1], Grow)
    rig.owner.refused_by_authority(Unavailable("nobody answers"))
    for number in range(3):
        assert rig.write(number, block(number)) == [0]
        assert rig.read(number) == [(0, block(number) if number else None)]
        rig.pass_time(1)


def test_a_replica_that_returns_gets_what_it_missed_and_only_that() -> None:
    rig = Rig()
    rig.write(0, block(1) * 12)
    rig.pass_time(2)
    rig.disconnect(C)
    rig.pass_time(1)
    rig.write(5, block(2) * 2)
    rig.come_back(C)
    assert rig.volume.in_sync == DISKS
    assert rig.owner.recovery.blocks_copied == 2
    assert all_equal(rig)


def test_a_write_that_only_a_lost_replica_has_is_taken_back() -> None:
    rig = Rig()
    rig.write(0, block(1))
    rig.pass_time(2)
    lone = Rig(volume_map(epoch=1, in_sync=DISKS), stores=rig.stores)
    lone.disconnect(A)
    lone.disconnect(B)
    lone.owner.write(0, block(9), lambda _error: None)
    del lone
    later = Rig(volume_map(epoch=2, in_sync=(A, B), changes=1), stores=rig.stores)
    assert later.volume.in_sync == DISKS
    assert later.read(0) == [(0, block(1))]
    assert all_equal(later)


def test_what_one_in_sync_replica_has_and_the_others_lack_is_given_to_all_at_opening() -> None:
    rig = Rig()
    rig.silent = {B, C}
    rig.write(0, block(1))
    rig.stores[B].replicas[rig.owner.key].blocks.clear()
    rig.stores[C].replicas[rig.owner.key].blocks.clear()
    later = Rig(volume_map(epoch=2), stores=rig.stores)
    assert later.read(0) == [(0, block(1))]
    assert all_equal(later)


def test_the_volume_opens_without_a_replica_that_does_not_come() -> None:
    rig = Rig()
    rig.write(0, block(1))
    later = Rig(volume_map(epoch=2), stores=rig.stores)
    waiting = Rig(volume_map(epoch=3), stores=rig.stores)
    waiting.owner.disconnected(C, "test")
    waiting.down.add(C)
    del later
    done = waiting.write(1, block(2))
    waiting.pass_time(5)
    assert (done, waiting.volume.in_sync) == ([0], (A, B))


def test_the_last_replica_is_never_taken_out() -> None:
    rig = Rig()
    rig.disconnect(B)
    rig.pass_time(1)
    rig.disconnect(C)
    rig.pass_time(1)
    rig.disconnect(A)
    done = rig.write(0, block(1))
    rig.pass_time(30)
    assert (done, rig.volume.in_sync, rig.owner.phase) == ([], (A,), Phase.OPENING)
    rig.come_back(B)
    rig.pass_time(5)
    assert done == []
    rig.come_back(A)
    rig.pass_time(1)
    assert (done, rig.volume.in_sync) == ([0], (A, B))


def test_a_replica_that_answers_too_late_is_given_up_and_comes_back() -> None:
    rig = Rig()
    rig.silent = {B}
    done = rig.write(0, block(1))
    rig.down = {B}
    rig.pass_time(6)
    assert (done, rig.volume.in_sync) == ([0], (A, C))
    rig.silent = set()
    rig.come_back(B)
    assert rig.volume.in_sync == DISKS
    assert all_equal(rig)


def test_an_owner_that_was_superseded_stops() -> None:
    rig = Rig()
    newer = Rig(volume_map(epoch=2), stores=rig.stores)
    assert rig.write(0, block(1)) == []
    assert "epoch 2" in rig.gone
    assert newer.write(0, block(2)) == [0]
    refused = Rig()
    refused.answers_at_once = False
    refused.disconnect(C)
    refused.pass_time(1)
    refused.answer(Conflict("claimed again", code=authority.SUPERSEDED))
    assert (refused.gone, refused.owner.phase) == ("claimed again", Phase.STOPPED)


def test_a_change_that_is_out_of_date_is_decided_anew() -> None:
    rig = Rig()
    rig.answers_at_once = False
    rig.disconnect(C)
    rig.pass_time(1)
    rig.answer(Conflict("the set has changed", code=authority.STALE_CHANGE))
    assert isinstance(rig.asked[-1], Locate)
    rig.answer()
    assert isinstance(rig.asked[-1], Shrink)


def test_an_unanswered_change_is_asked_again_unaltered() -> None:
    rig = Rig()
    rig.answers_at_once = False
    rig.disconnect(C)
    rig.pass_time(1)
    rig.disconnect(B)
    rig.answer(Unavailable("no answer"))
    rig.pass_time(2)
    assert rig.asked == [Shrink(rig.volume.volume_id, 1, 0, (C,))] * 2


def test_damage_is_read_around_and_mended() -> None:
    rig = Rig()
    rig.write(0, block(1) * 3)
    rig.stores[A].damaged = {(0, 1)}
    assert rig.read(0, 3) == [(0, block(1) * 3)]
    assert (rig.stores[A].damaged, rig.owner.damaged_blocks) == (set(), 1)
    assert all_equal(rig)
    assert rig.write(1, block(2)) == [0]


def test_a_block_that_is_damaged_everywhere_is_an_error_and_can_be_written_again() -> None:
    rig = Rig()
    rig.write(0, block(1))
    for store in rig.stores.values():
        store.damaged = {(0, 0)}
    assert rig.read(0) == [(errno.EIO, None)]
    assert rig.write(0, block(2)) == [0]
    assert rig.read(0) == [(0, block(2))]


def test_blocks_that_rot_differently_on_every_replica_are_read_one_by_one() -> None:
    rig = Rig()
    rig.write(0, block(1) + block(2) + block(3))
    for number, disk in enumerate(DISKS):
        rig.stores[disk].damaged.add((0, number))
    assert rig.read(0, 3) == [(0, block(1) + block(2) + block(3))]
    assert not rig.stores[A].damaged  # which is read first


def test_what_a_replica_has_lost_is_given_to_it_at_opening_and_at_its_return() -> None:
    rig = Rig()
    rig.write(0, block(1) + block(2))
    rig.disconnect(DISKS[1])
    rig.pass_time(5)
    rig.write(1, block(3))
    rig.stores[DISKS[1]].lost |= {(0, 0), (0, 1), (0, 2)}
    # The source has lost what it knew of a block that the one that returns has missed: a third one gives it.
    rig.stores[DISKS[0]].lost.add((0, 1))
    rig.come_back(DISKS[1])
    assert set(rig.volume.in_sync) == set(DISKS)
    assert rig.content(DISKS[1]) == rig.content(DISKS[2])
    assert not rig.stores[DISKS[1]].lost
    again = Rig(volume=replace(rig.volume, epoch=2), stores=rig.stores)
    assert not again.stores[DISKS[0]].lost
    assert again.content(DISKS[0]) == again.content(DISKS[2])
    assert again.read(0, 3) == [(0, block(1) + block(3) + block(0))]


def test_a_full_disk_leaves_the_set_and_the_guest_goes_on() -> None:
    rig = Rig()
    rig.stores[C].full = True
    rig.down = {C}
    assert rig.write(0, block(1)) == [0]
    assert rig.volume.in_sync == (A, B)


def test_when_the_last_disk_is_full_the_guest_is_told_and_may_trim() -> None:
    rig = Rig()
    for disk_id in (B, C):
        rig.disconnect(disk_id)
    rig.pass_time(1)
    rig.write(0, block(1))
    rig.stores[A].full = True
    assert rig.write(1, block(2)) == [errno.ENOSPC]
    assert rig.update(0, None, length=4096) == [0]
    rig.stores[A].full = False
    assert rig.write(1, block(3)) == [0]


def test_a_clone_counts_a_replica_only_where_its_parent_is_in_sync() -> None:
    source = Rig()
    source.write(0, block(1))
    clone = Rig(clone_map((A, B), in_sync=(A, B)), stores=source.stores)
    assert clone.read(0) == [(0, block(1))]
    assert (clone.volume.in_sync, clone.owner.members[C].state) == ((A, B), MemberState.CURRENT)
    clone.volume = clone_map(in_sync=(A, B))
    clone.pass_time(12)
    assert clone.volume.in_sync == DISKS


def test_a_resync_copies_no_block_of_the_parent() -> None:
    source = Rig()
    source.write(0, block(1) * 12)
    clone = Rig(clone_map(), stores=source.stores)
    clone.disconnect(C)
    clone.pass_time(1)
    clone.write(2, block(2))
    clone.come_back(C)
    assert (clone.volume.in_sync, list(clone.content(C))) == (DISKS, [(0, 2)])


def test_a_reader_claims_nothing_and_reads_on_when_somebody_claims() -> None:
    rig = Rig()
    rig.write(0, block(1))
    reader = Rig(stores=rig.stores, writes=False)
    assert reader.read(0) == [(0, block(1))]
    repairer = Rig(volume_map(epoch=2), stores=rig.stores)
    assert repairer.read(0) == [(0, block(1))]
    reader.volume = volume_map(epoch=2)
    answer = reader.read(0)
    reader.pass_time(2)
    assert (answer, reader.gone) == ([(0, block(1))], "")
    assert not [request for request in reader.asked if not isinstance(request, Locate)]


def test_an_idle_replica_learns_the_watermark() -> None:
    rig = Rig()
    rig.write(0, block(1))
    rig.pass_time(3)
    assert {store.replicas[rig.owner.key].watermark for store in rig.stores.values()} == {rig.owner.stamp}
