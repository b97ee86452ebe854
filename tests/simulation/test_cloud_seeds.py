"""A whole cloud in bad weather, from seeds.

python -m tests.simulation.test_cloud_seeds FIRST COUNT [SECONDS]   tries more of them, for so long at most
python -m tests.simulation.test_cloud_seeds SEED 1                  repeats one that failed
"""

import math
import sys
import time

import pytest

from tests.simulation.cloud.seeds import Report, live_through
from tests.simulation.schedule import until

SEEDS = range(1, 11)
SECONDS = 20.0


@pytest.fixture(scope="module")
def report() -> Report:
    return live_through(SEEDS, SECONDS)


def test_a_cloud_comes_to_rest_with_all_that_it_acknowledged(report: Report) -> None:
    assert not report.found, how_to_repeat(report)


def test_the_weather_is_bad_and_the_users_are_busy(report: Report) -> None:
    for event in ("kills", "power losses", "cuts", "disks failed", "refused", "unclear"):
        assert report.counts[event] > 0, event
    for kind in ("network", "port", "volume", "server", "image", "keypair"):
        assert report.counts[f"{kind}s made"] > 0, kind
    assert report.counts["volumes attached"] > 0
    assert report.counts["done"] > 100


def test_a_seed_gives_the_same_history_each_time(report: Report) -> None:
    again = live_through(SEEDS[:2], SECONDS)
    assert again.traces == report.traces[:2]


def how_to_repeat(report: Report) -> str:
    return "\n".join(
        f"seed {seed}: {reason}\n  repeat it: .venv/bin/python -m tests.simulation.test_cloud_seeds {seed} 1"
        for seed, reason in report.found.items()
    )


def main(first: int, count: int, seconds: float) -> None:
    began = time.process_time()
    report = live_through(until(seconds, range(first, first + count)), SECONDS)
    if report.found:
        print(how_to_repeat(report))
    print(report)
    print(f"{(time.process_time() - began) / max(1, len(report.traces)):.2f} s a cloud", file=sys.stderr)
    sys.exit(bool(report.found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else math.inf)
