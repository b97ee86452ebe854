"""Credentials, limits and domain configuration as their clients see them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from noded.identity.credentials.model import Credential
from noded.identity.domain_config.model import DomainConfig
from noded.identity.limits.model import Limit, RegisteredLimit
from tests.twins.cloud import Cloud, found_cloud

V3 = "/identity/v3"


@pytest.fixture
async def cloud() -> Cloud:
    return await found_cloud()


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client() as client:
        client.headers.update(await cloud.admin(client))
        yield client


@pytest.fixture
async def member(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client("node2") as client:
        client.headers.update(await cloud.token_with(client, "member"))
        yield client


async def me(client: httpx.AsyncClient) -> dict[str, Any]:
    headers = {"x-subject-token": client.headers["x-auth-token"]}
    token: dict[str, Any] = (await client.get(f"{V3}/auth/tokens", headers=headers)).json()["token"]
    return token


async def make(client: httpx.AsyncClient, noun: str, **attributes: Any) -> dict[str, Any]:
    answer = await client.post(f"{V3}/{noun}s", json={noun: attributes})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()[noun]
    return made


async def test_a_credential_is_its_users_and_no_one_elses(client: httpx.AsyncClient, member: httpx.AsyncClient) -> None:
    own = await me(member)
    blob = json.dumps({"access": "a", "secret": "s"})
    wanted = {"user_id": own["user"]["id"], "project_id": own["project"]["id"], "type": "ec2", "blob": blob}
    made = await make(member, "credential", **wanted)
    assert {name: made[name] for name in wanted} == wanted
    assert (await member.get(f"{V3}/credentials/{made['id']}")).json()["credential"] == made
    others = await make(client, "credential", user_id=(await me(client))["user"]["id"], type="cert", blob="x")
    assert [each["id"] for each in (await member.get(f"{V3}/credentials")).json()["credentials"]] == [made["id"]]
    assert (await client.get(f"{V3}/credentials", params={"type": "cert"})).json()["credentials"] == [others]
    for verb in ("GET", "DELETE"):
        assert (await member.request(verb, f"{V3}/credentials/{others['id']}")).status_code == 403
        assert (await member.request(verb, f"{V3}/credentials/nothing")).status_code == 403
        assert (await client.request(verb, f"{V3}/credentials/nothing")).status_code == 404
    patch = {"credential": {"blob": "y", "type": "totp"}}
    assert (await member.patch(f"{V3}/credentials/{others['id']}", json=patch)).status_code == 403
    assert (await client.patch(f"{V3}/credentials/{others['id']}", json=patch)).json()["credential"]["blob"] == "y"
    assert (await member.post(f"{V3}/credentials", json={"credential": wanted})).status_code == 409


@pytest.mark.parametrize(
    "wrong",
    [{"blob": "no json"}, {"blob": "{}"}, {"blob": "[]"}, {"project_id": None}, {"type": 7}, {"blob": {"access": "a"}}],
)
async def test_a_wrong_ec2_credential_is_refused(
    cloud: Cloud, client: httpx.AsyncClient, wrong: dict[str, Any]
) -> None:
    own = await me(client)
    body = {"user_id": own["user"]["id"], "project_id": own["project"]["id"], "type": "ec2", "blob": '{"access":"a"}'}
    assert (await client.post(f"{V3}/credentials", json={"credential": {**body, **wrong}})).status_code == 400
    assert cloud.shared.cluster().view().count(Credential) == 0


async def test_what_a_credential_was_made_through_can_not_be_changed(client: httpx.AsyncClient) -> None:
    own = await me(client)
    body = {"user_id": own["user"]["id"], "project_id": own["project"]["id"], "type": "ec2", "blob": '{"access":"a"}'}
    made = await make(client, "credential", **body)
    change = {"credential": {"blob": '{"access":"a","trust_id":"t"}'}}
    assert (await client.patch(f"{V3}/credentials/{made['id']}", json=change)).status_code == 400


async def test_ec2_pairs_are_made_shown_and_gone(client: httpx.AsyncClient, member: httpx.AsyncClient) -> None:
    own = await me(member)
    place = f"{V3}/users/{own['user']['id']}/credentials/OS-EC2"
    made = (await member.post(place, json={"tenant_id": own["project"]["id"]})).json()["credential"]
    assert made["access"] != made["secret"]
    assert (made["user_id"], made["tenant_id"], made["trust_id"]) == (own["user"]["id"], own["project"]["id"], None)
    assert (await member.get(f"{place}/{made['access']}")).json()["credential"] == made
    assert (await member.get(place)).json()["credentials"] == [made]
    other = f"{V3}/users/{(await me(client))['user']['id']}/credentials/OS-EC2"
    assert (await member.get(other)).status_code == 403
    assert (await member.post(place, json={"tenant_id": "nothing"})).status_code == 404
    assert (await member.delete(f"{place}/{made['access']}")).status_code == 204
    assert (await member.get(f"{place}/{made['access']}")).status_code == 404


async def service_id(client: httpx.AsyncClient) -> str:
    return str((await client.get(f"{V3}/services", params={"type": "identity"})).json()["services"][0]["id"])


async def registered(client: httpx.AsyncClient, service: str, **more: Any) -> httpx.Response:
    form = {"service_id": service, "resource_name": "cores", "default_limit": 10, **more}
    return await client.post(f"{V3}/registered_limits", json={"registered_limits": [form]})


async def test_a_limit_stands_in_place_of_a_registered_one(
    client: httpx.AsyncClient, member: httpx.AsyncClient
) -> None:
    service = await service_id(client)
    project_id = (await me(member))["project"]["id"]
    limit = {"service_id": service, "resource_name": "cores", "resource_limit": 5, "project_id": project_id}
    early = await client.post(f"{V3}/limits", json={"limits": [limit]})
    assert early.status_code == 403
    (whole,) = (await registered(client, service, description="all")).json()["registered_limits"]
    assert (await registered(client, service)).status_code == 409
    answer = await client.post(f"{V3}/limits", json={"limits": [limit]})
    assert answer.status_code == 201, answer.text
    (own,) = answer.json()["limits"]
    assert (own["domain_id"], own["region_id"], own["description"]) == (None, None, None)
    assert (await client.post(f"{V3}/limits", json={"limits": [limit]})).status_code == 409
    assert (await member.get(f"{V3}/limits")).json()["limits"] == [own]
    assert (await member.get(f"{V3}/registered_limits/{whole['id']}")).status_code == 200
    assert (await member.get(f"{V3}/limits/model")).json()["model"]["name"] == "flat"
    assert (await client.delete(f"{V3}/registered_limits/{whole['id']}")).status_code == 403
    more = {"registered_limit": {"default_limit": 20}}
    changed = await client.patch(f"{V3}/registered_limits/{whole['id']}", json=more)
    assert changed.json()["registered_limit"]["default_limit"] == 20
    renamed = {"registered_limit": {"resource_name": "ram"}}
    assert (await client.patch(f"{V3}/registered_limits/{whole['id']}", json=renamed)).status_code == 403
    less = await client.patch(f"{V3}/limits/{own['id']}", json={"limit": {"resource_limit": 3}})
    assert less.json()["limit"]["resource_limit"] == 3
    assert (await client.delete(f"{V3}/limits/{own['id']}")).status_code == 204
    assert (await client.delete(f"{V3}/registered_limits/{whole['id']}")).status_code == 204


@pytest.mark.parametrize(
    "wrong", [{"service_id": "no"}, {"region_id": "no"}, {"default_limit": -2}, {"default_limit": "x"}, {"color": 1}]
)
async def test_a_wrong_registered_limit_is_refused(
    cloud: Cloud, client: httpx.AsyncClient, wrong: dict[str, Any]
) -> None:
    service = await service_id(client)
    form = {"service_id": service, "resource_name": "cores", "default_limit": 10}
    body = {"registered_limits": [form, {**form, **wrong}]}
    assert (await client.post(f"{V3}/registered_limits", json=body)).status_code == 400
    assert cloud.shared.cluster().view().count(RegisteredLimit) == 0


async def test_another_projects_limit_is_not_told(client: httpx.AsyncClient, member: httpx.AsyncClient) -> None:
    service = await service_id(client)
    await registered(client, service)
    limit = {"service_id": service, "resource_name": "cores", "resource_limit": 5, "domain_id": "default"}
    (own,) = (await client.post(f"{V3}/limits", json={"limits": [limit]})).json()["limits"]
    assert (await member.get(f"{V3}/limits")).json()["limits"] == []
    assert (await member.get(f"{V3}/limits/{own['id']}")).status_code == 403
    both = {**limit, "project_id": (await me(member))["project"]["id"]}
    assert (await client.post(f"{V3}/limits", json={"limits": [both]})).status_code == 400


CONFIG = {"identity": {"driver": "ldap"}, "ldap": {"url": "ldap://x", "user_tree_dn": "ou=Users"}}


async def test_a_domains_options_are_kept_whole_by_group_and_by_option(client: httpx.AsyncClient) -> None:
    domain = await make(client, "domain", name="north")
    place = f"{V3}/domains/{domain['id']}/config"
    assert (await client.get(place)).status_code == 404
    secret = {**CONFIG, "ldap": {**CONFIG["ldap"], "password": "hush"}}
    first = await client.put(place, json={"config": secret})
    assert (first.status_code, first.json()) == (201, {"config": CONFIG})
    assert (await client.put(place, json={"config": secret})).status_code == 200
    assert (await client.get(f"{place}/ldap")).json() == {"config": {"ldap": CONFIG["ldap"]}}
    assert (await client.get(f"{place}/ldap/url")).json() == {"config": {"url": "ldap://x"}}
    assert (await client.get(f"{place}/ldap/password")).status_code == 404
    changed = await client.patch(f"{place}/ldap/url", json={"config": {"url": "ldap://y"}})
    assert changed.json()["config"]["ldap"] == {"url": "ldap://y", "user_tree_dn": "ou=Users"}
    group = {"config": {"identity": {"driver": "sql", "list_limit": 7}}}
    assert (await client.patch(f"{place}/identity", json=group)).json()["config"]["identity"]["list_limit"] == 7
    assert (await client.patch(f"{place}/ldap", json=group)).status_code == 403
    assert (await client.patch(f"{place}/ldap/suffix", json={"config": {"suffix": "x"}})).status_code == 404
    assert (await client.delete(f"{place}/identity/driver")).status_code == 204
    assert (await client.get(f"{place}/identity/driver")).status_code == 404
    assert (await client.delete(f"{place}/identity")).status_code == 204
    assert (await client.get(f"{place}/identity")).status_code == 404
    assert (await client.delete(place)).status_code == 204
    assert (await client.get(place)).status_code == 404


@pytest.mark.parametrize(
    "config", [{}, {"ldap": {}}, {"ldap": 7}, {"secrets": {"a": 1}}, {"ldap": {"no_such_option": 1}}]
)
async def test_a_wrong_domain_configuration_is_refused(
    cloud: Cloud, client: httpx.AsyncClient, config: dict[str, Any]
) -> None:
    assert (await client.put(f"{V3}/domains/default/config", json={"config": config})).status_code == 403
    assert cloud.shared.cluster().view().count(DomainConfig) == 0


async def test_the_defaults_of_domains_can_be_read(client: httpx.AsyncClient, member: httpx.AsyncClient) -> None:
    whole = (await client.get(f"{V3}/domains/config/default")).json()["config"]
    assert {"identity", "ldap"} == set(whole)
    assert (await client.get(f"{V3}/domains/config/identity/default")).json()["config"] == {
        "identity": whole["identity"]
    }
    option = (await client.get(f"{V3}/domains/config/ldap/url/default")).json()["config"]
    assert option == {"url": whole["ldap"]["url"]}
    assert (await member.get(f"{V3}/domains/config/default")).status_code == 403
    rules = f"{V3}/domains/default/config/security_compliance"
    assert (await member.get(rules)).status_code == 200
    assert (await member.get(f"{rules}/password_regex")).json()["config"] == {"password_regex": None}


async def test_all_of_it_goes_with_its_user_project_and_domain(cloud: Cloud, client: httpx.AsyncClient) -> None:
    domain = await make(client, "domain", name="north")
    project = await make(client, "project", name="p", domain_id=domain["id"])
    user = await make(client, "user", name="u", domain_id=domain["id"])
    await make(client, "credential", user_id=user["id"], type="cert", blob="x")
    await client.post(f"{V3}/users/{user['id']}/credentials/OS-EC2", json={"tenant_id": project["id"]})
    await client.put(f"{V3}/domains/{domain['id']}/config", json={"config": CONFIG})
    service = await service_id(client)
    await registered(client, service)
    for place in ({"project_id": project["id"]}, {"domain_id": domain["id"]}):
        limit = {"service_id": service, "resource_name": "cores", "resource_limit": 5, **place}
        assert (await client.post(f"{V3}/limits", json={"limits": [limit]})).status_code == 201
    view = cloud.shared.cluster().view()
    assert [view.count(kind) for kind in (Credential, Limit, DomainConfig)] == [2, 2, 1]
    await client.patch(f"{V3}/domains/{domain['id']}", json={"domain": {"enabled": False}})
    assert (await client.delete(f"{V3}/domains/{domain['id']}")).status_code == 204
    view = cloud.shared.cluster().view()
    assert [view.count(kind) for kind in (Credential, Limit, DomainConfig)] == [0, 0, 0]
