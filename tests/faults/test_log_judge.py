"""Does the judge of the fault tests see what is wrong, and only that?"""

import itertools
import random

import pytest

from tests.faults.log.judge import FOREVER, GET, OK, REFUSED, SET, UNKNOWN, Call, judge, judge_later, judge_nodes
from tests.faults.log.kinds import KINDS
from tests.lab.plan import PROJECT

MANUAL = PROJECT / "docs" / "faults.md"


def test_the_manual_names_every_fault_as_it_is() -> None:
    log, _ = MANUAL.read_text().split("## Volumes")
    told = [line for line in log.splitlines() if line.startswith("| `") and line.count("|") == 3]
    assert told == [f"| `{name}` | {fault.__doc__} |" for name, fault in KINDS.items()]


def change(version: int, value: str, start: float, end: float = FOREVER, outcome: str = OK) -> Call:
    return Call(
        client=0, node=1, kind=SET, register="r", value=value, version=version, start=start, end=end, outcome=outcome
    )


def look(version: int, value: str, start: float, end: float) -> Call:
    return Call(
        client=1, node=2, kind=GET, register="r", value=value, version=version, start=start, end=end, outcome=OK
    )


def test_what_overlaps_may_be_seen_either_way() -> None:
    calls = [change(1, "a", 0, 1), change(2, "b", 2, 5), look(1, "a", 3, 4), look(2, "b", 3, 4), look(2, "b", 6, 7)]
    assert judge(calls, {"r": ["a", "b"]}).is_clean


def test_an_unclear_change_may_have_happened_at_any_time_or_never() -> None:
    unclear = change(2, "b", 2, outcome=UNKNOWN)
    assert judge([change(1, "a", 0, 1), unclear, look(1, "a", 8, 9), look(2, "b", 10, 11)], {"r": ["a", "b"]}).is_clean
    assert judge([change(1, "a", 0, 1), unclear, look(1, "a", 8, 9)], {"r": ["a"]}).is_clean


def test_an_acknowledged_change_that_is_gone_is_lost() -> None:
    verdict = judge([change(1, "a", 0, 1), change(2, "b", 2, 3)], {"r": ["a"]})
    assert len(verdict.lost) == 1
    assert "'b' was ok, and it is nothing now" in verdict.lost[0]
    assert len(judge([change(1, "a", 0, 1), change(1, "b", 2, 3)], {"r": ["b"]}).lost) == 1


def test_a_read_that_misses_what_was_acknowledged_before_it_is_stale() -> None:
    calls = [change(1, "a", 0, 1), change(2, "b", 2, 3), look(1, "a", 3.1, 4)]
    assert len(judge(calls, {"r": ["a", "b"]}).stale) == 1


def test_two_reads_may_not_go_back_in_time() -> None:
    unclear = change(2, "b", 2, outcome=UNKNOWN)
    calls = [change(1, "a", 0, 1), unclear, look(2, "b", 3, 4), look(1, "a", 5, 6)]
    assert len(judge(calls, {"r": ["a", "b"]}).stale) == 1


def test_a_refusal_that_saw_too_little_is_stale() -> None:
    refused = change(1, "c", 6, 7, REFUSED)
    calls = [change(1, "a", 0, 1), change(2, "b", 2, 3), refused]
    assert len(judge(calls, {"r": ["a", "b"]}).stale) == 1


def test_a_value_that_was_read_and_is_gone_is_wrong() -> None:
    calls = [change(1, "a", 0, outcome=UNKNOWN), look(1, "a", 1, 2)]
    assert len(judge(calls, {}).wrong) == 1


def test_what_was_refused_or_never_asked_for_may_not_stand() -> None:
    assert len(judge([change(0, "a", 0, 1, REFUSED)], {"r": ["a"]}).wrong) == 1
    assert len(judge([], {"r": ["a"]}).wrong) == 1


def test_nothing_acts_twice() -> None:
    assert judge([change(1, "a", 0, outcome=UNKNOWN)], {"r": ["a", "a"]}).wrong == ["a was written 2 times"]


def test_a_value_can_not_be_seen_before_it_is_asked_for() -> None:
    assert len(judge([look(1, "a", 0, 1), change(1, "a", 2, 3)], {"r": ["a"]}).wrong) == 1


def test_what_stood_once_stands_later() -> None:
    assert judge_later({"r": ["a"]}, {"r": ["a", "b"]}).is_clean
    assert len(judge_later({"r": ["a", "b"]}, {"r": ["a", "c"]}).lost) == 1


def test_nodes_may_lag_and_not_differ() -> None:
    assert judge_nodes({"1": {"r": ["a"]}, "2": {"r": ["a", "b"]}}).is_clean
    assert len(judge_nodes({"1": {"r": ["a", "c"]}, "2": {"r": ["a", "b"]}}).wrong) == 1


def _legal_order_exists(calls: list[Call], values: list[str]) -> bool:
    """The definition itself: some order respects time, and each call does there what a register does."""
    made = [call for call in calls if call.outcome == OK or call.value in values]
    for order in itertools.permutations(made):
        if any(later.end < earlier.start for earlier, later in itertools.combinations(order, 2)):
            continue
        held: list[str] = []
        for call in order:
            if call.kind == SET and call.version == len(held) + 1:
                held.append(call.value)
            elif call.kind == SET or (call.version, call.value) != (len(held), held[-1] if held else ""):
                break
        else:
            if held == values:
                return True
    return False


@pytest.mark.parametrize("seed", range(150))
def test_the_judge_agrees_with_the_definition(seed: int) -> None:
    dice = random.Random(seed)
    values = ["a", "b", "c"][: dice.randint(1, 3)]
    calls = []
    for version, value in enumerate(values, start=1):
        start = version * 2 + dice.uniform(-1.5, 1.5)
        outcome = dice.choice((OK, OK, UNKNOWN))
        end = start + dice.uniform(0.1, 3) if outcome == OK else FOREVER
        calls.append(change(version, value, start, end, outcome))
    for _ in range(dice.randint(1, 3)):
        version = dice.randint(0, len(values))
        start = dice.uniform(1, 9)
        calls.append(look(version, values[version - 1] if version else "", start, start + dice.uniform(0.1, 3)))
    assert judge(calls, {"r": values}).is_clean == _legal_order_exists(calls, values)
