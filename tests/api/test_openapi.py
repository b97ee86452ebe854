"""The gateway's description of itself: every route is in it, with what its handler reads; drawn requests don't err."""

import json
from typing import Any

import msgspec
import pytest

from noded.gateway.router import Router
from noded.openapi.reading import reading_of
from noded.openapi.views import description
from noded.policy.model import Policies
from noded.services import SERVICES
from tests.acceptance.schemathesis import run
from tests.twins.cloud import found_cloud

CHANGING = {"POST", "PUT", "PATCH"}


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads(msgspec.json.encode(description(Policies(SERVICES).actions.values(), "1")))


def test_every_route_of_every_api_is_described(document: Any) -> None:
    described = {(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs}
    routes = {
        (target.route.verb, target.full_path.replace(":path}", "}") or "/")
        for target in Router(SERVICES).targets
        if target.endpoint.name != "dashboard"
    }
    assert described == routes


def test_what_a_handler_reads_is_described(document: Any) -> None:
    wrong = []
    for target in Router(SERVICES).targets:
        if target.endpoint.name == "dashboard":
            continue
        operation = document["paths"][target.full_path.replace(":path}", "}") or "/"][target.route.verb.lower()]
        reading = reading_of(target.route.handler)
        if bool(reading.bodies or reading.streams) is not ("requestBody" in operation):
            wrong.append(operation["operationId"])
        if reading.bodies and target.route.verb not in CHANGING and target.route.verb != "DELETE":
            wrong.append(operation["operationId"])
    assert wrong == []


def test_a_body_is_described_down_to_the_fields_of_the_thing(document: Any) -> None:
    schemas = document["components"]["schemas"]

    def body(verb: str, path: str) -> Any:
        return document["paths"][path][verb]["requestBody"]["content"]["application/json"]["schema"]

    inner = body("post", "/identity/v3/users")["allOf"][1]
    assert inner["required"] == ["user"]
    form = schemas[inner["properties"]["user"]["$ref"].rsplit("/", 1)[1]]
    assert {"name", "password", "domain_id", "enabled"} <= set(form["properties"])
    assert form["required"] == ["name"]
    server = json.dumps(body("post", "/compute/v2.1/servers")) + json.dumps(schemas)
    assert all(f'"{name}"' in server for name in ("imageRef", "flavorRef", "networks"))


def test_what_may_be_asked_in_a_query_is_described(document: Any) -> None:
    def query(path: str) -> set[str]:
        parameters = document["paths"][path]["get"]["parameters"]
        return {each["name"] for each in parameters if each["in"] == "query"}

    assert query("/identity/v3/users") >= {"name", "domain_id", "enabled", "password_expires_at", "limit", "marker"}
    assert query("/volume/v3/volumes") >= {"limit", "marker"}


def test_every_reference_leads_somewhere(document: Any) -> None:
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(document["components"]["schemas"])


async def test_the_description_is_for_whoever_has_a_token() -> None:
    cloud = await found_cloud(SERVICES)
    async with cloud.client() as client:
        assert (await client.get("/noded/v1/openapi.json")).status_code == 401
        answer = await client.get("/noded/v1/openapi.json", headers=await cloud.token_with(client, "reader"))
    assert (answer.status_code, answer.json()["openapi"]) == (200, "3.1.0")


async def test_a_number_that_no_entry_of_the_log_can_hold_is_refused() -> None:
    """What schemathesis found: free attributes may hold numbers of any length in JSON."""
    cloud = await found_cloud()
    async with cloud.client() as client:
        body = {"project": {"name": "p", "color": [2**64]}}
        answer = await client.post("/identity/v3/projects", json=body, headers=await cloud.admin(client))
    assert (answer.status_code, "64 bits" in answer.json()["error"]["message"]) == (400, True)


def test_no_drawn_request_makes_the_gateway_stumble() -> None:
    """A slice; `python -m tests.acceptance.schemathesis` asks 20,000."""
    found = run(180, 1)
    assert found.faults == {}
    assert found.asked > 120
    assert sum(found.well.values()) > 20, "else nothing came far"
