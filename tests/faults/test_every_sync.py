"""Power fails at some of all moments of a store's life: a short part of `python -m tests.faults.recorded`."""

import random

import pytest

from tests.faults.recorded.record import SYNCS, Kind
from tests.faults.recorded.sweep import Sweep

BATCHES = 60  # so many that a segment is settled, and a volume removed meanwhile
MOMENTS = 10


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return Sweep(tmp_path_factory.mktemp("recorded"), 1, BATCHES)


def test_what_was_acknowledged_is_there_whenever_power_fails(sweep: Sweep) -> None:
    chosen = random.Random(1).sample(sweep.moments, MOMENTS - 1) + sweep.moments[-1:]
    assert list(sweep.through(set(chosen))) == []


def test_a_store_that_syncs_nothing_is_caught(sweep: Sweep) -> None:
    lazy = [
        entry._replace(kind=Kind.WRITE) if entry.kind is Kind.DURABLE_WRITE else entry
        for entry in sweep.entries
        if entry.kind is Kind.DURABLE_WRITE or entry.kind not in SYNCS or entry.path.count("/") < 3
    ]
    careful, sweep.entries = sweep.entries, lazy
    try:
        assert list(sweep.through({len(lazy) - 1})) != []
    finally:
        sweep.entries = careful
