"""Each API's errors look as its clients expect, and every kind of no has a number."""

from typing import Any

import msgspec
import pytest

from noded.core.errors import Conflict, Kind, NotFound, Refused, Unauthenticated, Unavailable
from noded.core.route import Done
from noded.core.service import Endpoint, FaultStyle
from noded.gateway import faults


def told(refused: Refused, style: FaultStyle, name: str = "x") -> tuple[int, Any]:
    endpoint = Endpoint(name=name, types=(), prefix="/x", fault_style=style)
    fault = faults.fault(refused, endpoint, "req-1", "https://h", "/x/y")
    if style is FaultStyle.HTML:
        return fault.status, fault.body.decode()
    assert fault.content_type == "application/json"
    return fault.status, msgspec.json.decode(fault.body)


def test_keystone() -> None:
    assert told(NotFound("gone"), FaultStyle.KEYSTONE) == (
        404,
        {"error": {"code": 404, "message": "gone", "title": "Not Found"}},
    )


def test_nova_and_cinder() -> None:
    assert told(NotFound("gone"), FaultStyle.NOVA) == (404, {"itemNotFound": {"code": 404, "message": "gone"}})
    assert told(Conflict("busy"), FaultStyle.NOVA)[1].keys() == {"conflictingRequest"}


def test_neutron_prints_the_finer_name() -> None:
    assert told(Conflict("taken", code="IpAddressInUse"), FaultStyle.NEUTRON) == (
        409,
        {"NeutronError": {"type": "IpAddressInUse", "message": "taken", "detail": ""}},
    )


def test_glance() -> None:
    assert told(NotFound("gone"), FaultStyle.GLANCE)[1]["message"] == "gone"


def test_our_own_names_the_request() -> None:
    assert told(NotFound("gone"), FaultStyle.NODED)[1]["error"]["request_id"] == "req-1"


def test_who_are_you_is_asked_in_keystones_words_by_every_openstack_api() -> None:
    for style in (FaultStyle.KEYSTONE, FaultStyle.NOVA, FaultStyle.NEUTRON, FaultStyle.GLANCE):
        assert told(Unauthenticated("who?"), style)[1]["error"]["code"] == 401


def test_a_page_escapes_what_it_shows() -> None:
    status, page = told(NotFound("<script>"), FaultStyle.HTML)
    assert status == 404
    assert "<script>" not in page


def test_who_is_not_signed_in_is_led_to_the_page_where_that_is_done() -> None:
    endpoint = Endpoint(name="d", types=(), prefix="", fault_style=FaultStyle.HTML)
    fault = faults.fault(Unauthenticated("who?"), endpoint, "req-1", "https://h", "/servers/1")
    assert (fault.status, dict(fault.headers)["location"]) == (303, "/sign-in?next=/servers/1")


def test_try_later_says_when() -> None:
    endpoint = Endpoint(name="nova", types=(), prefix="/x", fault_style=FaultStyle.NOVA)
    fault = faults.fault(Unavailable("no majority"), endpoint, "req-1", "https://h", "/x")
    assert fault.status == 503
    assert "retry-after" in dict(fault.headers)


@pytest.mark.parametrize("style", list(FaultStyle))
@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_a_number_and_a_form_everywhere(style: FaultStyle, kind: Kind) -> None:
    status, body = told(Refused("why", kind=kind), style)
    assert 300 <= status < 600
    assert body or status == 303


def test_every_success_has_a_number() -> None:
    assert {faults.status_of_done(done) for done in Done} >= {200, 201, 202, 204}
