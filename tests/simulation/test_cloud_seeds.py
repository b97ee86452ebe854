"""A whole cloud in bad weather, from seeds.

python -m tests.simulation.test_cloud_seeds FIRST COUNT     tries more of them, and says what happened
python -m tests.simulation.test_cloud_seeds SEED 1          repeats one that failed
"""

import sys
import time

import pytest

from tests.simulation.cloud.seeds import Report, live_through

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
    assert report.counts["done"] > 100


def test_a_seed_gives_the_same_history_each_time(report: Report) -> None:
    again = live_through(SEEDS[:2], SECONDS)
    assert again.traces == report.traces[:2]


def how_to_repeat(report: Report) -> str:
    return "\n".join(
        f"seed {seed}: {reason}\n  repeat it: .venv/bin/python -m tests.simulation.test_cloud_seeds {seed} 1"
        for seed, reason in report.found.items()
    )


def main(first: int, count: int) -> None:
    began = time.process_time()
    report = live_through(range(first, first + count), SECONDS)
    if report.found:
        print(how_to_repeat(report))
    print(report)
    print(f"{(time.process_time() - began) / count:.2f} s a cloud", file=sys.stderr)
    sys.exit(bool(report.found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
