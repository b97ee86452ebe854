"""When the pool will be full, from how it filled; and what a node keeps of that."""

from pathlib import Path

import pytest

from noded.core.units import GIB
from storage.disks.forecast import DAY_MS, HOUR_MS, SPAN_MS_MAX, Sample, forecast, thinned
from storage.host.capacity_file import CapacityFile


def filling(hours: int, a_day: int, used: int = 10 * GIB, size: int = 100 * GIB) -> list[Sample]:
    return [Sample(hour * HOUR_MS, used + a_day * hour // 24, size) for hour in range(hours + 1)]


def test_a_pool_that_fills_evenly_is_full_when_the_rest_is_used_at_that_rate() -> None:
    told = forecast(filling(48, 5 * GIB))
    assert told["bytes_a_day"] == pytest.approx(5 * GIB, rel=0.01)
    assert told["full_in_days"] == pytest.approx(80 / 5, rel=0.01)


def test_one_that_empties_or_stands_still_never_is() -> None:
    for a_day in (0, -GIB, 1):
        told = forecast(filling(48, a_day))
        assert (told["full_in_days"], told["why"]) == (None, "it does not fill")


def test_a_short_look_says_nothing_and_that_it_does_not() -> None:
    for samples in ([], filling(5, 50 * GIB)):
        assert forecast(samples)["why"] == "it takes 6 hours of watching to tell"


def test_a_full_pool_is_full_now() -> None:
    assert forecast(filling(24, GIB, used=99 * GIB))["full_in_days"] == 0.0


def test_one_sample_an_hour_is_kept_and_none_that_is_too_old() -> None:
    first, second = Sample(HOUR_MS, 1, 9), Sample(HOUR_MS + 1, 2, 9)
    assert thinned([first], second) == [second]
    later = Sample(SPAN_MS_MAX + 2 * HOUR_MS, 3, 9)
    assert thinned([first, second], later) == [later]
    back = Sample(0, 4, 9)  # the clock was set back
    assert thinned([first], back) == [back]
    assert len(thinned(filling(24, 1), Sample(2 * DAY_MS, 1, 9))) == 26


async def test_samples_outlive_the_daemon_and_a_broken_file_costs_only_them(tmp_path: Path) -> None:
    path = tmp_path / "capacity.json"
    book = CapacityFile(path)
    assert book.samples() == ()
    await book.add(Sample(1, 2, 3))
    await book.add(Sample(1 + HOUR_MS, 3, 3))
    assert CapacityFile(path).samples() == (Sample(1, 2, 3), Sample(1 + HOUR_MS, 3, 3))
    path.write_bytes(b"[[1,")
    broken = CapacityFile(path)
    assert broken.samples() == ()
    await broken.add(Sample(1, 2, 3))
    assert CapacityFile(path).samples() == (Sample(1, 2, 3),)


async def test_a_disk_that_takes_no_file_costs_no_more_than_the_next_start(tmp_path: Path) -> None:
    book = CapacityFile(tmp_path / "nowhere" / "capacity.json")
    await book.add(Sample(1, 2, 3))
    assert book.samples() == (Sample(1, 2, 3),)
