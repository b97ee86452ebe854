"""What an operator is told of disks, and what may be done to one."""

import pytest
from msgspec.structs import replace

from noded.core.errors import Conflict, Invalid, NoRoom, NotFound
from noded.core.ids import VolumeId
from noded.core.units import GIB
from storage.disks.authority import find
from storage.disks.commands import RemoveDisk
from storage.disks.views import drain_plan, listing
from storage.pools.commands import ReportDisk, SetDisk, SetPoolPolicy
from storage.pools.model import Disk, DiskState
from storage.volumes.commands import charge_volume
from storage.volumes.model import Joining, Leftover
from storage.volumes.moving import JoinReplicas
from tests.unit.storage_services.builders import Bench, all_nodes, create, disk_id, node, pool

V1 = VolumeId("v1")


def has_failed(bench: Bench, number: int) -> None:
    bench.apply(
        ReportDisk(
            disk_id=disk_id(number), node_id=node(number), state=DiskState.FAILED, fault="gone", used_bytes=0, now_ms=1
        )
    )


def test_a_disk_says_what_it_holds_and_what_comes() -> None:
    bench = pool(4)
    bench.apply(create(bench))
    other = next(disk_id(number) for number in range(1, 5) if disk_id(number) not in bench.volume(V1).layout[0])
    going = bench.volume(V1).layout[0][0]
    bench.apply(JoinReplicas(volume_id=V1, joins=(Joining(extent=0, disk_id=other, instead=going),)))
    lines = {line["id"]: line for line in listing(bench.view, all_nodes(4))["disks"]}
    assert (lines[other]["replicas"], lines[other]["coming"]) == (0, 1)
    assert (lines[going]["replicas"], lines[going]["going"]) == (2, 1)
    assert {line["state"] for line in lines.values()} == {"in use"}


def test_the_state_of_a_disk_is_the_worst_that_is_true_of_it() -> None:
    bench = pool(4)
    bench.apply(SetDisk(disk_id=disk_id(2), draining=True))
    has_failed(bench, 3)
    states = [line["state"] for line in listing(bench.view, all_nodes(3))["disks"]]
    assert states == ["in use", "draining", "failed", "away"]


def test_a_plan_names_what_has_no_other_place() -> None:
    bench = pool(3)
    bench.apply(create(bench))
    plan = drain_plan(bench.view, bench.view.need(Disk, disk_id(1)))
    assert any("no other node" in warning for warning in plan["warnings"])
    bench = pool(4)
    bench.apply(create(bench))
    assert drain_plan(bench.view, bench.view.need(Disk, disk_id(1)))["warnings"] == []


def test_a_disk_is_found_by_the_beginning_of_its_id_and_by_where_it_is() -> None:
    view = pool(3).view
    assert find(view, f"{node(2)}:disk0").id == disk_id(2)
    assert find(view, disk_id(3)).id == disk_id(3)
    with pytest.raises(NotFound):
        find(view, "nobody")
    with pytest.raises(Conflict):
        find(view, disk_id(1)[:20])


def test_only_a_disk_that_is_empty_and_does_not_serve_leaves_the_pool() -> None:
    bench = pool(4)
    bench.apply(create(bench))
    order = RemoveDisk(disk_id=bench.volume(V1).layout[0][0])
    number = int(order.disk_id[:30], 16)
    assert "Drain it first" in bench.refusal(order).message
    bench.apply(SetDisk(disk_id=order.disk_id, draining=True))
    assert "still serves" in bench.refusal(order).message
    has_failed(bench, number)
    assert "has a replica" in bench.refusal(order).message
    volume = bench.volume(V1)
    left = Leftover(disk_id=order.disk_id, extents=(0,), changes=1, since_ms=0)
    layout = tuple(tuple(disk for disk in disks if disk != order.disk_id) for disks in volume.layout)
    change = bench.begin()
    change.put(replace(volume, layout=layout, in_sync=layout[0], leftovers=(left,)))
    bench.view = change.commit()
    assert "to be removed" in bench.refusal(order).message
    change = bench.begin()
    change.put(replace(bench.volume(V1), leftovers=()))
    bench.view = change.commit()
    bench.apply(order)
    assert bench.view.get(Disk, order.disk_id) is None
    assert order.disk_id not in bench.volume(V1).disk_ids


@pytest.mark.parametrize("weight", [-1.0, float("nan"), 1e9])
def test_a_senseless_weight_is_refused(weight: float) -> None:
    assert "weight" in pool().refusal(SetDisk(disk_id=disk_id(1), weight=weight)).message


def test_a_pool_promises_no_more_than_it_may_and_says_how_much_that_is() -> None:
    bench = pool(3)  # of 100 GiB each, 95 beside the reserve
    bench.apply(create(bench, size_bytes=60 * GIB))
    bench.apply(SetPoolPolicy(overcommit=1.0))
    refused = bench.refusal(create(bench, VolumeId("v2"), size_bytes=40 * GIB))
    assert isinstance(refused, NoRoom)
    assert "may promise 1 times as much" in refused.message
    assert "would promise 300 GiB" in refused.message
    bench.apply(create(bench, VolumeId("v2"), size_bytes=30 * GIB))
    bench.apply(SetPoolPolicy(overcommit=0))
    bench.apply(create(bench, VolumeId("v3"), size_bytes=900 * GIB))


def test_what_is_promised_already_may_be_charged_anew_and_not_grow() -> None:
    bench = pool(3)
    bench.apply(create(bench, size_bytes=60 * GIB), SetPoolPolicy(overcommit=0.1))
    change = bench.begin()
    charge_volume(change, bench.volume(V1))  # another type, another owner
    with pytest.raises(NoRoom):
        charge_volume(change, replace(bench.volume(V1), size_bytes=61 * GIB))


@pytest.mark.parametrize("overcommit", [-0.1, 1001.0, float("nan"), float("inf")])
def test_a_limit_of_promises_is_a_number_in_its_range(overcommit: float) -> None:
    assert isinstance(Bench().refusal(SetPoolPolicy(overcommit=overcommit)), Invalid)
