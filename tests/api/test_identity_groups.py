"""Who holds what through a group, from a project above, or on the system: seen in tokens and in assignments."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.twins.cloud import Cloud, found_cloud, sign_in_body

V3 = "/identity/v3"


@pytest.fixture
async def cloud() -> Cloud:
    return await found_cloud()


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client() as client:
        yield client


class Admin:
    """The administrator's hands."""

    def __init__(self, client: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self.client = client
        self.headers = headers

    async def make(self, noun: str, **attributes: Any) -> dict[str, Any]:
        answer = await self.client.post(f"{V3}/{noun}s", json={noun: attributes}, headers=self.headers)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()[noun]
        return made

    async def ask(self, verb: str, path: str, status: int, **query: str) -> Any:
        answer = await self.client.request(verb, V3 + path, headers=self.headers, params=query)
        assert answer.status_code == status, (path, answer.text)
        return answer.json() if answer.content else None

    async def role(self, name: str) -> str:
        return str((await self.ask("GET", "/roles", 200, name=name))["roles"][0]["id"])

    async def assignments(self, **query: str) -> list[dict[str, Any]]:
        named = {key.replace("_", ".") if key.endswith("_id") else key: value for key, value in query.items()}
        found: list[dict[str, Any]] = (await self.ask("GET", "/role_assignments", 200, **named))["role_assignments"]
        return found


@pytest.fixture
async def admin(cloud: Cloud, client: httpx.AsyncClient) -> Admin:
    return Admin(client, await cloud.admin(client))


async def roles_in(cloud: Cloud, node: str, project_id: str) -> list[str] | int:
    """What ann's token for a project brings, or the status of the refusal."""
    body: Any = sign_in_body("ann", "pw", None)
    body["auth"]["scope"] = {"project": {"id": project_id}}
    async with cloud.client(node) as other:
        answer = await other.post(f"{V3}/auth/tokens", json=body)
    return [role["name"] for role in answer.json()["token"]["roles"]] if answer.is_success else answer.status_code


async def test_a_group_lives_from_create_to_delete(admin: Admin) -> None:
    made = await admin.make("group", name="ops", description="first", color="blue")
    assert (made["domain_id"], made["description"], made["color"]) == ("default", "first", "blue")
    assert await admin.ask("GET", f"/groups/{made['id']}", 200) == {"group": made}
    assert (await admin.ask("GET", "/groups", 200, name="ops"))["groups"] == [made]
    assert (await admin.ask("GET", "/groups", 200, name="nobody"))["groups"] == []
    again = await admin.client.post(f"{V3}/groups", json={"group": {"name": "ops"}}, headers=admin.headers)
    assert again.status_code == 409
    moved = {"group": {"domain_id": "elsewhere"}}
    path = f"{V3}/groups/{made['id']}"
    assert (await admin.client.patch(path, json=moved, headers=admin.headers)).status_code == 403
    renamed = await admin.client.patch(path, json={"group": {"name": "dev"}}, headers=admin.headers)
    assert (renamed.json()["group"]["name"], renamed.json()["group"]["description"]) == ("dev", "first")
    await admin.ask("DELETE", f"/groups/{made['id']}", 204)
    await admin.ask("GET", f"/groups/{made['id']}", 404)


async def test_who_is_in_a_group_can_be_seen_from_both_sides(admin: Admin) -> None:
    group, ann = await admin.make("group", name="ops"), await admin.make("user", name="ann")
    member = f"/groups/{group['id']}/users/{ann['id']}"
    await admin.ask("HEAD", member, 404)
    await admin.ask("PUT", member, 204)
    await admin.ask("PUT", member, 204)
    await admin.ask("HEAD", member, 204)
    assert (await admin.ask("GET", f"/groups/{group['id']}/users", 200))["users"] == [ann]
    groups = (await admin.ask("GET", f"/users/{ann['id']}/groups", 200))["groups"]
    assert groups == [{**group, "membership_expires_at": None}]
    await admin.ask("DELETE", member, 204)
    await admin.ask("DELETE", member, 404)
    await admin.ask("PUT", f"/groups/{group['id']}/users/nobody", 404)
    await admin.ask("PUT", f"/groups/nothing/users/{ann['id']}", 404)


async def test_a_deleted_user_or_group_leaves_no_membership(cloud: Cloud, admin: Admin) -> None:
    group, ann, bob = [await admin.make(noun, name="x" + noun) for noun in ("group", "user")] + [
        await admin.make("user", name="bob")
    ]
    for user in (ann, bob):
        await admin.ask("PUT", f"/groups/{group['id']}/users/{user['id']}", 204)
    await admin.ask("DELETE", f"/users/{ann['id']}", 204)
    assert [user["id"] for user in (await admin.ask("GET", f"/groups/{group['id']}/users", 200))["users"]] == [
        bob["id"]
    ]
    await admin.ask("DELETE", f"/groups/{group['id']}", 204)
    assert (await admin.ask("GET", f"/users/{bob['id']}/groups", 200))["groups"] == []


async def test_a_groups_role_is_in_its_members_tokens_on_every_node_until_they_leave(
    cloud: Cloud, admin: Admin
) -> None:
    group, project = await admin.make("group", name="ops"), await admin.make("project", name="p")
    ann = await admin.make("user", name="ann", password="pw")
    grant = f"/projects/{project['id']}/groups/{group['id']}/roles/{await admin.role('member')}"
    await admin.ask("PUT", grant, 204)
    await admin.ask("HEAD", grant, 204)
    assert await roles_in(cloud, "node2", project["id"]) == 401
    await admin.ask("PUT", f"/groups/{group['id']}/users/{ann['id']}", 204)
    assert await roles_in(cloud, "node2", project["id"]) == ["member", "reader"]
    mine = (await admin.ask("GET", f"/users/{ann['id']}/projects", 200))["projects"]
    assert [each["id"] for each in mine] == [project["id"]]
    await admin.ask("DELETE", f"/groups/{group['id']}/users/{ann['id']}", 204)
    assert await roles_in(cloud, "node3", project["id"]) == 401


@pytest.mark.parametrize("actor", ["users", "groups"])
@pytest.mark.parametrize("place", ["projects", "domains"])
async def test_an_inherited_role_holds_below_and_not_at_the_place_itself(
    cloud: Cloud, admin: Admin, actor: str, place: str
) -> None:
    domain = await admin.make("domain", name="d")
    above = await admin.make("project", name="above", domain_id=domain["id"])
    below = await admin.make("project", name="below", domain_id=domain["id"], parent_id=above["id"])
    ann, group = await admin.make("user", name="ann", password="pw"), await admin.make("group", name="ops")
    await admin.ask("PUT", f"/groups/{group['id']}/users/{ann['id']}", 204)
    who = {"users": ann["id"], "groups": group["id"]}[actor]
    where = {"projects": above["id"], "domains": domain["id"]}[place]
    roles = f"/OS-INHERIT/{place}/{where}/{actor}/{who}/roles"
    grant = f"{roles}/{await admin.role('reader')}/inherited_to_projects"
    await admin.ask("HEAD", grant, 404)
    await admin.ask("PUT", grant, 204)
    await admin.ask("HEAD", grant, 204)
    await admin.ask("GET", f"/{place}/{where}/{actor}/{who}/roles", 200)
    assert [role["name"] for role in (await admin.ask("GET", f"{roles}/inherited_to_projects", 200))["roles"]] == [
        "reader"
    ]
    assert (await admin.ask("GET", f"/{place}/{where}/{actor}/{who}/roles", 200))["roles"] == []
    assert await roles_in(cloud, "node2", below["id"]) == ["reader"]
    assert await roles_in(cloud, "node2", above["id"]) == (["reader"] if place == "domains" else 401)
    plain = await admin.assignments(role_id=await admin.role("reader"))
    assert [each["scope"]["OS-INHERIT:inherited_to"] for each in plain] == ["projects"]
    come = await admin.assignments(user_id=ann["id"], scope_project_id=below["id"], effective="")
    assert [(each["user"]["id"], each["scope"]) for each in come] == [(ann["id"], {"project": {"id": below["id"]}})]
    await admin.ask("DELETE", grant, 204)
    assert await roles_in(cloud, "node3", below["id"]) == 401


@pytest.mark.parametrize("actor", ["users", "groups"])
async def test_a_role_on_the_system_makes_a_token_of_the_system(cloud: Cloud, admin: Admin, actor: str) -> None:
    ann, group = await admin.make("user", name="ann", password="pw"), await admin.make("group", name="ops")
    await admin.ask("PUT", f"/groups/{group['id']}/users/{ann['id']}", 204)
    who = {"users": ann["id"], "groups": group["id"]}[actor]
    body: Any = sign_in_body("ann", "pw", None)
    body["auth"]["scope"] = {"system": {"all": True}}
    assert (await admin.client.post(f"{V3}/auth/tokens", json=body)).status_code == 401
    await admin.ask("PUT", f"/system/{actor}/{who}/roles/{await admin.role('reader')}", 204)
    answer = await admin.client.post(f"{V3}/auth/tokens", json=body)
    assert answer.json()["token"]["system"] == {"all": True}
    own = {"x-auth-token": answer.headers["x-subject-token"]}
    assert (await admin.client.get(f"{V3}/auth/system", headers=own)).json()["system"] == [{"all": True}]


async def test_a_role_of_a_domain_counts_by_what_it_implies_and_only_there(cloud: Cloud, admin: Admin) -> None:
    domain, ann = await admin.make("domain", name="d"), await admin.make("user", name="ann", password="pw")
    inside = await admin.make("project", name="in", domain_id=domain["id"])
    outside = await admin.make("project", name="out")
    role = await admin.make("role", name="crew", domain_id=domain["id"])
    await admin.ask("PUT", f"/roles/{role['id']}/implies/{await admin.role('reader')}", 201)
    await admin.ask("PUT", f"/projects/{outside['id']}/users/{ann['id']}/roles/{role['id']}", 403)
    await admin.ask("PUT", f"/projects/{inside['id']}/users/{ann['id']}/roles/{role['id']}", 204)
    assert await roles_in(cloud, "node2", inside["id"]) == ["reader"]


async def test_effective_assignments_name_the_members_of_a_group(admin: Admin) -> None:
    group, ann = await admin.make("group", name="ops"), await admin.make("user", name="ann")
    project = await admin.make("project", name="p")
    await admin.ask("PUT", f"/groups/{group['id']}/users/{ann['id']}", 204)
    await admin.ask("PUT", f"/projects/{project['id']}/groups/{group['id']}/roles/{await admin.role('member')}", 204)
    plain = await admin.assignments(group_id=group["id"], include_names="")
    assert await admin.ask("GET", "/role_assignments", 200, **{"group.id": group["id"]})
    assert [each["group"]["id"] for each in plain] == [group["id"]]
    come = await admin.assignments(scope_project_id=project["id"], effective="true")
    assert [each["user"]["id"] for each in come] == [ann["id"]] * 2
    assert {each["links"]["membership"].endswith(f"/groups/{group['id']}/users/{ann['id']}") for each in come} == {True}


@pytest.mark.parametrize(
    "query",
    [
        {"user.id": "a", "group.id": "b"},
        {"scope.project.id": "a", "scope.domain.id": "b"},
        {"effective": "", "group.id": "b"},
        {"include_subtree": ""},
        {"scope.OS-INHERIT:inherited_to": "all"},
    ],
)
async def test_a_question_about_assignments_without_sense_is_refused(admin: Admin, query: dict[str, str]) -> None:
    await admin.ask("GET", "/role_assignments", 400, **query)


async def test_a_list_is_filtered_and_cut_into_pages(admin: Admin) -> None:
    for name in ("alpha", "beta", "Alphabet"):
        await admin.make("group", name=name)

    async def names(**query: str) -> set[str]:
        return {group["name"] for group in (await admin.ask("GET", "/groups", 200, **query))["groups"]}

    assert await names(name__contains="pha") == {"alpha", "Alphabet"}
    assert await names(name__startswith="alp") == {"alpha"}
    assert await names(name__iendswith="BET") == {"Alphabet"}
    first = await admin.ask("GET", "/groups", 200, limit="2")
    assert len(first["groups"]) == 2
    answer = await admin.client.get(first["links"]["next"], headers=admin.headers)
    assert {group["name"] for group in [*first["groups"], *answer.json()["groups"]]} == {"alpha", "beta", "Alphabet"}
    assert answer.json()["links"]["next"] is None
    for wrong in ({"limit": "none"}, {"limit": "0"}, {"marker": "nothing"}):
        await admin.ask("GET", "/groups", 400, **wrong)
