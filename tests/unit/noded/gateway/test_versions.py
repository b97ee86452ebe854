"""Microversions are negotiated as the API working group wrote it down."""

import pytest

from noded.core.errors import Kind, Refused
from noded.core.service import Microversions
from noded.gateway.versions import headers_back, negotiate

NOVA = Microversions(word="compute", legacy_header="X-OpenStack-Nova-API-Version", lowest=(2, 1), highest=(2, 26))


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({}, (2, 1)),
        ({"openstack-api-version": "compute 2.10"}, (2, 10)),
        ({"openstack-api-version": "volume 3.0, compute 2.3"}, (2, 3)),
        ({"openstack-api-version": "volume 3.0"}, (2, 1)),
        ({"openstack-api-version": "compute latest"}, (2, 26)),
        ({"x-openstack-nova-api-version": "2.26"}, (2, 26)),
        ({"x-openstack-nova-api-version": "latest"}, (2, 26)),
        ({"openstack-api-version": "compute 2.2", "x-openstack-nova-api-version": "2.5"}, (2, 2)),
    ],
)
def test_the_asked_version_is_spoken(headers: dict[str, str], version: tuple[int, int]) -> None:
    assert negotiate(NOVA, headers) == version


@pytest.mark.parametrize("asked", ["2.27", "2.0", "3.1", "1.1"])
def test_a_version_that_is_not_served_is_not_acceptable(asked: str) -> None:
    with pytest.raises(Refused) as refused:
        negotiate(NOVA, {"openstack-api-version": f"compute {asked}"})
    assert refused.value.kind is Kind.NOT_ACCEPTABLE
    assert "2.1" in refused.value.message


@pytest.mark.parametrize("asked", ["", "two", "2", "2.1.1", "2.01", "-2.1", "2.x", "2.99999999", "²·¹"])
def test_a_malformed_version_is_invalid(asked: str) -> None:
    with pytest.raises(Refused) as refused:
        negotiate(NOVA, {"openstack-api-version": f"compute {asked}"})
    assert refused.value.kind is Kind.INVALID


def test_both_headers_tell_the_version_back() -> None:
    back = headers_back(NOVA, (2, 26))
    assert back["openstack-api-version"] == "compute 2.26"
    assert back["x-openstack-nova-api-version"] == "2.26"
    assert back["vary"] == "OpenStack-API-Version, X-OpenStack-Nova-API-Version"
