"""A snapshot takes the volume's layer, and the volume goes on in a new one."""

import pytest
from msgspec.structs import replace

from noded.core.errors import Invalid
from noded.core.ids import VolumeId
from noded.core.units import GIB
from storage.extents.authority import Mark
from storage.volumes.claims import ClaimVolume, ThawVolume, volume_map
from storage.volumes.commands import clone_volume, delete_volume
from storage.volumes.cuts import GiveUpCut, MakeCut
from storage.volumes.layers import MARK_GONE, ask_for_cut, delete_snapshot, has_snapshots, revert
from storage.volumes.model import CHAIN_MAX, Cut, CutPart, Purpose, Volume
from storage.volumes.plan import removals, repairs
from tests.unit.storage_services.builders import PROJECT, Bench, all_nodes, create, disk_id, node, pool

V1, V2, S1, S2, C1 = map(VolumeId, ("v1", "v2", "s1", "s2", "c1"))


def claimed(*volumes: VolumeId) -> Bench:
    bench = pool()
    for volume_id in volumes:
        bench.apply(create(bench, volume_id))
        bench.apply(ClaimVolume(volume_id=volume_id, node_id=node(1), claim_id="x"))
    return bench


def mark_of(bench: Bench, volume_id: VolumeId) -> Mark:
    volume = bench.volume(volume_id)
    return Mark(volume_id=volume_id, epoch=volume.epoch, changes=volume.changes)


def ask(bench: Bench, *parts: tuple[VolumeId, VolumeId], hidden: bool = False) -> None:
    change = bench.begin()
    wanted = [CutPart(volume_id=volume_id, frozen_id=frozen_id) for volume_id, frozen_id in parts]
    ask_for_cut(change, "cut", wanted, hidden=hidden, now_ms=1)
    bench.view = change.commit()


def order(bench: Bench, *volumes: VolumeId) -> MakeCut:
    marks = tuple(mark_of(bench, volume_id) for volume_id in volumes)
    return MakeCut(cut_id="cut", marks=marks, layers=tuple(f"layer of {mark.volume_id}" for mark in marks), now_ms=2)


def snapshot(bench: Bench, volume_id: VolumeId, frozen_id: VolumeId) -> None:
    ask(bench, (volume_id, frozen_id))
    bench.apply(replace(order(bench, volume_id), layers=(f"layer above {frozen_id}",)))


def test_the_snapshot_has_the_layer_and_the_volume_reads_through_to_it() -> None:
    bench = claimed(V1)
    before = bench.volume(V1)
    snapshot(bench, V1, S1)
    after, frozen = bench.volume(V1), bench.volume(S1)
    assert (frozen.layer, frozen.immutable, frozen.snapshot_of) == (V1, True, V1)
    assert (frozen.layout, frozen.in_sync, frozen.epoch) == (before.layout, before.in_sync, before.epoch)
    assert (after.layer, after.parent_id, after.epoch) == ("layer above s1", S1, before.epoch)
    seen = volume_map(bench.view, V1)
    assert (seen.layer, [parent.volume_id for parent in seen.parents]) == ("layer above s1", [V1])
    assert has_snapshots(bench.view, V1)
    assert bench.view.count(Cut) == 0


def test_a_volume_that_went_on_since_its_mark_is_not_cut() -> None:
    bench = claimed(V1)
    ask(bench, (V1, S1))
    late = order(bench, V1)
    mark = late.marks[0]
    bench.apply(ThawVolume(volume_id=V1, epoch=mark.epoch, changes=mark.changes))
    assert bench.refusal(late).code == MARK_GONE
    late = order(bench, V1)
    bench.apply(ClaimVolume(volume_id=V1, node_id=node(2), claim_id="y"))
    assert bench.refusal(late).code == MARK_GONE
    bench.apply(order(bench, V1))
    # Asked again, because the answer was lost: it is made.
    bench.apply(late)
    assert bench.view.count(Volume) == 2


def test_several_volumes_are_cut_at_once_or_none_is() -> None:
    bench = claimed(V1, V2)
    ask(bench, (V1, S1), (V2, S2))
    late = order(bench, V1, V2)
    bench.apply(ThawVolume(volume_id=V2, epoch=1, changes=0))
    assert bench.refusal(late).code == MARK_GONE
    assert bench.view.get(Volume, S1) is None
    bench.apply(order(bench, V1, V2))
    assert (bench.volume(S1).layer, bench.volume(S2).layer) == (V1, V2)


def test_a_deleted_snapshot_stays_on_the_disks_as_long_as_it_shows_through() -> None:
    bench = claimed(V1)
    snapshot(bench, V1, S1)
    snapshot(bench, V1, S2)
    change = bench.begin()
    delete_snapshot(change, S1)
    delete_snapshot(change, S2)
    bench.view = change.commit()
    assert not has_snapshots(bench.view, V1)
    assert removals(bench.view, node(1)) == []
    change = bench.begin()
    delete_volume(change, V1)
    bench.view = change.commit()
    assert [removal.layer for removal in removals(bench.view, node(1))] == ["layer above s2"]


def test_a_deleted_snapshot_that_shows_through_is_repaired() -> None:
    bench = claimed(V1)
    snapshot(bench, V1, S1)
    change = bench.begin()
    delete_snapshot(change, S1)
    frozen = change.need(Volume, S1)
    change.put(replace(frozen, in_sync=frozen.in_sync[1:]))
    bench.view = change.commit()
    assert sum(repairs(bench.view, node(number), all_nodes()).count(S1) for number in (1, 2, 3)) == 1


def test_a_clone_that_waits_for_a_cut_joins_it() -> None:
    bench = claimed(V1)
    ask(bench, (V1, S1), hidden=True)
    change = bench.begin()
    source = change.need(Volume, V1)
    change.put(
        Volume(
            id=C1,
            project_id=PROJECT,
            name="clone",
            size_bytes=source.size_bytes + GIB,
            extent_bytes=source.extent_bytes,
            layout=((disk_id(1), disk_id(2), disk_id(3)),),
            disk_ids=(),
            in_sync=(),
            purpose=Purpose.DATA,
            created_at_ms=1,
            updated_at_ms=1,
            waits_for=S1,
        )
    )
    bench.view = change.commit()
    bench.apply(order(bench, V1))
    clone, hidden = bench.volume(C1), bench.volume(S1)
    assert (clone.parent_id, clone.layout[:-1], clone.waits_for) == (S1, source.layout, None)
    assert set(clone.in_sync) == set(clone.disk_ids)
    assert hidden.deleting
    assert not has_snapshots(bench.view, V1)


def test_a_cut_that_is_given_up_leaves_the_volume_as_it_was() -> None:
    bench = claimed(V1)
    before = bench.volume(V1)
    ask(bench, (V1, S1))
    bench.apply(GiveUpCut(cut_id="cut", reason="test"))
    bench.apply(MakeCut(cut_id="cut", marks=(mark_of(bench, V1),), layers=("l",), now_ms=3))
    assert bench.volume(V1) == before


def test_a_reverted_volume_has_a_new_layer_and_its_old_one_goes() -> None:
    bench = claimed(V1)
    snapshot(bench, V1, S1)
    change = bench.begin()
    revert(change, change.need(Volume, V1), change.need(Volume, S1), leftover_id=VolumeId("old"), layer_id="new")
    bench.view = change.commit()
    volume = bench.volume(V1)
    assert (volume.layer, volume.parent_id, volume.epoch) == ("new", S1, 2)
    assert [removal.layer for removal in removals(bench.view, node(1))] == ["layer above s1"]


def test_only_the_newest_snapshot_is_reverted_to() -> None:
    bench = claimed(V1)
    snapshot(bench, V1, S1)
    snapshot(bench, V1, S2)
    change = bench.begin()
    volume, older = change.need(Volume, V1), change.need(Volume, S1)
    with pytest.raises(Invalid, match="newest"):
        revert(change, volume, older, leftover_id=VolumeId("old"), layer_id="new")


def test_a_chain_has_an_end() -> None:
    bench = claimed(V1)
    for number in range(CHAIN_MAX):
        snapshot(bench, V1, VolumeId(f"s{number}"))
    change = bench.begin()
    one_more = CutPart(volume_id=V1, frozen_id=VolumeId("last"))
    with pytest.raises(Invalid, match=str(CHAIN_MAX)):
        ask_for_cut(change, "cut", [one_more], hidden=False, now_ms=1)


def test_a_snapshot_is_cloned_like_an_image() -> None:
    bench = claimed(V1)
    snapshot(bench, V1, S1)
    change = bench.begin()
    clone_volume(
        change,
        volume_id=C1,
        parent_id=S1,
        project_id=PROJECT,
        name="clone",
        size_bytes=bench.volume(V1).size_bytes,
        tail=(),
        purpose=Purpose.DATA,
        now_ms=3,
    )
    bench.view = change.commit()
    assert [parent.volume_id for parent in volume_map(bench.view, C1).parents] == [V1]
