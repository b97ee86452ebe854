"""Passcodes are those that authenticators show (RFC 6238, appendix B, cut to six digits)."""

import base64

import pytest

from noded.identity.tokens.passcodes import passcode

SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("at_s", "digits"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_vectors_of_the_rfc(at_s: int, digits: str) -> None:
    assert passcode(SECRET, at_s * 1000) == digits


def test_secrets_are_read_as_people_copy_them_and_nonsense_shows_nothing() -> None:
    spaced = " ".join(SECRET[at : at + 4] for at in range(0, len(SECRET), 4)).lower()
    assert passcode(spaced, 59_000) == "287082"
    assert passcode("no base32!", 59_000) is None
