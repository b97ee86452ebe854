"""What clients may write, and what is refused before it does anything."""

import time

import pytest
from cryptography.hazmat.primitives import serialization

from compute import inputs
from compute.keypairs.material import fingerprint, new_ssh_key
from compute.keypairs.model import KeyType
from compute.servers.commands import checked_metadata, checked_tags
from compute.servers.console import last_lines
from compute.servers.creation import address, hostname, hostname_of, user_data
from compute.servers.listing import bounded_pattern
from noded.core.errors import Forbidden, Invalid
from noded.core.ids import ServerId


@pytest.mark.parametrize("text", ["", " ", " a", "a ", "a" * 256, "a\nb"])
def test_bad_names(text: str) -> None:
    with pytest.raises(Invalid):
        inputs.name(text)


@pytest.mark.parametrize("value", [True, "1.5", "x", "", -1, 2**31, "9" * 40])
def test_bad_numbers(value: int | str) -> None:
    with pytest.raises(Invalid):
        inputs.number(value, "n")


def test_numbers_and_flags_may_be_words() -> None:
    assert inputs.number("7", "n") == 7
    assert inputs.flag("True", "f")
    assert not inputs.flag("off", "f")
    with pytest.raises(Invalid):
        inputs.flag("perhaps", "f")


def test_patterns_from_outside_are_bounded_in_time() -> None:
    for kind in ("^web.*", "web-?1", "web|db|cache|proxy|mail", "(web|db|cache)-[0-9]", "(web|db)-.*"):
        assert bounded_pattern(kind).search("WEB-1")
    for evil in ("(a+)+$", "(a|aa)*b", ".*.*.*x", r"(a)\1", "[", "x" * 256, "a?" * 30 + "a" * 30, "(a|a)" * 30):
        with pytest.raises(Invalid):
            bounded_pattern(evil)
    begun = time.monotonic()
    bounded_pattern("a*a*b").search("a" * 255)
    assert time.monotonic() - begun < 1


def test_a_made_key_is_one_that_can_be_imported() -> None:
    private, public = new_ssh_key()
    assert serialization.load_pem_private_key(private.encode(), None) is not None
    assert len(fingerprint(KeyType.SSH, public)) == 16 * 3 - 1


@pytest.mark.parametrize(
    "text", ["", "ssh-rsa", "ssh-rsa !!!", "ssh-rsa AAAA", "ssh-ed25519 AAAAB3NzaC1yc2E=", "x" * 17000]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        fingerprint(KeyType.SSH, text)
    with pytest.raises(Invalid):
        fingerprint(KeyType.X509, text)


def test_host_names_are_made_from_names() -> None:
    assert hostname_of("Web Server_1", ServerId("x")) == "web-server-1"
    assert hostname_of("Ω", ServerId("x")) == "server-x"
    assert len(hostname_of("a" * 255, ServerId("x"))) == 63
    assert hostname("a.example.org", (2, 94)) == "a.example.org"
    for bad in ("a.example.org", "-a", "a_b", ""):
        with pytest.raises(Invalid):
            hostname(bad, (2, 90))


def test_metadata_tags_addresses_and_user_data_are_checked() -> None:
    assert checked_metadata({"b": "1", "a": ""}) == {"a": "", "b": "1"}
    with pytest.raises(Invalid):
        checked_metadata({"": "x"})
    with pytest.raises(Forbidden):
        checked_metadata({str(number): "" for number in range(129)})
    assert checked_tags(("b", "a", "b")) == ("a", "b")
    for bad in (("a,b",), ("x" * 61,), ("",), tuple(str(number) for number in range(51))):
        with pytest.raises(Invalid):
            checked_tags(bad)
    assert address("2001:0DB8::1", 6) == "2001:db8::1"
    for text, family in (("10.0.0.256", 4), ("::1", 4), ("10.0.0.1", 6)):
        with pytest.raises(Invalid):
            address(text, family)
    assert user_data("aGk=\n") == "aGk=\n"
    for text in ("%", "a" * 65536):
        with pytest.raises(Invalid):
            user_data(text)


@pytest.mark.parametrize(
    ("written", "lines", "shown"),
    [
        (b"a\nb\nc\n", 2, "b\nc\n"),
        (b"a\nb\nc", 2, "b\nc"),
        (b"a\nb\n", None, "a\nb\n"),
        (b"a\nb\n", 0, ""),
        (b"a\n", 9, "a\n"),
        (b"\xff\0a", None, "\ufffda"),
    ],
)
def test_console_lines(written: bytes, lines: int | None, shown: str) -> None:
    assert last_lines(written, lines) == shown
