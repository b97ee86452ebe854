"""Which volumes are to be checked, by whom, and what is kept of it."""

from typing import Any

from noded.core.ids import DiskId, VolumeId
from storage.disks.views import listing, scrub_plan
from storage.pools.commands import ScrubDisk, SetMovePolicy
from storage.pools.model import Disk
from storage.scrubs.commands import ReportScrub
from storage.scrubs.plan import DAY_MS, scrubs
from storage.volumes.claims import ClaimVolume, ShrinkInSync, volume_map
from storage.volumes.commands import attach_volume
from tests.unit.storage_services.builders import Bench, all_nodes, create, disk_id, node, pool

V1, V2 = VolumeId("v1"), VolumeId("v2")
CREATED_MS = 2000
WEEK_MS = CREATED_MS + 7 * DAY_MS


def bench_with(*volume_ids: VolumeId) -> Bench:
    """Volumes that were written, each on all three disks."""
    bench = pool(3)
    for volume_id in volume_ids:
        bench.apply(create(bench, volume_id))
        bench.apply(ClaimVolume(volume_id=volume_id, node_id=node(1), claim_id="c"))
    return bench


def due(bench: Bench, now_ms: int) -> dict[int, list[VolumeId]]:
    """For each node what it is to have checked."""
    found = {number: scrubs(bench.view, node(number), all_nodes(), now_ms) for number in (1, 2, 3)}
    return {number: volume_ids for number, volume_ids in found.items() if volume_ids}


def report(bench: Bench, volume_id: VolumeId = V1, **facts: Any) -> None:
    bench.apply(ReportScrub(**({"volume_id": volume_id, "begun_ms": WEEK_MS, "extents": 1} | facts)))


def line(bench: Bench, number: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = {each["id"]: each for each in listing(bench.view, all_nodes())["disks"]}[disk_id(number)]
    return found


def test_a_volume_is_due_a_week_after_it_was_made_and_after_each_check() -> None:
    bench = bench_with(V1)
    assert due(bench, WEEK_MS - 1) == {}
    [volume_ids] = due(bench, WEEK_MS).values()
    assert volume_ids == [V1]
    report(bench, extents=2, done=True)
    assert due(bench, 2 * WEEK_MS - CREATED_MS - 1) == {}
    assert due(bench, 2 * WEEK_MS) != {}
    bench.apply(SetMovePolicy(scrub_days=0))
    assert due(bench, 100 * WEEK_MS) == {}


def test_the_node_that_serves_a_volume_has_it_checked() -> None:
    bench = bench_with(V1)
    change = bench.begin()
    attach_volume(change, V1, server_id="s", node_id=node(2))
    bench.view = change.commit()
    assert due(bench, WEEK_MS) == {2: [V1]}


def test_a_volume_that_nobody_ever_wrote_or_that_is_behind_waits() -> None:
    bench = pool(3)
    bench.apply(create(bench))
    assert due(bench, WEEK_MS) == {}
    bench = bench_with(V1)
    bench.apply(ShrinkInSync(volume_id=V1, epoch=1, changes=0, disk_ids=(disk_id(2),)))
    assert due(bench, WEEK_MS) == {}


def test_who_asks_for_a_disk_has_all_that_is_on_it_checked_at_once() -> None:
    bench = bench_with(V1, V2)
    report(bench, V1, begun_ms=CREATED_MS + 5, extents=2, done=True)
    assert line(bench)["scrub"]["checked"] == 0.5
    bench.apply(ScrubDisk(disk_id=disk_id(1), now_ms=CREATED_MS + 10))
    assert line(bench)["scrub"]["checked"] == 0
    assert sorted(each for volume_ids in due(bench, CREATED_MS + 10).values() for each in volume_ids) == [V1, V2]
    report(bench, V1, begun_ms=CREATED_MS + 20, extents=1)
    assert line(bench)["scrub"]["checked"] == 0.25
    for volume_id in (V1, V2):
        report(bench, volume_id, begun_ms=CREATED_MS + 20, extents=2, done=True)
    assert due(bench, CREATED_MS + 30) == {}
    assert line(bench)["scrub"] == {
        "asked_ms": CREATED_MS + 10,
        "checked": 1,
        "oldest_ms": CREATED_MS + 20,
        "rotten_blocks": 0,
        "different_blocks": 0,
    }
    assert "2 volumes" in scrub_plan(bench.view, bench.view.need(Disk, disk_id(1)))["steps"][0]


def test_a_pass_goes_on_until_its_end_and_what_it_found_is_counted_once() -> None:
    bench = bench_with(V1)
    rotten: dict[DiskId, int] = {disk_id(1): 3}
    report(bench, rotten=rotten)
    volume = bench.volume(V1)
    assert volume.scrub is not None
    assert (volume.scrub.extents, volume.scrub.rotten, volume.scrubbed_ms) == (1, rotten, 0)
    assert due(bench, CREATED_MS + 1) != {}
    report(bench, begun_ms=WEEK_MS - 1, extents=2, done=True, rotten={disk_id(2): 1})  # an older pass
    assert bench.volume(V1) == volume
    for _ in range(2):
        report(bench, extents=2, done=True, rotten=rotten, different={disk_id(1): 1, disk_id(3): 2}, gone=1)
    volume = bench.volume(V1)
    assert (volume.scrub, volume.scrubbed_ms) == (None, WEEK_MS)
    assert volume.scrub_found is not None
    assert volume.scrub_found.gone == 1
    disks = [bench.view.need(Disk, disk_id(number)) for number in (1, 2, 3)]
    assert [(disk.rotten_blocks, disk.different_blocks) for disk in disks] == [(3, 1), (0, 0), (0, 2)]


def test_the_policy_says_how_fast_a_volume_is_checked() -> None:
    bench = bench_with(V1)
    bench.apply(SetMovePolicy(scrub_bytes_s=5 << 20))
    assert volume_map(bench.view, V1).scrub_bytes_s == 5 << 20
    assert "number from" in bench.refusal(SetMovePolicy(scrub_days=-1)).message
