"""A replica that is made on another disk while the volume is written: when it is filled, when it counts."""

from typing import Any

from msgspec.structs import replace

from noded.core.ids import DiskId
from storage.extents.authority import Adopt, Joiner
from storage.extents.layout import BLOCK_BYTES
from storage.extents.member import MemberState
from tests.twins.extents import MemoryStore
from tests.unit.storage.rig import DISKS, Rig, volume_map
from tests.unit.storage.talk import block

A, B, C = DISKS
D = DiskId("d")
TWO = ((A, B), (A, B), (A, B))


def rig(*joining: Joiner, **changes: Any) -> Rig:
    """Three extents on `a` and `b`; `c` and `d` have none."""
    volume = volume_map(**({"layout": TWO, "in_sync": (A, B), "joining": joining} | changes))
    stores = {disk: MemoryStore() for disk in (*DISKS, D)}
    return Rig(volume, stores=stores, disks=(*DISKS, D))


def data_of(rig: Rig, disk_id: DiskId) -> dict[int, bytes]:
    return {extent * 4 + number: data[:1] for (extent, number), (_, _, data) in rig.content(disk_id).items()}


def test_a_joining_replica_gets_all_of_its_extent_and_then_counts() -> None:
    found = rig()
    found.write(0, block(1))
    found.write(5, block(2))
    found.volume = replace(found.volume, joining=(Joiner(1, C),))
    found.owner.in_sync.look_again()
    found.pass_time(1)
    assert found.volume.layout == ((A, B), (A, B, C), (A, B))
    assert found.volume.in_sync == (A, B, C)
    assert data_of(found, C) == {5: block(2)[:1]}
    adopt = next(request for request in found.asked if isinstance(request, Adopt))
    assert (adopt.extents, adopt.blocks) == ((1,), 1)
    found.write(6, block(3))
    assert data_of(found, C) == {5: block(2)[:1], 6: block(3)[:1]}


def test_a_disk_that_holds_other_extents_gets_one_more_from_its_first_stamp_on() -> None:
    found = rig(layout=((A, B), (A, B, C), (A, B)), in_sync=DISKS)
    found.write(0, block(1))
    for _ in range(3):
        found.write(5, block(2))  # so that the watermark of `c` has passed the write of block 0
    found.volume = replace(found.volume, joining=(Joiner(0, C),))
    found.owner.in_sync.look_again()
    found.pass_time(1)
    assert data_of(found, C) == {0: block(1)[:1], 5: block(2)[:1]}


def test_writes_wait_for_a_replica_that_was_perhaps_adopted_and_it_is_caught_up_when_it_was() -> None:
    found = rig()
    found.write(0, block(1))
    found.volume = replace(found.volume, joining=(Joiner(0, C),))
    found.owner.in_sync.look_again()
    found.pass_time(0.25)
    found.answers_at_once = False
    found.pass_time(1)
    assert isinstance(found.asked[-1], Adopt)
    found.disconnect(C)
    assert found.write(1, block(2)) == []
    found.come_back(C)
    assert found.owner.members[C].state is MemberState.CURRENT  # as it holds nothing that could be behind
    found.answers_at_once = True
    found.answer()
    found.pass_time(3)
    assert found.owner.members[C].state is MemberState.CURRENT
    assert found.content(C) == {key: each for key, each in found.content(A).items() if key[0] == 0}
    assert found.owner.inflight == {}


def test_a_disk_whose_last_extent_has_left_is_talked_to_no_more() -> None:
    found = rig(layout=((A, B, C), (A, B), (A, B)), in_sync=DISKS)
    found.write(0, block(1))
    found.volume = replace(found.volume, layout=TWO, in_sync=(A, B), changes=1)
    found.owner.in_sync.look_again()
    found.pass_time(1)
    assert set(found.owner.members) == {A, B}
    assert found.write(0, block(2)) == [0]
    assert data_of(found, C) == {0: block(1)[:1]}
    assert found.read(0) == [(0, block(2))]


def test_an_owner_that_goes_by_an_old_map_learns_of_the_new_one_from_the_disk() -> None:
    found = rig(layout=((A, B, C), (A, B), (A, B, C)), in_sync=DISKS)
    found.write(0, block(1))
    found.volume = replace(found.volume, layout=((A, B), (A, B), (A, B, C)), changes=1)
    found.stores[C].drop(found.volume.volume_id, [0], 1)
    found.write(0, block(2))
    found.pass_time(3)
    assert found.owner.layout == found.volume.layout
    assert found.read(0) == [(0, block(2))]
    assert data_of(found, C) == {}
    assert found.owner.members[C].state is MemberState.CURRENT


def test_joining_is_not_faster_than_it_may_be() -> None:
    found = rig(copy_bytes_s=2 * BLOCK_BYTES)
    for number in range(0, 4, 2):
        found.write(number, block(1))
    found.volume = replace(found.volume, joining=(Joiner(0, C),))
    found.owner.in_sync.look_again()
    found.pass_time(0.25)
    found.pass_time(0.25)
    assert len(found.content(C)) < 2
    found.pass_time(3)
    assert len(found.content(C)) == 2
    assert found.volume.layout[0] == (A, B, C)


def test_what_an_interrupted_move_had_brought_is_counted_once() -> None:
    found = rig(copy_bytes_s=2 * BLOCK_BYTES)
    for number in range(0, 4, 2):
        found.write(number, block(1))
    found.volume = replace(found.volume, joining=(Joiner(0, C),))
    found.owner.in_sync.look_again()
    found.pass_time(0.5)
    assert len(found.content(C)) == 1
    found.disconnect(C)
    found.come_back(C)
    found.pass_time(5)
    adopt = next(request for request in found.asked if isinstance(request, Adopt))
    assert (adopt.extents, adopt.blocks) == ((0,), 2)
