"""One writer at a time, and only replicas that have everything count."""

from msgspec.structs import replace

from noded.core.ids import VolumeId
from storage.extents.authority import LAST_REPLICA, STALE_CHANGE, SUPERSEDED
from storage.volumes.claims import ClaimVolume, GrowInSync, ShrinkInSync, volume_map
from storage.volumes.commands import attach_volume, delete_volume, seal_volume
from storage.volumes.model import Volume
from tests.unit.storage_services.builders import Bench, create, disk_id, node, pool
from tests.unit.storage_services.test_volumes import clone

V1, V2 = VolumeId("v1"), VolumeId("v2")


def claim(number: int = 1, name: str = "first") -> ClaimVolume:
    return ClaimVolume(volume_id=V1, node_id=node(number), claim_id=name)


def shrink(*disks: int, epoch: int = 1, changes: int = 0) -> ShrinkInSync:
    return ShrinkInSync(volume_id=V1, epoch=epoch, changes=changes, disk_ids=tuple(disk_id(disk) for disk in disks))


def grow(disk: int, *, epoch: int = 1, changes: int = 1) -> GrowInSync:
    return GrowInSync(volume_id=V1, epoch=epoch, changes=changes, disk_id=disk_id(disk))


def claimed() -> Bench:
    bench = pool()
    bench.apply(create(bench), claim())
    return bench


def test_a_claim_ends_the_one_before_and_asking_twice_claims_once() -> None:
    bench = claimed()
    bench.apply(claim())
    assert bench.volume(V1).epoch == 1
    bench.apply(claim(2, "second"))
    volume = bench.volume(V1)
    assert (volume.epoch, volume.owner_id) == (2, node(2))
    assert bench.refusal(shrink(1)).code == SUPERSEDED


def test_no_repairer_takes_a_volume_from_a_guest() -> None:
    bench = pool()
    bench.apply(create(bench))
    change = bench.begin()
    attach_volume(change, V1, server_id="s1", node_id=node(1))
    bench.view = change.commit()
    assert bench.refusal(claim(2)).code == SUPERSEDED
    bench.apply(claim(1))


def test_a_replica_leaves_and_returns() -> None:
    bench = claimed()
    bench.apply(shrink(1, 2))
    assert bench.volume(V1).out_of_sync == tuple(d for d in bench.volume(V1).disk_ids if d != disk_id(3))
    bench.apply(grow(1))
    assert disk_id(1) in bench.volume(V1).in_sync
    assert bench.volume(V1).changes == 2


def test_the_last_replica_never_leaves() -> None:
    bench = claimed()
    assert bench.refusal(shrink(1, 2, 3)).code == LAST_REPLICA
    bench.apply(shrink(1, 2))
    assert bench.refusal(shrink(3, changes=1)).code == LAST_REPLICA


def test_a_late_duplicate_of_a_change_is_refused() -> None:
    bench = claimed()
    bench.apply(shrink(1), grow(1))
    assert bench.refusal(shrink(1)).code == STALE_CHANGE
    assert bench.refusal(grow(1)).code == STALE_CHANGE


def test_a_stranger_disk_holds_no_replica() -> None:
    assert claimed().refusal(grow(9, changes=0)).code == STALE_CHANGE


def test_a_clones_replica_counts_only_where_its_sources_does() -> None:
    bench = claimed()
    change = bench.begin()
    seal_volume(change, V1, bench.volume(V1).size_bytes)
    change.put(replace(change.need(Volume, V1), in_sync=(disk_id(1), disk_id(2))))
    bench.view = change.commit()
    clone(bench)
    bench.apply(ClaimVolume(volume_id=V2, node_id=node(1), claim_id="child"))
    order = GrowInSync(volume_id=V2, epoch=1, changes=0, disk_id=disk_id(3))
    assert bench.refusal(order).code == STALE_CHANGE
    bench.apply(replace(grow(3), changes=0), order)
    assert bench.volume(V2).out_of_sync == ()


def test_the_map_has_the_addresses_of_the_disks_and_the_chain_of_sources() -> None:
    bench = claimed()
    change = bench.begin()
    seal_volume(change, V1, bench.volume(V1).size_bytes)
    bench.view = change.commit()
    clone(bench)
    found = volume_map(bench.view, V2)
    assert [parent.volume_id for parent in found.parents] == [V1]
    assert found.disks[disk_id(2)].host == "10.77.0.2"
    assert found.writable
    assert not volume_map(bench.view, V1).writable


def test_a_volume_on_its_way_out_is_not_served() -> None:
    bench = claimed()
    change = bench.begin()
    delete_volume(change, V1)
    bench.view = change.commit()
    assert bench.refusal(claim(1, "late")).kind == "not_found"
