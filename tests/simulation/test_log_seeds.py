"""The log in bad weather, from seeds. A seed that fails once belongs in the list for ever.

`python -m tests.simulation.test_log_seeds FIRST COUNT` tries more of them.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consensus.host.seams import set_clock
from tests.simulation.log_world import Violation, Weather, World

WEATHERS = {
    "five nodes": Weather(),
    "three nodes": Weather(nodes=3),
    "large entries": Weather(nodes=3, sizes=(3000, 100_000), write=0.03, seconds=20),
    "no changes of voters": Weather(nodes=3, change=0.0),
    "power cuts": Weather(nodes=3, faults=("power cut",), fault=0.003, change=0.0, write=0.3),
    "slow disks": Weather(nodes=3, faults=("power cut", "crash", "cut"), sync_s=0.03, write=0.3, change=0.0),
    "restless voters": Weather(nodes=5, change=0.2, fault=0.01),
    "long log": Weather(nodes=3, checkpoint_entries=100_000),
}

# Found here first: a node told too early that it loses its vote held the longest log, and let nobody else win.
FOUND = [("restless voters", 1004), ("restless voters", 1057), ("restless voters", 1000)]


@contextmanager
def world_of(seed: int, directory: Path, weather: Weather) -> Iterator[World]:
    world = World(seed, directory, weather)
    before = set_clock(world.clock)
    try:
        yield world
    finally:
        world.close()
        set_clock(before)


@pytest.mark.parametrize(("weather", "seed"), [*((weather, 1) for weather in WEATHERS), *FOUND])
def test_the_log_keeps_its_promises_in(weather: str, seed: int, tmp_path: Path) -> None:
    with world_of(seed, tmp_path, WEATHERS[weather]) as world:
        world.run()
        assert len(world.acknowledged) > 20
        assert len(world.leaders) > 2


def main(first: int, count: int) -> None:
    for name, weather in WEATHERS.items():
        totals: Counter[str] = Counter()
        for seed in range(first, first + count):
            with tempfile.TemporaryDirectory() as directory, world_of(seed, Path(directory), weather) as world:
                try:
                    world.run()
                except (Violation, AssertionError, Exception) as error:  # every kind is a find
                    print(f"  {name!r} seed {seed}: {type(error).__name__} {error}")
                    totals["violations"] += 1
                totals += world.counts
                totals["acknowledged"] += len(world.acknowledged)
                totals["terms"] += len(world.leaders)
        print(name, dict(totals))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
