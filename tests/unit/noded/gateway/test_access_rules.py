"""What an access rule allows, path by path."""

import pytest

from noded.core.route import AccessRule
from noded.core.service import Endpoint, FaultStyle
from noded.gateway.access_rules import permits

NOVA = Endpoint(name="nova", types=("compute",), prefix="/compute/v2.1", fault_style=FaultStyle.NOVA)
KEYSTONE = Endpoint(name="keystone", types=("identity",), prefix="/identity/v3", fault_style=FaultStyle.KEYSTONE)


@pytest.mark.parametrize(
    ("pattern", "path", "allowed"),
    [
        ("/v2.1/servers", "/compute/v2.1/servers", True),
        ("/compute/v2.1/servers", "/compute/v2.1/servers", True),
        ("/v2.1/servers", "/compute/v2.1/servers/1", False),
        ("/v2.1/servers/*", "/compute/v2.1/servers/1", True),
        ("/v2.1/servers/{id}/ips", "/compute/v2.1/servers/1/ips", True),
        ("/v2.1/servers/*", "/compute/v2.1/servers/1/ips", False),
        ("/v2.1/servers/**", "/compute/v2.1/servers/1/ips", True),
        ("/**", "/compute/v2.1/flavors", True),
        ("/v2.1/servers", "/compute/v2x1/servers", False),
        ("/v2.1/s(.*", "/compute/v2.1/servers", False),
        ("/v2.1/{", "/compute/v2.1/servers", False),
    ],
)
def test_a_path_fits_its_pattern_or_not(pattern: str, path: str, allowed: bool) -> None:
    assert permits([AccessRule(service="compute", verb="GET", path=pattern)], NOVA, "GET", path) is allowed


def test_verb_and_service_must_fit_too() -> None:
    rules = [AccessRule(service="compute", verb="GET", path="/**")]
    assert not permits(rules, NOVA, "POST", "/compute/v2.1/servers")
    assert not permits(rules, KEYSTONE, "GET", "/identity/v3/users")
    assert not permits([], NOVA, "GET", "/compute/v2.1/servers")


def test_a_token_can_always_be_looked_at() -> None:
    assert permits([], KEYSTONE, "GET", "/identity/v3/auth/tokens")
    assert not permits([], KEYSTONE, "DELETE", "/identity/v3/auth/tokens")
