"""Every route says who may use it, and the gateway holds it to its word: walked over all services."""

import re

import pytest

from noded.core.route import Allow
from noded.core.service import FaultStyle
from noded.gateway.router import Target
from noded.services import SERVICES
from tests.twins.cloud import Cloud, found_cloud

# What a stranger may call. A new line here is a decision: say why it needs no token.
OPEN = {
    "cinder": "version documents",
    "dashboard": "the page to sign in, and its style",
    "glance": "version documents",
    "keystone": "signing in, and changing one's password by knowing the old one",
    "keystone-versions": "version documents",
    "noded-metrics": "for scrapers, who show a key of their own",
    "neutron": "the list of resources below the version",
    "neutron-versions": "version documents",
    "noded-health": "for load balancers",
    "nova-versions": "version documents",
}
OPEN_IN_KEYSTONE = {
    ("POST", "/auth/tokens"),
    ("POST", "/users/{user_id}/password"),
    # An OAuth consumer has no token: it signs its requests with its secret.
    ("POST", "/OS-OAUTH1/request_token"),
    ("POST", "/OS-OAUTH1/access_token"),
    # Here an identity provider's token is what one signs in with.
    ("GET", "/OS-FEDERATION/identity_providers/{provider_id}/protocols/{protocol_id}/auth"),
    ("POST", "/OS-FEDERATION/identity_providers/{provider_id}/protocols/{protocol_id}/auth"),
}
# The greatest role that is still too small.
TOO_SMALL = {
    Allow.READER: "service",
    Allow.MEMBER: "reader",
    Allow.MANAGER: "member",
    Allow.ADMIN: "manager",
    Allow.OVERSEER: "manager",
    Allow.DOMAIN_READER: "manager",
    Allow.DOMAIN_MANAGER: "manager",
}


@pytest.fixture
async def cloud() -> Cloud:
    return await found_cloud(SERVICES)


def path_of(target: Target) -> str:
    return re.sub(r"\{[^}]+\}", "x", target.full_path) or "/"


def test_every_route_says_who_may_use_it() -> None:
    routes = [(service, route) for service in SERVICES for route in service.routes]
    assert routes
    assert [route.name for _, route in routes if not isinstance(route.allow, Allow)] == []
    assert [service.name for service, _ in routes if service.endpoint is None] == []


def test_what_is_open_to_strangers_was_decided() -> None:
    opened = {
        (service.endpoint.name, route.verb, route.path)
        for service in SERVICES
        for route in service.routes
        if service.endpoint is not None and route.allow is Allow.ANYONE
    }
    assert {name for name, _, _ in opened} <= set(OPEN)
    assert {(verb, path) for name, verb, path in opened if name == "keystone"} == OPEN_IN_KEYSTONE
    changing = {(name, verb, path) for name, verb, path in opened if verb != "GET" and name != "keystone"}
    assert changing <= {("dashboard", "POST", "/sign-in"), ("dashboard", "POST", "/sign-out")}


async def test_without_a_token_every_closed_route_asks_who_you_are(cloud: Cloud) -> None:
    wrong = []
    async with cloud.client() as client:
        for target in cloud.gateways["node1"].router.targets:
            if target.route.allow is Allow.ANYONE:
                continue
            answer = await client.request(target.route.verb, path_of(target))
            wanted = 303 if target.endpoint.fault_style is FaultStyle.HTML else 401
            if answer.status_code != wanted:
                wrong.append((target.route.verb, target.full_path, answer.status_code))
    assert wrong == []


async def test_with_too_small_a_role_every_closed_route_refuses(cloud: Cloud) -> None:
    wrong = []
    async with cloud.client() as client:
        headers = {role: await cloud.token_with(client, role) for role in set(TOO_SMALL.values())}
        for target in cloud.gateways["node1"].router.targets:
            if target.route.allow in {Allow.ANYONE, Allow.ANY_TOKEN}:
                continue
            role = TOO_SMALL[target.route.allow]
            answer = await client.request(target.route.verb, path_of(target), headers=headers[role])
            if answer.status_code != (403 if target.route.sought is None else 404):
                wrong.append((target.route.verb, target.full_path, role, answer.status_code))
    assert wrong == []


async def test_every_answer_names_its_request(cloud: Cloud) -> None:
    async with cloud.client() as client:
        for target in cloud.gateways["node1"].router.targets:
            answer = await client.request(target.route.verb, path_of(target))
            assert re.fullmatch(r"req-[0-9a-f-]{36}", answer.headers["x-openstack-request-id"]), target.full_path
            if target.route.verb == "HEAD" or answer.status_code == 204:
                assert answer.content == b"", target.full_path
