"""How many seeds does the log survive? Runs one world after the other, and says what happened in them."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tests.simulation.log.node import Parts
from tests.simulation.log.weather import Weather, draw_weather
from tests.simulation.log.world import World

SHOWN = ("crashes", "cuts", "changes of voters", "reads checked", "writes acknowledged")
_MEMORY = Path("/dev/shm")


@dataclass
class Report:
    """What came of some worlds."""

    worlds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    found: dict[int, str] = field(default_factory=dict)  # seed → what was violated
    traces: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        shown = " · ".join(f"{self.counts[name]:,} {name}" for name in SHOWN)
        rest = " · ".join(f"{count:,} {name}" for name, count in sorted(self.counts.items()) if name not in SHOWN)
        return f"{self.worlds:,} worlds · {len(self.found):,} violations · {shown}\n  ({rest})"


def live_through(
    seeds: Iterable[int],
    parts: Parts | None = None,
    weather: Callable[[int], Weather] = draw_weather,
    *,
    stop_after: int = 0,
) -> Report:
    """Run a world for each seed. Files are in memory: what a power cut leaves of them is the world's to decide."""
    report = Report()
    silent = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        for seed in seeds:
            _live_through_one(seed, parts, weather, report)
            if stop_after and len(report.found) >= stop_after:
                break
    finally:
        structlog.configure(**silent)
    return report


def _live_through_one(seed: int, parts: Parts | None, weather: Callable[[int], Weather], report: Report) -> None:
    where = Path(tempfile.mkdtemp(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None))
    world = World(seed, where, weather(seed), parts)
    try:
        world.run()
    except Exception as error:  # every kind is a find: a violation, a failed assertion, a crash
        report.found[seed] = _reason(error)
    finally:
        shutil.rmtree(where)
    report.worlds += 1
    report.counts += world.tally()
    report.traces.append(world.trace)


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _drop(_logger: object, _name: str, _event: object) -> object:
    raise structlog.DropEvent
