"""The cookie, and which forms are our own."""

import pytest

from consensus import members
from noded.core.errors import Forbidden
from noded.core.reconciler import Drivers
from noded.dashboard.session import expect_own_form, signed_in, signed_out, token_of
from tests.twins.cluster import SharedCluster
from tests.twins.request import Asked


def asked(**headers: str) -> Asked:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Asked(cluster=SharedCluster((members.SERVICE,)).cluster(), drivers=Drivers(), headers=named)


@pytest.mark.parametrize(
    ("cookie", "token"),
    [
        ("", None),
        ("other=1", None),
        ("noded_session=abc", "abc"),
        ("a=b; noded_session=abc; c=d", "abc"),
        ("noded_session", None),
        ("\x00=;;;=", None),
    ],
)
def test_the_token_is_what_the_cookie_says(cookie: str, token: str | None) -> None:
    assert token_of({"cookie": cookie}) == token


def test_no_cookie_is_no_token() -> None:
    assert token_of({}) is None


def test_the_cookie_is_kept_from_scripts_other_sites_and_plain_http() -> None:
    for value in (signed_in("abc"), signed_out()):
        assert {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"} <= set(value.split("; "))
    assert token_of({"cookie": signed_in("abc").split(";")[0]}) == "abc"
    assert "Max-Age=0" in signed_out()


def test_forms_of_our_own_pages_and_of_clients_without_pages_are_taken() -> None:
    expect_own_form(asked())
    expect_own_form(asked(origin="https://cloud", sec_fetch_site="same-origin"))
    expect_own_form(asked(sec_fetch_site="none"))


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil"},
        {"origin": "null"},
        {"origin": "http://cloud"},
        {"origin": "https://cloud:8443"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_a_form_of_another_site_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Forbidden, match="another site"):
        expect_own_form(asked(**headers))
