"""Times of expiry are read to the microsecond, or refused."""

import pytest

from noded.core.errors import Invalid
from noded.identity.moments import naive, read_expiry, zulu

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("text", "back"),
    [
        ("2026-01-02T03:04:05.000006Z", "2026-01-02T03:04:05.000006"),
        ("2026-01-02T03:04:05.999999", "2026-01-02T03:04:05.999999"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000"),
        ("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05.000000"),
        ("2026-01-02", "2026-01-02T00:00:00.000000"),
    ],
)
def test_a_time_is_found_again_as_it_was_sent(text: str, back: str) -> None:
    read = read_expiry(text, NOW_MS)
    assert read is not None
    assert (naive(read), zulu(read)) == (back, back + "Z")


def test_no_time_means_never() -> None:
    assert read_expiry(None, NOW_MS) is None


@pytest.mark.parametrize("text", ["bad.123Z", "", "2026-13-01", "2001-01-01T00:00:00Z", "2026-01-02T03:04:05+02:00"])
def test_what_is_no_time_or_has_passed_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        read_expiry(text, NOW_MS)
