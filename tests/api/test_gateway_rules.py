"""The front door for everyone: pages of other sites, users who ask too fast, small answers, and ids that lead on."""

import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog

from noded.core.errors import TooMany
from noded.gateway.packing import accepts
from noded.gateway.rates import Rates
from noded.gateway_rules.model import GatewayRules
from noded.services import SERVICES
from tests.twins.cloud import Cloud, found_cloud

V3 = "/identity/v3"
RULES = "/noded/v1/gateway-rules"
APP, OTHER = "https://app.example", "https://other.example"


@pytest.fixture
async def cloud() -> Cloud:
    return await found_cloud(SERVICES)


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client() as client:
        client.headers.update(await cloud.admin(client))
        yield client


async def rules(client: httpx.AsyncClient, **given: Any) -> httpx.Response:
    return await client.put(RULES, json={"gateway_rules": given})


def preflight(origin: str, verb: str = "POST") -> dict[str, str]:
    asked = {"access-control-request-method": verb, "access-control-request-headers": "x-auth-token, content-type"}
    return {"origin": origin, **asked}


async def test_pages_of_sites_that_were_named_may_call_and_no_others(client: httpx.AsyncClient) -> None:
    before = await client.get(f"{V3}/users", headers={"origin": APP})
    assert [name for name in before.headers if name.startswith("access-control")] == []
    assert (await rules(client, origins=[APP])).status_code == 200
    del client.headers["x-auth-token"]
    asked = await client.options(f"{V3}/auth/tokens", headers=preflight(APP))
    assert (asked.status_code, asked.content) == (204, b"")
    assert asked.headers["access-control-allow-origin"] == APP
    assert asked.headers["access-control-allow-headers"] == "x-auth-token, content-type"
    assert "PATCH" in asked.headers["access-control-allow-methods"]
    refused = await client.options(f"{V3}/auth/tokens", headers=preflight(OTHER))
    assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (405, False)
    # Refusals too are for the page to read; and what is kept for one site is not shown to another.
    answer = await client.get(f"{V3}/users", headers={"origin": APP})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, APP)
    assert "X-Subject-Token" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["vary"] == "Origin"
    versioned = await client.get("/compute/v2.1/flavors", headers={"origin": APP})
    assert versioned.headers["vary"].split(", ")[:2] == ["Origin", "OpenStack-API-Version"]


async def test_the_dashboard_is_for_its_own_pages_alone(client: httpx.AsyncClient) -> None:
    assert (await rules(client, origins=["*"])).status_code == 200
    assert (await client.get(V3, headers={"origin": OTHER})).headers["access-control-allow-origin"] == OTHER
    for answer in (
        await client.get("/sign-in", headers={"origin": OTHER}),
        await client.options("/sign-in", headers=preflight(OTHER)),
    ):
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"origins": ["app.example"]}, "is no origin"),
        ({"origins": ["https://app.example/path"]}, "is no origin"),
        ({"requests_s": -1}, "must be from 0"),
        ({"burst": 5}, "requests_s, which is 0"),
        ({"rate": 5}, "unknown field"),
    ],
)
async def test_rules_that_make_no_sense_are_refused(client: httpx.AsyncClient, given: Any, why: str) -> None:
    answer = await rules(client, **given)
    assert (answer.status_code, why in answer.text) == (400, True)
    assert (await client.get(RULES)).json()["gateway_rules"] == {"requests_s": 0, "burst": 0, "origins": []}


async def test_who_asks_too_fast_is_told_when_to_come_again_and_nobody_else_waits(
    cloud: Cloud, client: httpx.AsyncClient
) -> None:
    reader = await cloud.token_with(client, "reader")
    assert (await rules(client, requests_s=1, burst=3)).status_code == 200
    asked = [await client.get("/compute/v2.1/flavors", headers=reader) for _ in range(5)]
    assert [answer.status_code for answer in asked] == [200, 200, 200, 429, 429]
    assert asked[3].headers["retry-after"] == "1"
    assert asked[3].json()["overLimit"]["code"] == 429
    # Another user, and another node, count for themselves.
    assert (await client.get("/compute/v2.1/flavors")).status_code == 200
    async with cloud.client("node2") as other:
        assert (await other.get("/compute/v2.1/flavors", headers=reader)).status_code == 200


def test_a_bucket_fills_again_and_the_number_of_buckets_is_bounded() -> None:
    rates, slow = Rates(users_max=2), GatewayRules(requests_s=2, burst=2)
    for _ in range(2):
        rates.take(slow, "a", 10.0)
    with pytest.raises(TooMany):
        rates.take(slow, "a", 10.4)
    rates.take(slow, "a", 10.5)
    with pytest.raises(TooMany):
        rates.take(slow, "a", 10.6)
    for user in ("b", "c"):
        rates.take(slow, user, 10.6)
    rates.take(slow, "a", 10.6)  # it was forgotten for two others, and has begun anew
    rates.take(None, "a", 10.6)


async def test_a_long_answer_is_sent_small_to_who_takes_that(client: httpx.AsyncClient) -> None:
    plain = await client.get("/noded/v1/routes", headers={"accept-encoding": "identity"})
    if plain.status_code != 200:
        plain = await client.get("/noded/v1/policy", headers={"accept-encoding": "identity"})
    path = plain.url.path
    assert ("content-encoding" in plain.headers, plain.headers["vary"]) == (False, "Accept-Encoding")
    async with client.stream("GET", path, headers={"accept-encoding": "gzip"}) as answer:
        raw = b"".join([piece async for piece in answer.aiter_raw()])
    assert (answer.headers["content-encoding"], int(answer.headers["content-length"])) == ("gzip", len(raw))
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 3
    short = await client.get(f"{V3}/auth/projects", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in short.headers


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True), ("gzip, deflate", True), ("deflate, GZIP;q=0.5", True), ("*", True),
        ("br;q=1, gzip ; q=1.0", True),
        ("", False), ("identity", False), ("gzip;q=0", False), ("x-gzip-not", False), ("gzip;q=1.2.3", False),
        ("gzip;q=0.0, *;q=0", False),
    ],
)  # fmt: skip
def test_what_a_client_takes_is_read_as_the_rfc_says(header: str, takes: bool) -> None:
    assert accepts(header) is takes


async def test_a_request_that_is_part_of_another_says_so_in_every_line_of_the_log(client: httpx.AsyncClient) -> None:
    part_of = "req-11111111-2222-4333-8444-555555555555"
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        answer = await client.get(f"{V3}/users", headers={"x-openstack-request-id": part_of})
        await client.get(f"{V3}/users", headers={"x-openstack-request-id": "req-\nforged"})
    assert answer.headers["x-openstack-request-id"] != part_of
    first, second = (line for line in lines if line["event"] == "request")
    assert (first["request"], first["part_of"]) == (answer.headers["x-openstack-request-id"], part_of)
    assert "part_of" not in second
