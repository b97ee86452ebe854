"""Identity as its clients see it: every resource's life, and every way to get it wrong."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from noded.identity.sign_in_rules.model import SignInRules
from tests.twins.cloud import ADMIN_PASSWORD, BASE, Cloud, found_cloud, sign_in_body

V3 = "/identity/v3"
TOKENS = f"{V3}/auth/tokens"


@pytest.fixture
async def cloud() -> Cloud:
    return await found_cloud()


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client() as client:
        yield client


@pytest.fixture
async def admin(cloud: Cloud, client: httpx.AsyncClient) -> dict[str, str]:
    return await cloud.admin(client)


async def make(client: httpx.AsyncClient, admin: dict[str, str], noun: str, **attributes: Any) -> dict[str, Any]:
    answer = await client.post(f"{V3}/{noun}s", json={noun: attributes}, headers=admin)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()[noun]
    return made


async def role_id(client: httpx.AsyncClient, admin: dict[str, str], name: str) -> str:
    answer = await client.get(f"{V3}/roles", params={"name": name}, headers=admin)
    return str(answer.json()["roles"][0]["id"])


async def test_a_password_becomes_a_scoped_token(cloud: Cloud, client: httpx.AsyncClient) -> None:
    answer = await cloud.sign_in(client)
    token = answer.json()["token"]
    assert answer.status_code == 201
    assert answer.headers["vary"] == "X-Auth-Token"
    assert token["methods"] == ["password"]
    assert token["user"]["name"] == "admin"
    assert token["user"]["domain"] == {"id": "default", "name": "Default"}
    assert token["project"]["id"] == cloud.admin_project_id
    assert [role["name"] for role in token["roles"]] == ["admin", "manager", "member", "reader"]
    assert token["expires_at"] > token["issued_at"]
    assert token["issued_at"].endswith("Z")
    assert {place["url"] for each in token["catalog"] for place in each["endpoints"]} == {f"{BASE}{V3}"}


async def test_looking_at_a_token_gives_what_issuing_it_gave(cloud: Cloud, client: httpx.AsyncClient) -> None:
    issued = await cloud.sign_in(client)
    own = issued.headers["x-subject-token"]
    headers = {"x-auth-token": own, "x-subject-token": own}
    seen = await client.get(TOKENS, headers=headers)
    assert (seen.status_code, seen.json()) == (200, issued.json())
    head = await client.head(TOKENS, headers=headers)
    assert (head.status_code, head.content) == (200, b"")


async def test_the_catalogue_names_the_address_that_the_client_used(cloud: Cloud, client: httpx.AsyncClient) -> None:
    answer = await client.post(TOKENS, json=sign_in_body("admin", ADMIN_PASSWORD, "admin"), headers={"host": "nine:99"})
    entry = answer.json()["token"]["catalog"][0]
    assert entry["endpoints"][0]["url"] == f"https://nine:99{V3}"
    assert [place["interface"] for place in entry["endpoints"]] == ["public", "internal", "admin"]


async def test_every_node_knows_every_token(cloud: Cloud, client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    async with cloud.client("node3") as other:
        assert (await other.get(f"{V3}/auth/projects", headers=admin)).status_code == 200


async def test_a_user_without_a_default_project_gets_an_unscoped_token(
    cloud: Cloud, client: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    await make(client, admin, "user", name="ann", password="pw")
    token = (await cloud.sign_in(client, "ann", "pw", project=None)).json()["token"]
    assert {"project", "roles", "catalog"}.isdisjoint(token)


async def test_an_unscoped_token_becomes_a_scoped_one(cloud: Cloud, client: httpx.AsyncClient) -> None:
    body = sign_in_body("admin", ADMIN_PASSWORD, None)
    body["auth"]["scope"] = "unscoped"  # type: ignore[index]
    first = await client.post(TOKENS, json=body)
    assert "project" not in first.json()["token"]
    identity = {"methods": ["token"], "token": {"id": first.headers["x-subject-token"]}}
    scope = {"project": {"id": cloud.admin_project_id}}
    second = await client.post(TOKENS, json={"auth": {"identity": identity, "scope": scope}})
    token = second.json()["token"]
    assert second.status_code == 201
    assert token["methods"] == ["token", "password"]
    assert token["expires_at"] == first.json()["token"]["expires_at"]
    assert token["audit_ids"][1] == first.json()["token"]["audit_ids"][0]


@pytest.mark.parametrize("scope", [{"system": {"all": True}}, {"domain": {"id": "default"}}])
async def test_a_token_may_be_for_the_system_or_a_domain(client: httpx.AsyncClient, scope: dict[str, Any]) -> None:
    body = sign_in_body("admin", ADMIN_PASSWORD, None)
    body["auth"]["scope"] = scope  # type: ignore[index]
    answer = await client.post(TOKENS, json=body)
    assert answer.status_code == 201
    assert next(iter(scope)) in answer.json()["token"]
    headers = {"x-auth-token": answer.headers["x-subject-token"]}
    assert (await client.get(f"{V3}/users", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("name", "password", "project"),
    [("admin", "wrong", "admin"), ("nobody", "x", None), ("admin", ADMIN_PASSWORD, "nothing"), ("admin", "", "admin")],
)
async def test_a_wrong_sign_in_says_nothing_of_what_was_wrong(
    cloud: Cloud, client: httpx.AsyncClient, name: str, password: str, project: str | None
) -> None:
    answer = await cloud.sign_in(client, name, password, project)
    assert answer.status_code == 401
    assert answer.json() == {
        "error": {
            "code": 401,
            "message": "The request you have made requires authentication.",
            "title": "Unauthorized",
        }
    }


async def test_a_project_without_a_role_can_not_be_entered(
    cloud: Cloud, client: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    await make(client, admin, "user", name="ann", password="pw")
    assert (await cloud.sign_in(client, "ann", "pw", "admin")).status_code == 401


async def test_after_many_wrong_passwords_the_right_one_waits_on_every_node(
    cloud: Cloud, client: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    await make(client, admin, "user", name="ann", password="pw")
    for _ in range(SignInRules().lockout_failures):
        assert (await cloud.sign_in(client, "ann", "no", None)).status_code == 401
    async with cloud.client("node2") as other:
        assert (await cloud.sign_in(other, "ann", "pw", None)).status_code == 401
    assert (await cloud.sign_in(client)).status_code == 201, "others are not locked"


async def test_where_passwords_are_changed_they_can_be_guessed_no_more_often(
    cloud: Cloud, client: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    user = await make(client, admin, "user", name="ann", password="pw")
    for _ in range(SignInRules().lockout_failures):
        guess = {"user": {"original_password": "no", "password": "new"}}
        assert (await client.post(f"{V3}/users/{user['id']}/password", json=guess)).status_code == 401
    right = {"user": {"original_password": "pw", "password": "new"}}
    assert (await client.post(f"{V3}/users/{user['id']}/password", json=right)).status_code == 401
    assert (await cloud.sign_in(client, "ann", "pw", None)).status_code == 401


async def test_a_revoked_token_is_gone_everywhere(cloud: Cloud, client: httpx.AsyncClient) -> None:
    token = (await cloud.admin(client))["X-Auth-Token"]
    admin = await cloud.admin(client)
    revoked = await client.delete(TOKENS, headers={**admin, "x-subject-token": token})
    assert (revoked.status_code, revoked.content) == (204, b"")
    async with cloud.client("node2") as other:
        assert (await other.get(f"{V3}/auth/projects", headers={"x-auth-token": token})).status_code == 401
        assert (await other.get(TOKENS, headers={**admin, "x-subject-token": token})).status_code == 404


async def test_a_changed_password_ends_old_tokens_and_the_old_password(
    cloud: Cloud, client: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    user = await make(client, admin, "user", name="ann", password="pw")
    old = (await cloud.sign_in(client, "ann", "pw", None)).headers["x-subject-token"]
    path = f"{V3}/users/{user['id']}/password"
    wrong = await client.post(path, json={"user": {"original_password": "no", "password": "new"}})
    assert wrong.status_code == 401
    changed = await client.post(path, json={"user": {"original_password": "pw", "password": "new"}})
    assert (changed.status_code, changed.content) == (204, b"")
    assert (await cloud.sign_in(client, "ann", "pw", None)).status_code == 401
    assert (await cloud.sign_in(client, "ann", "new", None)).status_code == 201
    again = {"auth": {"identity": {"methods": ["token"], "token": {"id": old}}}}
    assert (await client.post(TOKENS, json=again)).status_code == 404


@pytest.mark.parametrize(
    ("noun", "extra"), [("project", {}), ("user", {"password": "pw"}), ("role", {}), ("domain", {})]
)
async def test_a_resource_lives_from_create_to_delete(
    client: httpx.AsyncClient, admin: dict[str, str], noun: str, extra: dict[str, str]
) -> None:
    made = await make(client, admin, noun, name="one", description="first", color="blue", **extra)
    path = f"{V3}/{noun}s/{made['id']}"
    assert made["links"]["self"] == BASE + path
    assert (made["description"], made["color"]) == ("first", "blue")
    assert "password" not in made
    assert "password_hash" not in str(made)
    assert (await client.get(path, headers=admin)).json() == {noun: made}
    listed = (await client.get(f"{V3}/{noun}s", params={"name": "one"}, headers=admin)).json()
    assert listed[f"{noun}s"] == [made]
    assert listed["links"]["next"] is None
    duplicate = await client.post(f"{V3}/{noun}s", json={noun: {"name": "one", **extra}}, headers=admin)
    assert (duplicate.status_code, duplicate.json()["error"]["title"]) == (409, "Conflict")
    changed = await client.patch(path, json={noun: {"name": "two", "color": None}}, headers=admin)
    assert changed.status_code == 200
    assert changed.json()[noun]["name"] == "two"
    assert "color" not in changed.json()[noun]
    assert changed.json()[noun]["description"] == "first", "what an update does not name stays"
    if noun == "domain":
        assert (await client.delete(path, headers=admin)).status_code == 403, "an enabled domain is not deleted"
        await client.patch(path, json={noun: {"enabled": False}}, headers=admin)
    assert (await client.delete(path, headers=admin)).status_code == 204
    assert (await client.get(path, headers=admin)).status_code == 404
    assert (await client.delete(path, headers=admin)).status_code == 404


async def test_a_domain_takes_what_is_in_it_along(client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    domain = await make(client, admin, "domain", name="other")
    project = await make(client, admin, "project", name="p", domain_id=domain["id"])
    user = await make(client, admin, "user", name="u", domain_id=domain["id"])
    await client.patch(f"{V3}/domains/{domain['id']}", json={"domain": {"enabled": False}}, headers=admin)
    assert (await client.delete(f"{V3}/domains/{domain['id']}", headers=admin)).status_code == 204
    for path in (f"projects/{project['id']}", f"users/{user['id']}"):
        assert (await client.get(f"{V3}/{path}", headers=admin)).status_code == 404


async def test_projects_nest_and_are_deleted_from_below(client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    above = await make(client, admin, "project", name="above")
    below = await make(client, admin, "project", name="below", parent_id=above["id"])
    assert (above["parent_id"], below["parent_id"]) == ("default", above["id"])
    assert (await client.delete(f"{V3}/projects/{above['id']}", headers=admin)).status_code == 403
    assert (await client.delete(f"{V3}/projects/{below['id']}", headers=admin)).status_code == 204
    assert (await client.delete(f"{V3}/projects/{above['id']}", headers=admin)).status_code == 204


@pytest.mark.parametrize("place", ["projects", "domains", "system"])
async def test_a_role_is_granted_seen_and_revoked(
    cloud: Cloud, client: httpx.AsyncClient, admin: dict[str, str], place: str
) -> None:
    user = await make(client, admin, "user", name="ann")
    targets = {"projects": f"projects/{cloud.admin_project_id}", "domains": "domains/default", "system": "system"}
    roles = f"{V3}/{targets[place]}/users/{user['id']}/roles"
    path = f"{roles}/{await role_id(client, admin, 'member')}"
    assert (await client.head(path, headers=admin)).status_code == 404
    for _ in range(2):
        assert (await client.put(path, headers=admin)).status_code == 204
    assert (await client.head(path, headers=admin)).status_code == 204
    assert (await client.get(path, headers=admin)).status_code == 204
    assert [role["name"] for role in (await client.get(roles, headers=admin)).json()["roles"]] == ["member"]
    query = {"user.id": user["id"], "include_names": "true"}
    plain = (await client.get(f"{V3}/role_assignments", params=query, headers=admin)).json()["role_assignments"]
    assert [entry["role"]["name"] for entry in plain] == ["member"]
    effective = await client.get(f"{V3}/role_assignments?effective", params=query, headers=admin)
    assert effective.status_code == 200
    assert (await client.delete(path, headers=admin)).status_code == 204
    assert (await client.delete(path, headers=admin)).status_code == 404


async def test_effective_assignments_show_implied_roles(client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    query = {"effective": "", "include_names": "", "scope.system": "all"}
    answer = await client.get(f"{V3}/role_assignments", params=query, headers=admin)
    names = [entry["role"]["name"] for entry in answer.json()["role_assignments"]]
    assert names == ["admin", "manager", "member", "reader"]


async def test_a_role_may_imply_another_but_not_in_a_circle(client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    one, two = [(await make(client, admin, "role", name=name))["id"] for name in ("one", "two")]
    path = f"{V3}/roles/{one}/implies/{two}"
    assert (await client.put(path, headers=admin)).status_code == 201
    assert (await client.put(f"{V3}/roles/{two}/implies/{one}", headers=admin)).status_code == 403
    assert (await client.head(path, headers=admin)).status_code == 204
    inferences = (await client.get(f"{V3}/role_inferences", headers=admin)).json()["role_inferences"]
    assert len(inferences) == 4
    assert (await client.delete(path, headers=admin)).status_code == 204
    assert (await client.get(path, headers=admin)).status_code == 404


async def test_a_user_sees_their_own_and_no_one_elses(
    cloud: Cloud, client: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    reader = await cloud.token_with(client, "reader")
    me = (await client.get(TOKENS, headers={**reader, "x-subject-token": reader["X-Auth-Token"]})).json()["token"]
    mine = (await client.get(f"{V3}/users/{me['user']['id']}/projects", headers=reader)).json()["projects"]
    assert [project["name"] for project in mine] == ["only-reader"]
    assert (await client.get(f"{V3}/projects", headers=reader)).status_code == 403
    assert (await client.get(f"{V3}/projects/{mine[0]['id']}", headers=reader)).status_code == 200
    assert (await client.get(f"{V3}/projects/{cloud.admin_project_id}", headers=reader)).status_code == 403
    others = (await client.get(f"{V3}/users", params={"name": "admin"}, headers=admin)).json()["users"][0]
    for path in (f"users/{others['id']}", f"users/{others['id']}/projects", "users", "roles"):
        assert (await client.get(f"{V3}/{path}", headers=reader)).status_code == 403
    foreign = {**reader, "x-subject-token": admin["X-Auth-Token"]}
    assert (await client.get(TOKENS, headers=foreign)).status_code == 403


async def test_what_the_catalogue_holds_can_be_listed(client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    services = (await client.get(f"{V3}/services", headers=admin)).json()["services"]
    endpoints = (await client.get(f"{V3}/endpoints", headers=admin)).json()["endpoints"]
    assert [service["type"] for service in services] == ["identity"]
    assert {endpoint["service_id"] for endpoint in endpoints} == {services[0]["id"]}
    for noun, entry in (("service", services[0]), ("endpoint", endpoints[0])):
        assert (await client.get(f"{V3}/{noun}s/{entry['id']}", headers=admin)).json() == {noun: entry}
        assert (await client.get(f"{V3}/{noun}s/nothing", headers=admin)).status_code == 404
    assert (await client.get(f"{V3}/regions/RegionOne", headers=admin)).json()["region"]["id"] == "RegionOne"


async def test_versions_are_told_to_strangers(client: httpx.AsyncClient) -> None:
    choices = await client.get("/identity/")
    version = await client.get("/identity/v3/")
    assert (choices.status_code, version.status_code) == (300, 200)
    assert choices.json()["versions"]["values"] == [version.json()["version"]]
    assert version.json()["version"]["links"] == [{"rel": "self", "href": f"{BASE}/identity/v3/"}]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/projects", {"project": {}}, "name"),
        ("/projects", {"project": {"name": "x" * 256}}, "name"),
        ("/projects", {"project": {"name": ""}}, "name"),
        ("/projects", {"project": {"name": "  "}}, "name"),
        ("/projects", {"project": {"name": 7}}, "name"),
        ("/projects", {"project": {"name": "x", "enabled": "maybe"}}, "enabled"),
        ("/projects", {"project": []}, "project"),
        ("/projects", {}, "project"),
        ("/users", {"user": {"name": "x" * 256}}, "name"),
        ("/users", {"user": {"name": "x", "password": 5}}, "password"),
        ("/roles", {"role": {"name": "x" * 256}}, "name"),
        ("/domains", {"domain": {"name": "x" * 256}}, "name"),
        ("/auth/tokens", {"auth": {}}, "identity"),
        ("/auth/tokens", {"auth": {"identity": {"methods": []}}}, "methods"),
        ("/auth/tokens", {"auth": {"identity": {"methods": ["password"]}}}, "password"),
        ("/auth/tokens", {"auth": {"identity": {"methods": ["token"], "token": {}}}}, "id"),
        ("/auth/tokens", {"auth": {"identity": {"methods": ["token"], "token": {"id": 1}}, "scope": 5}}, "auth"),
        ("/auth/tokens", [], "object"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_changes(
    cloud: Cloud, client: httpx.AsyncClient, admin: dict[str, str], path: str, body: object, field: str
) -> None:
    before = cloud.shared.machine.digest()
    answer = await client.post(V3 + path, json=body, headers=admin)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["title"]) == (400, 400, "Bad Request")
    assert field in error["message"]
    assert cloud.shared.machine.digest() == before


async def test_an_unknown_method_of_signing_in_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(TOKENS, json={"auth": {"identity": {"methods": ["smile"]}}})
    assert answer.status_code == 401


async def test_too_many_additional_attributes_are_refused(client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    answer = await client.post(f"{V3}/projects", json={"project": {"name": "x", "more": "y" * 20_000}}, headers=admin)
    assert answer.status_code == 400
