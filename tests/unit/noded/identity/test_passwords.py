"""Hashes of other Keystones are understood, and ours take turns fairly."""

import pytest

from noded.identity.host.argon2 import Argon2Passwords
from noded.identity.host.foreign_hashes import fits, is_foreign
from noded.identity.links import HashCost

PBKDF2_SUM = "KM2LHUip8CaOxs.wF.aje1Yd68v5n/bUkRj7BNpsTgOzqq0nGhXmn0xvccY.EUlQ1evF9GaYrClt1RjCREJM8Q"
# Made by passlib 1.7.4, as Keystone uses it, of the password `opensesame`.
HASHES = [
    "$2b$04$PZ6vOWPi6sZyuFcCWsKe/OuO1ZaD095rnJlgd/cwG5wNqJ.kmO48K",
    "$bcrypt-sha256$v=2,t=2b,r=4$YGnQx7QeuO6VveZfRNgdg.$gWCkHbPVr4nSZNoJklXNoDel/.XlWEG",
    "$scrypt$ln=4,r=8,p=1$P2cMgfBe6/2fM8Y4h/C+Fw$4bSb59TwGi5UqjtcLoVxJgN7aml8LPGpQC2nQhDkF8M",
    f"$pbkdf2-sha512$100$IwQAoFSqtVYqxVjLeS.ltA${PBKDF2_SUM}",
]


@pytest.mark.parametrize("password_hash", HASHES)
async def test_a_hash_of_another_keystone_lets_in_who_knows_the_password(password_hash: str) -> None:
    passwords = Argon2Passwords(memory_kib=8, passes=1)
    assert is_foreign(password_hash)
    assert await passwords.matches(password_hash, "opensesame")
    for wrong in ("opensesamE", "", "x" * 5000):
        assert not await passwords.matches(password_hash, wrong)
    assert not passwords.is_current(password_hash)
    assert passwords.is_current(await passwords.hash("opensesame"))


@pytest.mark.parametrize(
    "password_hash",
    [
        "$2b$31$PZ6vOWPi6sZyuFcCWsKe/OuO1ZaD095rnJlgd/cwG5wNqJ.kmO48K",
        "$scrypt$ln=30,r=8,p=1$P2cMgfBe6/2fM8Y4h/C+Fw$4bSb59TwGi5UqjtcLoVxJgN7aml8LPGpQC2nQhDkF8M",
        "$scrypt$ln=1,r=999,p=99$P2cMgfBe6/2fM8Y4h/C+Fw$4bSb",
        "$pbkdf2-sha512$99999999$IwQAoFSqtVYqxVjLeS.ltA$KM2L",
        "$scrypt$ln=4,r=8,p=1$P$b",
        "",
        "plain",
    ],
)
def test_what_costs_too_much_or_is_none_fits_nothing(password_hash: str) -> None:
    assert not fits(password_hash, "opensesame")


async def test_a_hash_costs_what_is_asked_for() -> None:
    passwords, dear = Argon2Passwords(memory_kib=8, passes=1), HashCost(16, 2)
    made = await passwords.hash("opensesame", cost=dear)
    assert "m=16,t=2" in made
    assert (passwords.is_current(made, dear), passwords.is_current(made)) == (True, False)
    assert await passwords.matches(made, "opensesame")
    assert not passwords.understands(made.replace("m=16", "m=99999999"))
    assert not await passwords.matches(made.replace("t=2", "t=9999"), "opensesame")
