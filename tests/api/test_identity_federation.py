"""Identity providers, protocols, mappings and service providers as their clients see them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from noded.identity.model import SYSTEM_ID
from noded.identity.providers import IdentityProvider, Mapping, Protocol
from tests.twins.cloud import Cloud, found_cloud, sign_in_body

V3 = "/identity/v3"
FEDERATION = f"{V3}/OS-FEDERATION"
RULES = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "OIDC-sub"}, {"type": "g", "any_one_of": ["a"]}]}]


@pytest.fixture
async def cloud() -> Cloud:
    return await found_cloud()


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client() as client:
        client.headers.update(await cloud.admin(client))
        yield client


async def put(client: httpx.AsyncClient, path: str, noun: str, **attributes: Any) -> dict[str, Any]:
    answer = await client.put(f"{FEDERATION}/{path}", json={noun: attributes})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()[noun]
    return made


async def test_an_identity_provider_has_a_domain_and_goes_with_it(cloud: Cloud, client: httpx.AsyncClient) -> None:
    made = await put(client, "identity_providers/corp", "identity_provider", remote_ids=["https://corp"], enabled=True)
    assert (await client.get(f"{V3}/domains/{made['domain_id']}")).status_code == 200
    assert (
        await client.put(f"{FEDERATION}/identity_providers/corp", json={"identity_provider": {}})
    ).status_code == 409
    again = await client.put(
        f"{FEDERATION}/identity_providers/other",
        json={"identity_provider": {"remote_ids": ["https://corp"], "domain_id": "default"}},
    )
    assert again.status_code == 409
    assert (await client.get(f"{FEDERATION}/identity_providers")).json()["identity_providers"] == [made]
    off = await client.patch(
        f"{FEDERATION}/identity_providers/corp", json={"identity_provider": {"enabled": False, "remote_ids": []}}
    )
    assert (off.json()["identity_provider"]["enabled"], off.json()["identity_provider"]["remote_ids"]) == (False, [])
    await put(client, "mappings/m", "mapping", rules=RULES)
    await put(client, "identity_providers/corp/protocols/openid", "protocol", mapping_id="m")
    await client.patch(f"{V3}/domains/{made['domain_id']}", json={"domain": {"enabled": False}})
    assert (await client.delete(f"{V3}/domains/{made['domain_id']}")).status_code == 204
    view = cloud.shared.cluster().view()
    assert [view.count(kind) for kind in (IdentityProvider, Protocol, Mapping)] == [0, 0, 1]


async def test_a_protocol_is_read_by_a_mapping(client: httpx.AsyncClient) -> None:
    await put(client, "identity_providers/corp", "identity_provider")
    path = f"{FEDERATION}/identity_providers/corp/protocols/openid"
    assert (await client.put(path, json={"protocol": {"mapping_id": "m"}})).status_code == 400
    mapping = await put(client, "mappings/m", "mapping", rules=RULES)
    assert (mapping["rules"], mapping["schema_version"]) == (RULES, "1.0")
    made = await put(client, "identity_providers/corp/protocols/openid", "protocol", mapping_id="m")
    assert made["links"]["identity_provider"].endswith("/OS-FEDERATION/identity_providers/corp")
    listed = await client.get(f"{FEDERATION}/identity_providers/corp/protocols")
    assert listed.json()["protocols"] == [made]
    assert (await client.delete(f"{FEDERATION}/mappings/m")).status_code == 403
    changed = await client.patch(path, json={"protocol": {"remote_id_attribute": "iss"}})
    assert changed.json()["protocol"]["remote_id_attribute"] == "iss"
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
    other = [{**RULES[0], "remote": [{"type": "x"}]}]
    change = {"mapping": {"rules": other, "schema_version": None}}
    patched = await client.patch(f"{FEDERATION}/mappings/m", json=change)
    assert patched.json()["mapping"]["rules"] == other
    assert (await client.delete(f"{FEDERATION}/mappings/m")).status_code == 204
    empty = [{"local": [], "remote": [{"type": "x", "not_any_of": ["y"]}]}]
    assert (await put(client, "mappings/m", "mapping", rules=empty))["rules"] == empty
    for wrong in (
        {"local": [{"who": {}}]},
        {"remote": []},
        {"remote": [{"type": "x", "whitelist": [], "blacklist": []}]},
    ):
        refused = await client.put(f"{FEDERATION}/mappings/n", json={"mapping": {"rules": [{**empty[0], **wrong}]}})
        assert refused.status_code == 400, wrong
    assert (await client.delete(f"{FEDERATION}/mappings/m")).status_code == 204
    assert (await client.get(f"{FEDERATION}/mappings")).json()["mappings"] == []


@pytest.mark.parametrize("rules", [[], [{}], [{"local": [], "remote": []}], [{**RULES[0], "remote": [{"no": 1}]}]])
async def test_a_wrong_mapping_is_refused(cloud: Cloud, client: httpx.AsyncClient, rules: Any) -> None:
    answer = await client.put(f"{FEDERATION}/mappings/m", json={"mapping": {"rules": rules}})
    assert answer.status_code == 400
    assert cloud.shared.cluster().view().count(Mapping) == 0


async def test_tokens_name_the_clouds_that_take_our_word(cloud: Cloud, client: httpx.AsyncClient) -> None:
    urls = {"auth_url": "https://there/auth", "sp_url": "https://there/sp"}
    made = await put(client, "service_providers/there", "service_provider", **urls)
    assert (made["enabled"], made["relay_state_prefix"]) == (False, "ss:mem:")
    assert "service_providers" not in (await cloud.sign_in(client)).json()["token"]
    on = await client.patch(f"{FEDERATION}/service_providers/there", json={"service_provider": {"enabled": True}})
    assert on.json()["service_provider"]["enabled"] is True
    token = (await cloud.sign_in(client)).json()["token"]
    assert token["service_providers"] == [{"id": "there", **urls}]
    found = await client.get(f"{FEDERATION}/service_providers", params={"enabled": "false"})
    assert found.json()["service_providers"] == []
    assert (await client.delete(f"{FEDERATION}/service_providers/there")).status_code == 204
    assert (await client.get(f"{FEDERATION}/service_providers/there")).status_code == 404
    wrong = {"service_provider": {**urls, "sp_url": "no address"}}
    assert (await client.put(f"{FEDERATION}/service_providers/there", json=wrong)).status_code == 400


async def test_a_reader_of_the_whole_system_looks_and_changes_nothing(cloud: Cloud, client: httpx.AsyncClient) -> None:
    user = (await client.post(f"{V3}/users", json={"user": {"name": "eye", "password": "eye"}})).json()["user"]
    role = (await client.get(f"{V3}/roles", params={"name": "reader"})).json()["roles"][0]
    await client.put(f"{V3}/system/users/{user['id']}/roles/{role['id']}")
    body = sign_in_body("eye", "eye", None)
    body["auth"]["scope"] = {"system": {SYSTEM_ID: True}}  # type: ignore[index]
    answer = await client.post(f"{V3}/auth/tokens", json=body)
    headers = {"x-auth-token": answer.headers["x-subject-token"]}
    places = ("services", "endpoints", "policies", "credentials", "OS-TRUST/trusts", "OS-OAUTH1/consumers", "limits")
    for place in (*places, "OS-FEDERATION/mappings", "OS-EP-FILTER/endpoint_groups", "domains/config/default"):
        assert (await client.get(f"{V3}/{place}", headers=headers)).status_code == 200, place
    for place, noun in (("services", "service"), ("policies", "policy"), ("OS-OAUTH1/consumers", "consumer")):
        assert (await client.post(f"{V3}/{place}", json={noun: {}}, headers=headers)).status_code == 403, place
