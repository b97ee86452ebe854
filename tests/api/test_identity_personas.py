"""What readers and managers of a domain, and readers of the system, may see and change of identity."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.api.test_identity_groups import V3, Admin
from tests.twins.cloud import Cloud, found_cloud, sign_in_body


@pytest.fixture
async def cloud() -> Cloud:
    return await found_cloud()


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client() as client:
        yield client


@pytest.fixture
async def admin(cloud: Cloud, client: httpx.AsyncClient) -> Admin:
    return Admin(client, await cloud.admin(client))


async def persona(admin: Admin, role: str, scope: dict[str, Any]) -> Admin:
    """Hands that hold a role on a domain or on the system."""
    user = await admin.make("user", name="persona", password="pw")
    place = f"/domains/{scope['domain']['id']}" if "domain" in scope else "/system"
    await admin.ask("PUT", f"{place}/users/{user['id']}/roles/{await admin.role(role)}", 204)
    body: Any = sign_in_body("persona", "pw", None)
    body["auth"]["scope"] = scope
    answer = await admin.client.post(f"{V3}/auth/tokens", json=body)
    return Admin(admin.client, {"x-auth-token": answer.headers["x-subject-token"]})


async def post(hands: Admin, noun: str, status: int, **attributes: Any) -> Any:
    answer = await hands.client.post(f"{V3}/{noun}s", json={noun: attributes}, headers=hands.headers)
    assert answer.status_code == status, answer.text
    return answer.json().get(noun)


async def inside_and_outside(admin: Admin, noun: str) -> tuple[str, list[dict[str, Any]]]:
    domain = (await admin.make("domain", name="d"))["id"]
    return domain, [
        await admin.make(noun, name="inside", domain_id=domain),
        await admin.make(noun, name="outside", domain_id="default"),
    ]


@pytest.mark.parametrize("noun", ["user", "group", "project"])
async def test_a_domains_manager_manages_what_is_in_it_and_sees_nothing_else(admin: Admin, noun: str) -> None:
    domain, (inside, outside) = await inside_and_outside(admin, noun)
    manager = await persona(admin, "manager", {"domain": {"id": domain}})
    made = await post(manager, noun, 201, name="new", domain_id=domain)
    await post(manager, noun, 403, name="other", domain_id="default")
    listed = (await manager.ask("GET", f"/{noun}s", 200))[f"{noun}s"]
    assert {each["id"] for each in listed} == {inside["id"], made["id"]}
    for id, status in ((inside["id"], 200), (outside["id"], 403), ("nothing", 403)):
        await manager.ask("GET", f"/{noun}s/{id}", status)
        answer = await manager.client.patch(
            f"{V3}/{noun}s/{id}", json={noun: {"description": "x"}}, headers=manager.headers
        )
        assert answer.status_code == status
    await manager.ask("DELETE", f"/{noun}s/{outside['id']}", 403)
    await manager.ask("DELETE", f"/{noun}s/{inside['id']}", 204)


@pytest.mark.parametrize("noun", ["user", "group", "project"])
async def test_a_domains_reader_sees_what_is_in_it_and_changes_nothing(admin: Admin, noun: str) -> None:
    domain, (inside, outside) = await inside_and_outside(admin, noun)
    reader = await persona(admin, "reader", {"domain": {"id": domain}})
    assert [each["id"] for each in (await reader.ask("GET", f"/{noun}s", 200))[f"{noun}s"]] == [inside["id"]]
    await reader.ask("GET", f"/{noun}s/{inside['id']}", 200)
    await reader.ask("GET", f"/{noun}s/{outside['id']}", 403)
    await post(reader, noun, 403, name="new", domain_id=domain)
    await reader.ask("DELETE", f"/{noun}s/{inside['id']}", 403)


@pytest.mark.parametrize("noun", ["user", "group", "project", "domain", "role"])
async def test_the_systems_reader_sees_everything_and_changes_nothing(admin: Admin, noun: str) -> None:
    made = await admin.make(noun, name="made")
    reader = await persona(admin, "reader", {"system": {"all": True}})
    assert made["id"] in {each["id"] for each in (await reader.ask("GET", f"/{noun}s", 200))[f"{noun}s"]}
    await reader.ask("GET", f"/{noun}s/{made['id']}", 200)
    await reader.ask("GET", f"/{noun}s/nothing", 404)
    await post(reader, noun, 403, name="new")
    await reader.ask("DELETE", f"/{noun}s/{made['id']}", 403)
    assert (await reader.ask("GET", "/role_assignments", 200))["role_assignments"]


async def test_a_domains_manager_grants_small_roles_within_the_domain(admin: Admin) -> None:
    domain, (inside, outside) = await inside_and_outside(admin, "user")
    project = await admin.make("project", name="p", domain_id=domain)
    manager = await persona(admin, "manager", {"domain": {"id": domain}})
    member, great = await admin.role("member"), await admin.role("admin")
    for place in (f"/projects/{project['id']}", f"/domains/{domain}"):
        await manager.ask("PUT", f"{place}/users/{inside['id']}/roles/{member}", 204)
        await manager.ask("HEAD", f"{place}/users/{inside['id']}/roles/{member}", 204)
        await manager.ask("PUT", f"{place}/users/{inside['id']}/roles/{great}", 403)
        await manager.ask("PUT", f"{place}/users/{outside['id']}/roles/{member}", 403)
        await manager.ask("DELETE", f"{place}/users/{inside['id']}/roles/{member}", 204)
    await manager.ask("PUT", f"/domains/default/users/{inside['id']}/roles/{member}", 403)
    await manager.ask("PUT", f"/system/users/{inside['id']}/roles/{member}", 403)
    seen = (await manager.ask("GET", "/role_assignments", 200))["role_assignments"]
    assert {each["scope"]["domain"]["id"] for each in seen} == {domain}
    roles = {role["id"] for role in (await manager.ask("GET", "/roles", 200))["roles"]}
    assert {member, great} <= roles


async def test_a_domains_admin_changes_no_role_and_no_domain(admin: Admin) -> None:
    domain = (await admin.make("domain", name="d"))["id"]
    great = await persona(admin, "admin", {"domain": {"id": domain}})
    await post(great, "role", 403, name="new")
    await post(great, "domain", 403, name="new")
    await post(great, "project", 403, name="new", is_domain=True)
    await great.ask("DELETE", f"/projects/{domain}", 403)


async def test_a_systems_reader_may_look_at_a_token_and_not_end_it(cloud: Cloud, admin: Admin) -> None:
    reader = await persona(admin, "reader", {"system": {"all": True}})
    other = {**reader.headers, "x-subject-token": (await cloud.admin(admin.client))["X-Auth-Token"]}
    assert (await admin.client.get(f"{V3}/auth/tokens", headers=other)).status_code == 200
    assert (await admin.client.delete(f"{V3}/auth/tokens", headers=other)).status_code == 403
