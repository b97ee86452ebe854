"""How many seeds does a cloud survive? Runs one after the other, and says what happened in them."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulation.cloud.world import CloudWorld

_MEMORY = Path("/dev/shm")


@dataclass
class Report:
    """What came of some clouds."""

    counts: Counter[str] = field(default_factory=Counter)
    found: dict[int, str] = field(default_factory=dict)  # seed → what was violated
    traces: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        counts = " · ".join(f"{count:,} {name}" for name, count in sorted(self.counts.items()))
        return f"{len(self.traces):,} clouds · {len(self.found):,} violations · {counts}"


def live_through(seeds: Iterable[int], seconds: float) -> Report:
    """Run a cloud for each seed, with so many seconds of bad weather. Files are in memory."""
    report = Report()
    for seed in seeds:
        where = Path(tempfile.mkdtemp(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None))
        world = CloudWorld(seed, where, seconds=seconds)
        try:
            world.run()
        except Exception as error:  # every kind is a find
            report.found[seed] = _reason(error)
        finally:
            shutil.rmtree(where)
        report.counts += world.counts + world.ledger.counts
        report.traces.append(world.trace)
    return report


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
