"""What a pass over a volume finds on its replicas, and mends."""

import pytest
from msgspec.structs import replace

from noded.core.ids import DiskId
from storage.extents.frame import hash_of
from storage.extents.layout import BLOCK_BYTES
from tests.twins.extents import Block
from tests.unit.storage.rig import DISKS, Rig
from tests.unit.storage.talk import block

A, B, C = DISKS
SECONDS_MAX = 30
BLOCKS = 12


@pytest.fixture
def rig() -> Rig:
    """Twelve blocks in three extents, all written."""
    rig = Rig()
    for number in range(BLOCKS):
        assert rig.write(number, block(number + 1)) == [0]
    return rig


def scrub(rig: Rig, extent: int = 0) -> None:
    rig.owner.scrub.start(1, extent)
    rig.pass_time(SECONDS_MAX)


def blocks_of(rig: Rig, disk: DiskId) -> dict[tuple[int, int], Block]:
    return rig.stores[disk].replicas[rig.owner.key].blocks


def all_equal(rig: Rig) -> bool:
    return blocks_of(rig, A) == blocks_of(rig, B) == blocks_of(rig, C)


def test_a_pass_over_whole_replicas_finds_nothing_and_ends(rig: Rig) -> None:
    scrub(rig)
    found = rig.owner.scrub
    assert (found.is_done, found.is_running, found.extent, found.blocks) == (True, False, 3, BLOCKS)
    assert (+found.rotten, +found.different, found.gone) == ({}, {}, 0)


def test_what_has_rotted_and_is_never_read_is_mended(rig: Rig) -> None:
    rig.stores[B].damaged |= {(0, 1), (2, 3)}
    rig.stores[C].lost |= {(0, 1), (1, 0)}
    scrub(rig)
    assert +rig.owner.scrub.rotten == {B: 2, C: 2}
    assert rig.stores[B].damaged == rig.stores[C].lost == set()
    assert all_equal(rig)
    assert rig.owner.damaged_blocks == 4


def test_a_write_that_a_disk_forgot_is_brought_again(rig: Rig) -> None:
    before = blocks_of(rig, A)[0, 2]
    rig.write(2, block(99))
    blocks_of(rig, A)[0, 2] = before  # it was acknowledged, and the disk lost it
    del blocks_of(rig, C)[1, 1]
    scrub(rig)
    assert +rig.owner.scrub.different == {A: 1, C: 1}
    assert rig.read(2) == [(0, block(99))]
    assert all_equal(rig)


def test_of_two_contents_of_one_write_that_of_most_counts(rig: Rig) -> None:
    stamp, _, right = blocks_of(rig, A)[0, 0]
    wrong = bytes(BLOCK_BYTES)
    blocks_of(rig, A)[0, 0] = (stamp, hash_of(wrong), wrong)
    scrub(rig)
    assert +rig.owner.scrub.different == {A: 1}
    assert blocks_of(rig, A)[0, 0][2] == right
    assert all_equal(rig)


def test_a_block_that_rotted_everywhere_is_counted_and_stays_an_error(rig: Rig) -> None:
    for disk in DISKS:
        rig.stores[disk].damaged.add((1, 2))
    scrub(rig)
    assert (rig.owner.scrub.gone, rig.owner.scrub.is_done) == (1, True)
    assert rig.read(6)[0][0] != 0


def test_guests_write_on_while_a_piece_is_being_mended(rig: Rig) -> None:
    rig.stores[B].damaged.add((0, 0))
    rig.owner.scrub.start(1, 0)
    rig.time += 1
    rig.owner.tick()
    written = rig.write(0, block(50)), rig.write(1, block(51))
    rig.pass_time(SECONDS_MAX)
    assert written == ([0], [0])
    assert rig.read(0, 2) == [(0, block(50) + block(51))]
    assert all_equal(rig)


def test_a_pass_goes_on_where_it_was_and_checks_what_came_before_no_more(rig: Rig) -> None:
    rig.stores[B].damaged |= {(0, 1), (2, 3)}
    scrub(rig, extent=1)
    assert rig.stores[B].damaged == {(0, 1)}
    assert rig.owner.scrub.is_done


def test_a_pass_waits_until_every_replica_counts(rig: Rig) -> None:
    rig.disconnect(B)
    rig.pass_time(5)
    scrub(rig)
    assert (rig.owner.scrub.is_running, rig.owner.scrub.extent) == (True, 0)
    rig.come_back(B)
    rig.pass_time(SECONDS_MAX)
    assert rig.owner.scrub.is_done


def test_a_replica_that_goes_in_the_middle_has_the_piece_looked_at_again(rig: Rig) -> None:
    rig.stores[C].damaged.add((1, 1))
    rig.silent.add(C)
    rig.owner.scrub.start(1, 0)
    rig.pass_time(2)
    rig.disconnect(C)
    rig.silent.clear()
    rig.pass_time(5)
    rig.come_back(C)
    rig.pass_time(SECONDS_MAX)
    assert (rig.owner.scrub.is_done, +rig.owner.scrub.rotten) == (True, {C: 1})
    assert rig.write(5, block(7)) == [0]
    assert all_equal(rig)


def test_a_pass_is_no_faster_than_it_may_be(rig: Rig) -> None:
    rig.owner.in_sync.volume = replace(rig.owner.in_sync.volume, scrub_bytes_s=BLOCK_BYTES)
    rig.owner.scrub.start(1, 0)
    rig.pass_time(4)
    assert rig.owner.scrub.is_running
    rig.pass_time(60)
    assert rig.owner.scrub.is_done
