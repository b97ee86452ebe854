"""A clock that is off is told from those that agree, and a jump is seen at once."""

import pytest

from consensus.clocks.model import OFF_MS_MAX, ClockSight, Told, off, own_ahead_ms

NOW = 1_000_000_000


def told(ahead_ms: int, way_ms: int = 2) -> Told:
    return Told(NOW + ahead_ms + way_ms // 2, NOW, NOW + way_ms)


@pytest.mark.parametrize(
    ("others", "leads", "ahead_ms"),
    [
        ([], False, 0),
        ([0, 1], False, 0),
        ([-300_000, -300_000], True, 300_000),  # also a leader is overruled by two
        ([300_000, 300_000, 300_000, 0], False, -300_000),
        ([0, 300_000], False, 0),
        ([0, 300_000, 300_000], False, 0),  # two against two: nobody knows, so it is not us
        ([300_000], True, 0),
        ([300_000], False, -300_000),
    ],
)
def test_the_clock_in_the_middle_is_right(others: list[int], leads: bool, ahead_ms: int) -> None:
    found = own_ahead_ms([told(each) for each in others], leads=leads)
    assert abs(found - ahead_ms) <= 2


def test_what_the_way_explains_is_no_difference() -> None:
    assert own_ahead_ms([told(3000, way_ms=8000)] * 2, leads=False) == 0


def test_a_jump_counts_before_anyone_is_asked_again() -> None:
    sight = ClockSight()
    assert sight.ahead_ms(NOW, 5.0) == 0
    sight.take(0, NOW, 5.0)
    assert sight.ahead_ms(NOW + 10_000, 15.0) == 0
    assert sight.ahead_ms(NOW + 310_000, 15.0) == 300_000
    sight.take(300_000, NOW + 310_000, 15.0)
    assert sight.ahead_ms(NOW + 10_000, 15.0) == 0, "it was set"


def test_only_what_is_too_far_is_told() -> None:
    assert off(OFF_MS_MAX) == off(-OFF_MS_MAX) == ""
    assert off(300_000) == "300 s ahead of the other nodes'"
    assert off(-300_000) == "300 s behind the other nodes'"
