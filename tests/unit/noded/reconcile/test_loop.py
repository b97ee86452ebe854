"""When a pass runs: the clock jumps to the next thing that happens, so nothing here takes time."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
import trio.testing
from structlog.testing import capture_logs

from consensus import members
from consensus.members.model import ClusterFacts, Node
from noded.core.errors import NoRoom
from noded.core.ids import NodeId, Revision
from noded.core.record import Record
from noded.reconcile.backoff import FIRST_S, LONGEST_S, Backoff
from noded.reconcile.loop import keep_reconciling
from tests.twins.cluster import SharedCluster

PERIOD_S = 60.0


class Passes:
    """A reconciler that notes when it ran; each pass takes the next of `faults`."""

    name = "passes"
    watches: tuple[type[Record], ...] = (Node,)
    period_s = PERIOD_S

    def __init__(self, *faults: Exception, during: Callable[[], None] | None = None) -> None:
        self.faults = list(faults)
        self.during = during
        self.at_s: list[float] = []

    async def reconcile(self) -> None:
        self.at_s.append(trio.current_time())
        if self.during is not None:
            self.during()
        if self.faults:
            raise self.faults.pop(0)


class NudgedPasses(Passes):
    """One that its machine may wake."""

    def __init__(self) -> None:
        super().__init__()
        self.nudge = trio.Event()

    async def nudged(self) -> None:
        await self.nudge.wait()
        self.nudge = trio.Event()


def change(shared: SharedCluster, record: Record) -> None:
    """What applying an entry that puts the record does."""
    transaction = shared.machine.picture.begin(Revision(shared.machine.picture.revision + 1))
    transaction.put(record)
    shared.machine._picture = transaction.commit()
    shared.cluster().on_applied(int(shared.machine.picture.revision))


def store() -> SharedCluster:
    return SharedCluster((members.SERVICE,))


def node(name: str) -> Node:
    return Node(id=NodeId(name), name=name, addresses=(), fingerprint="", admitted_at_ms=1, release="1")


@asynccontextmanager
async def running(reconciler: Passes, shared: SharedCluster) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_reconciling, reconciler, shared.cluster())
        yield
        nursery.cancel_scope.cancel()


def since_start(reconciler: Passes) -> list[float]:
    return [round(at_s - reconciler.at_s[0], 3) for at_s in reconciler.at_s]


async def test_a_pass_runs_at_the_start_and_then_by_time(autojump_clock: trio.testing.MockClock) -> None:
    passes = Passes()
    async with running(passes, store()):
        await trio.sleep(2.5 * PERIOD_S)
    assert since_start(passes) == [0, PERIOD_S, 2 * PERIOD_S]


async def test_a_change_of_what_is_watched_wakes_it_and_another_does_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    shared, passes = store(), Passes()
    async with running(passes, shared):
        await trio.sleep(5)
        change(shared, node("watched"))
        await trio.sleep(5)
        change(shared, ClusterFacts(cluster_id="c", name="home", founded_at_ms=1))
        await trio.sleep(5)
    assert since_start(passes) == [0, 5]


async def test_a_change_that_comes_during_a_pass_is_not_missed(autojump_clock: trio.testing.MockClock) -> None:
    shared = store()
    names = iter(("first", "second"))

    def meanwhile() -> None:
        if (name := next(names, None)) is not None:
            change(shared, node(name))

    passes = Passes(during=meanwhile)
    async with running(passes, shared):
        await trio.sleep(PERIOD_S / 2)
    assert since_start(passes) == [0, 0, 0]


async def test_the_machine_wakes_it(autojump_clock: trio.testing.MockClock) -> None:
    passes = NudgedPasses()
    async with running(passes, store()):
        for _ in range(2):
            await trio.sleep(7)
            passes.nudge.set()
        await trio.sleep(1)
    assert since_start(passes) == [0, 7, 14]


async def test_faults_and_refusals_are_tried_again_each_time_later(autojump_clock: trio.testing.MockClock) -> None:
    passes = Passes(RuntimeError("broken"), NoRoom("full"), OSError("broken"))
    with capture_logs() as lines:
        async with running(passes, store()):
            await trio.sleep(10)
    assert since_start(passes) == [0, 0.2, 0.6, 1.4]
    assert [line["event"] for line in lines] == ["pass failed", "pass refused", "pass failed"]
    assert [line["again_in_s"] for line in lines] == [0.2, 0.4, 0.8]
    assert lines[1]["why"] == "full"


async def test_what_a_nursery_of_the_pass_was_refused_is_a_refusal(autojump_clock: trio.testing.MockClock) -> None:
    refused = ExceptionGroup("nursery", [ExceptionGroup("inner", [NoRoom("full")])])
    mixed = ExceptionGroup("nursery", [NoRoom("full"), OSError("broken")])
    with capture_logs() as lines:
        async with running(Passes(refused, mixed), store()):
            await trio.sleep(10)
    assert [line["event"] for line in lines] == ["pass refused", "pass failed"]


async def test_after_a_success_the_next_fault_waits_as_little_as_the_first(
    autojump_clock: trio.testing.MockClock,
) -> None:
    shared = store()
    passes = Passes(RuntimeError("1"), RuntimeError("2"))
    with capture_logs() as lines:
        async with running(passes, shared):
            await trio.sleep(10)
            passes.faults.append(RuntimeError("3"))
            change(shared, node("wake"))
            await trio.sleep(10)
    assert [line["again_in_s"] for line in lines] == [0.2, 0.4, 0.2]


def test_back_off_doubles_up_to_its_limit() -> None:
    backoff = Backoff()
    waits = [backoff.after_fault() for _ in range(10)]
    assert waits[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert waits[-1] == LONGEST_S
    backoff.after_success()
    assert backoff.after_fault() == FIRST_S
