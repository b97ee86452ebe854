"""What should move where: redundancy comes back, nothing moves without need, clones stay where their sources are."""

from collections import Counter
from itertools import chain

import pytest
from msgspec.structs import replace

from consensus.liveness.model import NodeVerdict
from consensus.members.model import Node
from noded.core.errors import Refused
from noded.core.ids import DiskId, VolumeId
from noded.core.units import GIB, MIB
from storage.extents.layout import extent_count
from storage.pools.commands import RemoveDisks, SetDisk, SetMovePolicy
from storage.pools.model import Disk
from storage.volumes.claims import ClaimVolume, ShrinkInSync, volume_map
from storage.volumes.commands import choose_layout
from storage.volumes.creation import CreateVolume
from storage.volumes.departure import DropReplicas
from storage.volumes.model import (
    IMAGE_EXTENT_BYTES,
    Joining,
    Leftover,
    Volume,
    ancestors,
    extent_bytes_for,
    is_leaving,
)
from storage.volumes.moves import steps
from storage.volumes.moving import AdoptReplicas, CancelJoins, ConfirmDrop, JoinReplicas, LeaveDisk
from storage.volumes.plan import drops
from tests.unit.storage_services.builders import Bench, all_nodes, create, disk_id, node, pool, register
from tests.unit.storage_services.test_volumes import clone, sealed

HOUR_MS = 3_600_000
V1, V2 = VolumeId("v1"), VolumeId("v2")


def is_down(bench: Bench, number: int, since_ms: int = 0) -> None:
    change = bench.begin()
    change.put(NodeVerdict(id=node(number), down_since_ms=since_ms, missed_by=(), declared_at_ms=since_ms))
    bench.view = change.commit()


def label(bench: Bench, number: int, rack: str) -> None:
    change = bench.begin()
    name = f"node{number}"
    change.put(
        Node(
            id=node(number),
            name=name,
            addresses=(),
            fingerprint="",
            admitted_at_ms=0,
            release="1",
            labels={"rack": rack},
        )
    )
    bench.view = change.commit()


def fill(bench: Bench) -> None:
    """Each volume's owner fills what may join; disks that answer drop what left them."""
    for volume in bench.view.all(Volume):
        claim = ClaimVolume(volume_id=volume.volume_id, node_id=volume.node_id or node(1), claim_id="one")
        bench.apply(claim)
        for joiner in volume_map(bench.view, volume.volume_id).joining:
            now = bench.volume(volume.volume_id)
            order = AdoptReplicas(
                volume_id=now.volume_id,
                epoch=now.epoch,
                changes=now.changes,
                disk_id=joiner.disk_id,
                extents=(joiner.extent,),
                blocks=10,
            )
            bench.apply(order)
            check(bench)
    for disk in bench.view.all(Disk):
        if bench.view.get(NodeVerdict, disk.node_id) is None:
            for drop in drops(bench.view, disk.node_id, 2 * HOUR_MS):
                bench.apply(ConfirmDrop(volume_id=drop.volume_id, disk_id=drop.disk_id, changes=drop.changes))


def check(bench: Bench) -> None:
    """What must hold at each step, whatever moves."""
    for volume in bench.view.all(Volume):
        for extent, disks in enumerate(volume.layout):
            assert set(disks) & set(volume.in_sync), "no replica is in sync"
            stays = [disk for disk in disks if not is_leaving(volume, extent, disk)]
            nodes = Counter(bench.view.need(Disk, disk).node_id for disk in stays)
            assert max(nodes.values()) == 1, "two replicas on one node"
            for source in ancestors(bench.view, volume):
                if extent < len(source.layout):
                    assert set(disks) <= set(source.layout[extent]), "a clone is where its source is not"
                    assert set(disks) & set(volume.in_sync) <= set(source.in_sync)


def settle(bench: Bench, now_ms: int = HOUR_MS, passes: int = 200) -> int:
    """Plan and carry out until nothing is to be done; how many replicas were begun."""
    begun = 0
    for _ in range(passes):
        todo = steps(bench.view, now_ms)
        for command in todo:
            bench.apply(command)
            check(bench)
            begun += len(command.joins) if isinstance(command, JoinReplicas) else 0
        fill(bench)
        if not todo:
            return begun
    raise AssertionError("it never ends")


def replicas(bench: Bench) -> Counter[DiskId]:
    return Counter(disk for volume in bench.view.all(Volume) for disks in volume.layout for disk in disks)


def make(bench: Bench, nodes: int) -> None:
    """The volume `v1`, on the best of so many nodes."""
    order = create(bench)
    layout = choose_layout(bench.view, all_nodes(nodes), V1, range(len(order.layout)))
    bench.apply(replace(order, layout=layout))


def many(bench: Bench, count: int = 40, nodes: int = 3) -> None:
    for number in range(count):
        volume_id, size_bytes = VolumeId(f"{number:08x}-0000-4000-8000-000000000000"), 4 * GIB
        extent_bytes = extent_bytes_for(size_bytes)
        layout = choose_layout(bench.view, all_nodes(nodes), volume_id, range(extent_count(size_bytes, extent_bytes)))
        bench.apply(
            CreateVolume(
                volume_id=volume_id,
                project_id=create(bench).project_id,
                name="v",
                size_bytes=size_bytes,
                extent_bytes=extent_bytes,
                layout=layout,
                now_ms=0,
            )
        )


def test_nothing_moves_while_patience_lasts() -> None:
    bench = pool(4)
    bench.apply(create(bench))
    is_down(bench, int(bench.volume(V1).layout[0][0][:30], 16), since_ms=HOUR_MS - 599_000)
    assert steps(bench.view, HOUR_MS) == []
    assert steps(bench.view, HOUR_MS + 1000) != []


def test_a_dead_nodes_replicas_are_made_elsewhere_and_only_those() -> None:
    bench = pool(4)
    many(bench, nodes=4)
    lost = replicas(bench)[disk_id(2)]
    for volume in bench.view.all(Volume):
        bench.apply(ClaimVolume(volume_id=volume.volume_id, node_id=node(1), claim_id="one"))
        now = bench.volume(volume.volume_id)
        gone = ShrinkInSync(volume_id=now.volume_id, epoch=1, changes=now.changes, disk_ids=(disk_id(2),))
        bench.apply(gone)
    is_down(bench, 2)
    assert settle(bench) == lost
    assert replicas(bench)[disk_id(2)] == 0
    assert all(len(disks) == 3 for volume in bench.view.all(Volume) for disks in volume.layout)
    moved = sum(disk.moved_in_bytes for disk in bench.view.all(Disk))
    assert moved == lost * 10 * 4096


def test_with_too_few_nodes_the_dead_ones_replicas_are_waited_for() -> None:
    bench = pool(3)
    bench.apply(create(bench))
    is_down(bench, 2)
    assert steps(bench.view, HOUR_MS) == []
    bench.apply(register(4))
    settle(bench)
    assert replicas(bench)[disk_id(2)] == 0


def test_a_disk_that_joins_gets_its_share_and_little_more_moves() -> None:
    bench = pool(3)
    many(bench)
    total = replicas(bench).total()
    bench.apply(register(4))
    moved = settle(bench)
    assert replicas(bench)[disk_id(4)] == moved
    assert 0.8 * total / 4 < moved <= 1.2 * total / 4
    assert settle(bench) == 0


def test_a_small_image_weighs_what_it_can_hold_and_not_its_whole_extent() -> None:
    bench = pool(3)
    many(bench)
    bench.apply(register(4))
    for number in range(20):
        image = create(bench, f"image{number}", size_bytes=MIB, extent_bytes=IMAGE_EXTENT_BYTES)
        bench.apply(replace(image, layout=((disk_id(4), disk_id(1), disk_id(2)),)))
    settle(bench)
    large = [disk for volume in bench.view.all(Volume) if volume.size_bytes > MIB for disk in chain(*volume.layout)]
    assert 0.8 * len(large) / 4 < large.count(disk_id(4)) <= 1.2 * len(large) / 4


def test_a_disk_of_twice_the_weight_gets_twice_as_much() -> None:
    bench = pool(4)
    many(bench)
    bench.apply(register(5), register(6), SetDisk(disk_id=disk_id(6), weight=2.0))
    settle(bench)
    held = replicas(bench)
    assert 1.5 < held[disk_id(6)] / held[disk_id(5)] < 2.5


def test_a_disk_that_is_drained_ends_empty_and_never_lowers_redundancy() -> None:
    bench = pool(4)
    many(bench, nodes=4)
    bench.apply(SetDisk(disk_id=disk_id(1), draining=True))
    settle(bench)
    assert replicas(bench)[disk_id(1)] == 0
    assert all(len(disks) == 3 for volume in bench.view.all(Volume) for disks in volume.layout)
    assert all(volume.leftovers == () for volume in bench.view.all(Volume))


def test_a_source_moves_before_its_clone_and_its_clone_leaves_first() -> None:
    bench = sealed(pool(4))
    clone(bench)
    going = bench.volume(V2).layout[0][0]
    bench.apply(SetDisk(disk_id=going, draining=True))
    settle(bench)
    for volume_id in (V1, V2):
        assert all(going not in disks and len(disks) == 3 for disks in bench.volume(volume_id).layout)


def test_a_sources_bytes_stay_until_a_disk_has_nothing_left_of_its_clone() -> None:
    bench = sealed(pool(4))
    clone(bench)
    going = bench.volume(V2).layout[0][0]
    bench.apply(SetDisk(disk_id=going, draining=True))
    dropped: list[VolumeId] = []
    for _ in range(20):
        for command in steps(bench.view, HOUR_MS):
            bench.apply(command)
        for number in range(1, 5):
            for drop in drops(bench.view, node(number), 2 * HOUR_MS):
                left = any(each.disk_id == drop.disk_id for each in bench.volume(V2).leftovers)
                assert drop.volume_id == V2 or not left
                dropped.append(drop.volume_id)
        fill(bench)
    assert {V1, V2} == set(dropped)


def test_a_dead_node_that_can_remove_nothing_keeps_no_source_of_a_clone() -> None:
    bench = sealed(pool(4))
    clone(bench)
    dead = next(number for number in range(2, 5) if disk_id(number) in bench.volume(V2).layout[0])
    for volume_id in (V1, V2):
        bench.apply(ClaimVolume(volume_id=volume_id, node_id=node(1), claim_id="one"))
        now = bench.volume(volume_id)
        bench.apply(ShrinkInSync(volume_id=volume_id, epoch=1, changes=now.changes, disk_ids=(disk_id(dead),)))
    is_down(bench, dead)
    settle(bench)
    for volume_id in (V1, V2):
        assert all(disk_id(dead) not in disks and len(disks) == 3 for disks in bench.volume(volume_id).layout)
        assert {each.disk_id for each in bench.volume(volume_id).leftovers} == {disk_id(dead)}
    assert {drop.volume_id for drop in drops(bench.view, node(dead), 2 * HOUR_MS)} == {V2}


def test_what_can_not_be_made_is_given_up_and_made_elsewhere() -> None:
    bench = pool(5)
    bench.apply(create(bench))
    bench.apply(SetDisk(disk_id=bench.volume(V1).layout[0][0], draining=True))
    for command in steps(bench.view, HOUR_MS):
        bench.apply(command)
    target = bench.volume(V1).joining[0].disk_id
    bench.apply(SetDisk(disk_id=target, draining=True))
    assert any(isinstance(command, CancelJoins) for command in steps(bench.view, HOUR_MS))
    settle(bench)
    assert bench.volume(V1).joining == ()
    assert target not in bench.volume(V1).layout[0]


def test_no_more_is_under_way_at_once_than_may() -> None:
    bench = pool(4)
    many(bench, nodes=4)
    bench.apply(SetMovePolicy(at_once=3, per_disk=2), SetDisk(disk_id=disk_id(1), draining=True))
    for command in steps(bench.view, HOUR_MS):
        bench.apply(command)
    joining = [join.disk_id for volume in bench.view.all(Volume) for join in volume.joining]
    assert len(joining) == 3
    assert max(Counter(joining).values()) <= 2


def test_new_replicas_go_to_another_rack() -> None:
    bench = pool(5)
    for number, rack in enumerate("abbca", 1):
        label(bench, number, rack)
    make(bench, 5)
    by_disk = {disk_id(number): rack for number, rack in enumerate("abbca", 1)}
    assert all({by_disk[disk] for disk in disks} == {"a", "b", "c"} for disks in bench.volume(V1).layout)
    going = next(disk for disk in bench.volume(V1).layout[0] if by_disk[disk] == "b")
    bench.apply(SetDisk(disk_id=going, draining=True))
    settle(bench)
    assert all({by_disk[disk] for disk in disks} == {"a", "b", "c"} for disks in bench.volume(V1).layout)


def test_what_left_is_dropped_oldest_first_and_not_before_the_owner_can_know() -> None:
    bench = pool(3)
    bench.apply(create(bench))
    change = bench.begin()
    left = tuple(Leftover(disk_id=disk_id(1), extents=(at,), changes=5 + at, since_ms=1000) for at in (0, 1))
    change.put(replace_leftovers(bench.volume(V1), left))
    bench.view = change.commit()
    assert drops(bench.view, node(1), 2000) == []
    assert [drop.changes for drop in drops(bench.view, node(1), 7000)] == [5]
    bench.apply(ConfirmDrop(volume_id=V1, disk_id=disk_id(1), changes=5))
    assert [drop.changes for drop in drops(bench.view, node(1), 7000)] == [6]


def replace_leftovers(volume: Volume, left: tuple[Leftover, ...]) -> Volume:
    return replace(volume, leftovers=left)


def test_what_no_planner_would_ask_is_refused() -> None:
    bench = pool(4)
    bench.apply(create(bench))
    layout = bench.volume(V1).layout
    other = next(disk_id(number) for number in range(1, 5) if disk_id(number) not in layout[0])
    orders = [
        LeaveDisk(volume_id=V1, disk_id=layout[0][0], extents=(0,), now_ms=0),
        AdoptReplicas(volume_id=V1, epoch=0, changes=0, disk_id=other, extents=(0,), blocks=0),
        *(JoinReplicas(volume_id=V1, joins=(join,)) for join in wrong_joins(layout[0][0], other)),
    ]
    for order in orders:
        assert isinstance(bench.refusal(order), Refused), order


def wrong_joins(there: DiskId, other: DiskId) -> list[object]:
    return [
        Joining(extent=0, disk_id=there),
        Joining(extent=99, disk_id=other),
        Joining(extent=0, disk_id=DiskId("nobody's")),
        Joining(extent=0, disk_id=other, instead=DiskId("nobody's")),
    ]


@pytest.mark.parametrize("policy", [{"patience_s": -1}, {"bytes_s": 1}, {"at_once": 10**9}, {"per_disk": 0}])
def test_a_senseless_policy_is_refused(policy: dict[str, int]) -> None:
    assert "number from" in pool().refusal(SetMovePolicy(**policy)).message  # type: ignore[arg-type]


def test_a_node_that_is_forgotten_leaves_nothing_half_done() -> None:
    bench = pool(5)
    bench.apply(create(bench))
    bench.apply(SetDisk(disk_id=bench.volume(V1).layout[0][0], draining=True))
    for command in steps(bench.view, HOUR_MS):
        bench.apply(command)
    target = bench.volume(V1).joining[0].disk_id
    number = int(target[:30], 16)
    gone = DropReplicas(node_id=node(number), disk_ids=(target,), forced=False)
    bench.apply(gone, RemoveDisks(node_id=node(number), disk_ids=(target,)))
    settle(bench)
    volume = bench.volume(V1)
    assert (volume.joining, volume.leaving) == ((), ())
    assert all(len(disks) == 3 for disks in volume.layout)
