"""Does the simulator notice when a rule is broken? Here those that show within a few worlds.

`python -m tests.simulation.log.mutants COUNT` tries all of them; README.md says how many seeds each took.
"""

import pytest

from tests.simulation.log.mutants import catch
from tests.simulation.log.seeds import live_through
from tests.simulation.log.stock import POWER_LOST, weather_for_stock

SEEDS_MAX = 120
QUICK = (
    "acknowledges before fsync",
    "commits beyond what was compared",
    "commits what it alone holds",
    "counts learners",
    "reads what it has",
    "reads without asking the majority",
    "votes for shorter logs",
    "votes twice in a term",
)


@pytest.mark.parametrize("name", QUICK)
def test_a_core_is_caught_that(name: str) -> None:
    assert catch(name, range(1, SEEDS_MAX + 1)) is not None


def test_the_stock_core_is_caught_in_a_weather_that_ours_survives() -> None:
    found = live_through(range(1, SEEDS_MAX + 1), POWER_LOST, weather_for_stock, stop_after=1).found
    assert found
    assert not live_through(found, weather=weather_for_stock).found
