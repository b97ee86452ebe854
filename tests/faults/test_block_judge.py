"""Does the judge of the block faults see what is wrong, and only that?"""

import itertools
import random

import pytest

from tests.faults.block.judge import BLOCK_BYTES, STRANGE, TORN, Register, Verdict, content_of, judge, shown_by
from tests.faults.block.kinds import KINDS
from tests.lab.plan import PROJECT

MANUAL = PROJECT / "docs" / "faults.md"


def test_the_manual_names_every_fault_of_volumes_as_it_is() -> None:
    _, volumes = MANUAL.read_text().split("## Volumes")
    told = [line for line in volumes.splitlines() if line.startswith("| `") and line.count("|") == 3]
    assert told[: len(KINDS)] == [f"| `{name}` | {fault.__doc__} |" for name, fault in KINDS.items()]


class Story:
    """One block, and what is done with it."""

    def __init__(self) -> None:
        self.register = Register(3)

    def wrote(self, start: float, end: float | None = None, *, zeroes: bool = False) -> "Story":
        write = self.register.write(start, zeroes=zeroes)
        if end is not None:
            write.end = end
        return self

    def saw(self, version: int, start: float, end: float) -> "Story":
        content = content_of(3, version) if version else bytes(BLOCK_BYTES)
        self.register.read(content, start, end, "NBD")
        return self

    def verdict(self) -> Verdict:
        return judge([self.register])


def test_what_overlaps_may_be_seen_either_way() -> None:
    assert Story().wrote(0, 1).wrote(2, 5).saw(1, 3, 4).saw(2, 3, 4).saw(2, 6, 7).verdict().is_clean


def test_an_unanswered_write_may_have_happened_at_any_time_or_never() -> None:
    assert Story().wrote(0, 1).wrote(2).saw(1, 8, 9).saw(2, 10, 11).verdict().is_clean
    assert Story().wrote(0, 1).wrote(2).saw(1, 8, 9).verdict().is_clean


def test_zeroes_show_any_trim_that_may_be() -> None:
    assert Story().saw(0, 0, 1).wrote(2, 3).wrote(4, 5, zeroes=True).saw(0, 6, 7).verdict().is_clean
    assert Story().wrote(2, 3).saw(0, 4, 5).verdict().lost
    assert Story().wrote(1, 2, zeroes=True).wrote(3).saw(3 - 1, 4, 5).saw(0, 6, 7).verdict().stale


def test_an_acknowledged_write_that_is_gone_is_lost() -> None:
    verdict = Story().wrote(0, 1).wrote(2, 3).saw(1, 4, 5).verdict()
    assert len(verdict.lost) == 1
    assert "version 2 was acknowledged before" in verdict.lost[0]


def test_two_reads_may_not_go_back_in_time() -> None:
    assert Story().wrote(0, 1).wrote(2).saw(2, 3, 4).saw(1, 5, 6).verdict().stale


def test_a_write_may_not_be_seen_before_it_begins_or_if_nobody_began_it() -> None:
    assert not Story().saw(1, 0, 1).wrote(2, 3).verdict().is_clean
    assert Story().wrote(0, 1).saw(7, 2, 3).verdict().wrong


def test_what_was_judged_once_counts_at_the_next_judgement() -> None:
    story = Story().wrote(0, 1).wrote(2).saw(2, 3, 4)
    assert story.verdict().is_clean
    assert story.saw(1, 5, 6).verdict().lost
    assert story.wrote(7, 8).saw(3, 9, 10).verdict().is_clean


def test_torn_and_strange_blocks_are_told_from_others() -> None:
    torn = content_of(3, 1)[:512] + content_of(3, 2)[512:]
    assert shown_by(3, torn) == TORN
    assert shown_by(3, content_of(4, 1)) == STRANGE
    story = Story().wrote(0, 1)
    story.register.read(torn, 2, 3, "NBD")
    assert story.verdict().wrong


@pytest.mark.parametrize("seed", range(20))
def test_it_agrees_with_the_definition(seed: int) -> None:
    """Small random histories, against every order that there is."""
    dice = random.Random(seed)
    for _ in range(30):
        story, calls, now = Story(), [], 0.0
        for version in range(1, 4):
            start = now + dice.random()
            now = start + dice.random()
            answered = dice.random() < 0.8
            zeroes = dice.random() < 0.3
            story.wrote(start, now if answered else None, zeroes=zeroes)
            calls.append((start, now if answered else float("inf"), version, 0 if zeroes else version, True))
        for _ in range(3):
            start = dice.uniform(0, now)
            end = start + dice.random()
            shown = dice.randrange(4)
            if shown and calls[shown - 1][3] == 0:
                shown = 0
            story.saw(shown, start, end)
            calls.append((start, end, 0, shown, False))
        assert story.verdict().is_clean == _linearizable(calls), calls


def _linearizable(calls: list[tuple[float, float, int, int, bool]]) -> bool:
    """By brute force: start, end, version, value, whether it writes. A write without an end may be left out."""
    unclear = [call for call in calls if call[4] and call[1] == float("inf")]
    certain = [call for call in calls if call not in unclear]
    for count in range(len(unclear) + 1):
        for chosen in itertools.combinations(unclear, count):
            if any(_is_legal(order) for order in itertools.permutations([*certain, *chosen])):
                return True
    return False


def _is_legal(order: tuple[tuple[float, float, int, int, bool], ...]) -> bool:
    """By the rule, too, that a lost guest's write never comes after one of who took its place."""
    value, latest, newest = 0, 0.0, 0
    for start, end, version, shown, writes in order:
        if end < latest or (writes and version < newest):
            return False
        latest = max(latest, start)
        if writes:
            value, newest = shown, version
        elif shown != value:
            return False
    return True
