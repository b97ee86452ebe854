"""A user names a URL, a node fetches it: never from where only nodes are let in, however the address is written."""

from ipaddress import ip_address

import pytest

from images.import_rules.model import Guard, ImportRules, RulesForm, expect_sense
from noded.core.errors import Invalid

URL = "http://images.example/disk.img"


def guard(**rules: object) -> Guard:
    return Guard(ImportRules(**rules), frozenset({"192.0.2.7", "2001:db8::7"}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://images.example/disk",
        "gopher://images.example/",
        "http:///disk",
        "images.example/disk",
        "http://images.example:8080/disk",
        "http://user:password@images.example/disk",
        "http://images.example:port/disk",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://192.0.2.7/",
        "http://[2001:db8::7]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001::1]/",
        "http://images.example/ HTTP/1.1\r\nHost: other",
        "http://images.example\\@127.0.0.1/",
        "http://" + "a" * 5000,
        "",
    ],
)
def test_a_url_that_does_not_pass_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="filtering"):
        guard().expect_url(url)


@pytest.mark.parametrize("url", [URL, "HTTPS://Images.Example/a?b=c", "http://10.1.2.3/disk", "http://[2001:db8::8]/"])
def test_other_hosts_pass_also_the_operators_own(url: str) -> None:
    assert guard().expect_url(url).port in (80, 443)


def test_a_target_says_what_to_ask_for() -> None:
    target = guard().expect_url("https://Images.Example./a/b?c=d#e")
    assert (target.scheme, target.host, target.port, target.path) == ("https", "images.example", 443, "/a/b?c=d")


def test_what_is_allowed_by_name_goes_before_what_is_disallowed() -> None:
    rules = guard(allowed_hosts=("good.example",), disallowed_hosts=("good.example",))
    assert rules.expect_url("http://good.example/").host == "good.example"
    with pytest.raises(Invalid):
        rules.expect_url(URL)
    with pytest.raises(Invalid):
        guard(disallowed_hosts=("images.example",)).expect_url(URL)
    with pytest.raises(Invalid):
        guard(allowed_schemes=("https",)).expect_url(URL)
    assert guard(allowed_ports=()).expect_url("http://images.example:8080/").port == 8080
    with pytest.raises(Invalid):
        guard(allowed_ports=(), disallowed_ports=(8080,)).expect_url("http://images.example:8080/")


def test_an_operator_may_open_and_close_networks() -> None:
    opened = guard(allowed_networks=("127.0.0.0/8", "192.0.2.7/32"), disallowed_networks=("10.0.0.0/8",))
    for address in ("127.0.0.1", "192.0.2.7", "192.0.2.8"):
        opened.expect_address(URL, ip_address(address))
    for address in ("10.1.2.3", "::1", "169.254.1.1"):
        with pytest.raises(Invalid):
            opened.expect_address(URL, ip_address(address))


def test_the_signature_of_a_url_is_not_told() -> None:
    with pytest.raises(Invalid) as refused:
        guard().expect_url("http://127.0.0.1/disk?signature=abc")
    assert "abc" not in refused.value.message


@pytest.mark.parametrize(
    "form",
    [
        RulesForm(allowed_schemes=("file",)),
        RulesForm(allowed_ports=(0,)),
        RulesForm(allowed_networks=("10.0.0.1/8",)),
        RulesForm(disallowed_networks=("everything",)),
        RulesForm(disallowed_hosts=("h",) * 257),
    ],
)
def test_rules_without_sense_are_refused(form: RulesForm) -> None:
    with pytest.raises(Invalid):
        expect_sense(form)
