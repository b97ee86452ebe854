"""When what is seen of a node counts: lost at once, down when it lasts, up again the later the oftener it was lost."""

import random
from itertools import pairwise

import pytest

from consensus.liveness.damping import FLAPS_HALVED_S, HOLD_S, SETTLE_S, STEADY_S, STEADY_S_MAX, Damper
from consensus.liveness.model import State

UP, SUSPECT, PARTLY, DOWN = State.UP, State.SUSPECT, State.PARTLY, State.DOWN
STEP_S = 0.5


class Course:
    """A damper that is fed each half second."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.damper = Damper(self.now_s, self.now_ms)
        self.shown: list[tuple[float, State]] = []

    @property
    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    def goes(self, raw: State, seconds: float) -> State:
        for _ in range(round(seconds / STEP_S)):
            self.damper.feed(raw, self.now_s, self.now_ms)
            self.shown.append((self.now_s, self.damper.shown))
            self.now_s += STEP_S
        return self.damper.shown


def test_a_node_is_up_as_soon_as_it_is_heard_for_the_first_time() -> None:
    course = Course()
    assert course.damper.shown is SUSPECT
    assert course.goes(UP, STEP_S) is UP


def test_a_node_that_was_lost_is_suspect_at_once_and_down_when_it_lasts() -> None:
    course = Course()
    course.goes(UP, 10)
    lost_ms = course.now_ms
    assert course.goes(DOWN, STEP_S) is SUSPECT
    assert course.goes(DOWN, HOLD_S - STEP_S) is SUSPECT
    assert course.goes(DOWN, STEP_S) is DOWN
    assert course.damper.since_ms == lost_ms


def test_a_restart_is_never_down() -> None:
    course = Course()
    course.goes(UP, 10)
    course.goes(DOWN, HOLD_S - STEP_S)
    back_ms = course.now_ms
    assert course.goes(UP, STEADY_S + STEP_S) is UP
    assert course.damper.since_ms == back_ms
    assert DOWN not in {state for _, state in course.shown}


def test_who_notices_late_does_not_make_a_node_partly_reachable() -> None:
    course = Course()
    course.goes(UP, 10)
    course.goes(PARTLY, HOLD_S)
    course.goes(DOWN, SETTLE_S - STEP_S)
    assert course.goes(DOWN, 2 * STEP_S) is DOWN
    assert course.goes(PARTLY, SETTLE_S) is DOWN
    assert course.goes(PARTLY, STEP_S) is PARTLY
    assert course.goes(SUSPECT, SETTLE_S + STEP_S) is SUSPECT


def test_a_watcher_that_has_just_started_believes_others_since_when_a_node_is_up() -> None:
    course = Course()
    course.damper.feed(UP, course.now_s, course.now_ms, up_since_ms=7)
    assert (course.damper.shown, course.damper.since_ms) == (UP, 7)
    course.goes(DOWN, 1)
    course.goes(UP, 3)
    course.damper.feed(UP, course.now_s, course.now_ms, up_since_ms=7)
    assert course.damper.since_ms > 7


def test_a_flapping_node_must_be_heard_longer_each_time_and_is_forgiven_later() -> None:
    course = Course()
    course.goes(UP, 10)
    waits = []
    for _ in range(8):
        course.goes(DOWN, 2)
        lost_s = course.now_s
        while course.goes(UP, STEP_S) is not UP:
            assert course.now_s - lost_s <= STEADY_S_MAX + 1
        waits.append(course.now_s - lost_s)
    assert all(earlier <= later for earlier, later in pairwise(waits[:5])), waits
    assert waits[0] <= STEADY_S + 2 * STEP_S
    assert waits[4] >= 3 * waits[0], waits
    assert course.damper.flaps(course.now_s + 10 * FLAPS_HALVED_S) < 0.1


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_the_rules_hold(seed: int) -> None:
    dice = random.Random(seed)
    course, fed = Course(), list[tuple[float, State]]()
    calm_s = dice.choice([1, 3, 10, 30])
    for _ in range(120):
        raw, seconds = dice.choice([UP, UP, UP, DOWN, PARTLY, SUSPECT]), dice.expovariate(1 / calm_s) + STEP_S
        begun = len(course.shown)
        course.goes(raw, seconds)
        fed += [(at_s, raw) for at_s, _ in course.shown[begun:]]
    for number, (at_s, shown) in enumerate(course.shown):
        raw = fed[number][1]
        if raw is not UP:
            assert shown is not UP, "who is lost is not up for a moment longer"
        if shown in (DOWN, PARTLY) and raw is not UP and course.shown[number - 1][1] is not shown:
            held = [each for when, each in fed[: number + 1] if when >= at_s - HOLD_S]
            settled = [each for when, each in fed[: number + 1] if when >= at_s - SETTLE_S]
            assert UP not in held
            assert set(settled) == {shown}
    ups = sum(before is not UP and after is UP for (_, before), (_, after) in pairwise(course.shown))
    # Each return costs at least a penalty, so a flapper can't come back more often than about once in 8 s for long.
    assert ups <= 8 + (course.now_s - 100.0) / 8
    assert course.goes(UP, STEADY_S_MAX + STEP_S) is UP, "whoever is heard for long enough is up"
    assert course.goes(DOWN, HOLD_S + SETTLE_S) is DOWN
