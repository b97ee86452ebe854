"""Volumes come into being on distinct nodes, are cloned where their source is, and go when nobody needs them."""

import pytest
from msgspec.structs import replace

from noded.core.errors import Conflict, Invalid, NoRoom, NotFound
from noded.core.ids import VolumeId
from noded.core.units import GIB
from storage.pools.commands import ReportDisk
from storage.pools.model import DiskState
from storage.volumes.commands import (
    ConfirmRemoval,
    DeleteVolume,
    attach_volume,
    choose_layout,
    clone_volume,
    delete_volume,
    seal_volume,
)
from storage.volumes.model import Purpose, Volume, extent_bytes_for
from tests.unit.storage_services.builders import (
    PROJECT,
    Bench,
    all_nodes,
    create,
    disk_id,
    node,
    pool,
    register,
)

V1, V2 = VolumeId("v1"), VolumeId("v2")


def sealed(bench: Bench, size_bytes: int = 2 * GIB) -> Bench:
    bench.apply(create(bench))
    change = bench.begin()
    seal_volume(change, V1, size_bytes)
    bench.view = change.commit()
    return bench


def clone(bench: Bench, size_bytes: int = 2 * GIB, child: VolumeId = V2) -> Volume:
    parent = bench.volume(V1)
    change = bench.begin()
    extents = range(len(parent.layout), -(-size_bytes // parent.extent_bytes))
    volume = clone_volume(
        change,
        volume_id=child,
        parent_id=V1,
        project_id=PROJECT,
        name="root",
        size_bytes=size_bytes,
        tail=choose_layout(bench.view, all_nodes(), child, extents),
        purpose=Purpose.ROOT,
        now_ms=3000,
        server_id="s1",
        node_id=node(1),
    )
    bench.view = change.commit()
    return volume


def test_each_extent_has_three_replicas_on_three_nodes() -> None:
    bench = pool(nodes=5, disks=2)
    bench.apply(create(bench, size_bytes=64 * GIB))
    volume = bench.volume(V1)
    assert len(volume.layout) == 64
    assert all(len({disk[:30] for disk in disks}) == 3 for disks in volume.layout)
    assert set(volume.in_sync) == set(volume.disk_ids)


@pytest.mark.parametrize("nodes", [1, 2])
def test_fewer_nodes_hold_fewer_replicas(nodes: int) -> None:
    bench = pool(nodes=nodes, disks=2)
    bench.apply(create(bench))
    assert bench.volume(V1).replicas == nodes


def test_a_node_that_cannot_be_reached_is_chosen_only_where_it_must_be() -> None:
    four = choose_layout(pool(nodes=4).view, {node(1), node(2), node(4)}, V1, range(8))
    assert all(disk_id(3) not in disks for disks in four)
    three = choose_layout(pool(nodes=3).view, {node(1), node(2)}, V1, range(2))
    assert all(disk_id(3) in disks for disks in three)


def test_the_guests_own_node_comes_first() -> None:
    layout = choose_layout(pool(nodes=5).view, all_nodes(5), V1, range(8), prefer=node(4))
    assert all(disks[0] == disk_id(4) for disks in layout)


def test_a_layout_with_fewer_replicas_than_possible_is_refused() -> None:
    bench = pool(nodes=2)
    before = create(bench)
    bench.apply(register(3))
    assert "Try again" in bench.refusal(before).message
    assert bench.view.count(Volume) == 0


def test_two_replicas_on_one_node_are_refused() -> None:
    bench = pool(nodes=3, disks=2)
    order = create(bench)
    doubled = tuple((disk_id(1, 0), disk_id(1, 1), disk_id(2)) for _ in order.layout)
    assert isinstance(bench.refusal(replace(order, layout=doubled)), Conflict)


def test_without_room_the_refusal_names_each_disk_and_its_reason() -> None:
    bench = Bench(register(1, size_bytes=10 * GIB, used_bytes=10 * GIB), register(2))
    bench.apply(
        ReportDisk(disk_id=disk_id(2), node_id=node(2), state=DiskState.FAILED, fault="it is gone", used_bytes=0)
    )
    with pytest.raises(NoRoom, match=r"disk0 of node 0+1: in_use, 0 bytes free; disk disk0 of node 0+2: it is gone"):
        choose_layout(bench.view, all_nodes(), V1, range(1))


@pytest.mark.parametrize(("size_gib", "extent_gib"), [(1, 1), (64, 1), (65, 2), (1024, 16), (16_000, 256)])
def test_large_volumes_have_larger_extents_and_never_more_than_64(size_gib: int, extent_gib: int) -> None:
    assert extent_bytes_for(size_gib * GIB) == extent_gib * GIB


def test_a_clone_lies_on_its_sources_disks_and_grows_beyond_them() -> None:
    bench = sealed(pool(nodes=5))
    child = clone(bench, 5 * GIB)
    parent = bench.volume(V1)
    assert child.layout[:2] == parent.layout
    assert len(child.layout) == 5
    assert child.parent_id == V1


def test_a_clone_is_behind_where_its_source_is_behind() -> None:
    bench = sealed(pool())
    change = bench.begin()
    change.put(replace(bench.volume(V1), in_sync=(disk_id(1), disk_id(2))))
    bench.view = change.commit()
    assert clone(bench).out_of_sync == (disk_id(3),)


def test_only_what_never_changes_can_be_cloned_and_no_clone_is_smaller() -> None:
    bench = pool()
    bench.apply(create(bench))
    with pytest.raises(Conflict, match="can still change"):
        clone(bench)
    with pytest.raises(Invalid, match="smaller"):
        clone(sealed(pool()), GIB)


def test_a_sealed_volume_ends_where_its_bytes_end() -> None:
    bench = sealed(pool(), 5000)
    volume = bench.volume(V1)
    assert volume.size_bytes == 8192
    assert len(volume.layout) == 1
    assert volume.immutable
    assert volume.node_id is None


def test_a_source_outlives_its_deletion_until_the_last_clone_is_gone() -> None:
    bench = sealed(pool())
    clone(bench)
    change = bench.begin()
    delete_volume(change, V1)
    bench.view = change.commit()
    everywhere = bench.volume(V1).disk_ids
    assert "not to be removed" in bench.refusal(ConfirmRemoval(volume_id=V1, disk_ids=everywhere)).message
    change = bench.begin()
    delete_volume(change, V2)
    bench.view = change.commit()
    bench.apply(ConfirmRemoval(volume_id=V2, disk_ids=everywhere[:1]))
    assert bench.volume(V2).removed_from == everywhere[:1]
    bench.apply(ConfirmRemoval(volume_id=V2, disk_ids=everywhere[1:]))
    bench.apply(ConfirmRemoval(volume_id=V1, disk_ids=everywhere))
    assert bench.view.count(Volume) == 0


def test_a_volume_in_use_is_neither_deleted_nor_given_to_another_server() -> None:
    bench = pool()
    bench.apply(create(bench))
    change = bench.begin()
    attach_volume(change, V1, server_id="s1", node_id=node(1))
    bench.view = change.commit()
    assert "detach it first" in bench.refusal(DeleteVolume(volume_id=V1)).message
    with pytest.raises(Conflict, match="in use by server s1"):
        attach_volume(bench.begin(), V1, server_id="s2", node_id=node(2))


def test_deleting_what_is_not_there_says_so() -> None:
    assert isinstance(pool().refusal(DeleteVolume(volume_id=V1)), NotFound)
