"""Projects above and below one another, domains as projects, and tags, as clients see them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.api.test_identity_groups import V3, Admin
from tests.twins.cloud import Cloud, found_cloud


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


async def change(admin: Admin, path: str, status: int, **attributes: Any) -> Any:
    noun = path.split("/")[1][:-1]
    answer = await admin.client.patch(V3 + path, json={noun: attributes}, headers=admin.headers)
    assert answer.status_code == status, answer.text
    return answer.json()


async def line(admin: Admin, length: int) -> list[dict[str, Any]]:
    """Projects, each below the one before."""
    projects = [await admin.make("project", name="p0")]
    for number in range(1, length):
        projects.append(await admin.make("project", name=f"p{number}", parent_id=projects[-1]["id"]))
    return projects


async def test_what_is_above_and_below_is_told_as_ids_and_as_a_list(cloud: Cloud, admin: Admin) -> None:
    top, middle, low = [each["id"] for each in await line(admin, 3)]
    told = (await admin.ask("GET", f"/projects/{middle}", 200, parents_as_ids="", subtree_as_ids=""))["project"]
    assert (told["parents"], told["subtree"]) == ({top: {"default": None}}, {low: None})
    assert (await admin.ask("GET", f"/projects/{low}", 200, subtree_as_ids=""))["project"]["subtree"] is None
    listed = {"parents_as_list": "", "subtree_as_list": ""}
    assert (await admin.ask("GET", f"/projects/{middle}", 200, **listed))["project"]["parents"] == []
    me = (await admin.ask("GET", "/users", 200, name="admin"))["users"][0]["id"]
    role = await admin.role("reader")
    for project in (top, low):
        await admin.ask("PUT", f"/projects/{project}/users/{me}/roles/{role}", 204)
    told = (await admin.ask("GET", f"/projects/{middle}", 200, **listed))["project"]
    assert [each["project"]["id"] for each in told["parents"] + told["subtree"]] == [top, low]
    await admin.ask("GET", f"/projects/{middle}", 400, parents_as_ids="", parents_as_list="")


async def test_projects_nest_five_deep(admin: Admin) -> None:
    lowest = (await line(admin, 5))[-1]
    body = {"project": {"name": "deeper", "parent_id": lowest["id"]}}
    assert (await admin.client.post(f"{V3}/projects", json=body, headers=admin.headers)).status_code == 403


async def test_a_project_is_enabled_only_below_enabled_ones(admin: Admin) -> None:
    top, low = await line(admin, 2)
    await change(admin, f"/projects/{top['id']}", 403, enabled=False)
    await change(admin, f"/projects/{low['id']}", 200, enabled=False)
    await change(admin, f"/projects/{top['id']}", 200, enabled=False)
    await change(admin, f"/projects/{low['id']}", 403, enabled=True)
    body = {"project": {"name": "new", "parent_id": top["id"]}}
    assert (await admin.client.post(f"{V3}/projects", json=body, headers=admin.headers)).status_code == 400
    await change(admin, f"/projects/{top['id']}", 200, enabled=True)
    await change(admin, f"/projects/{low['id']}", 200, enabled=True)


async def test_a_domain_is_a_project_too(admin: Admin) -> None:
    made = await admin.make("project", name="root", is_domain=True, tags=["a"])
    assert (made["is_domain"], made["domain_id"], made["parent_id"], made["tags"]) == (True, None, None, ["a"])
    assert (await admin.ask("GET", f"/domains/{made['id']}", 200))["domain"]["name"] == "root"
    assert await admin.ask("GET", f"/projects/{made['id']}", 200) == {"project": made}
    roots = (await admin.ask("GET", "/projects", 200, is_domain="true"))["projects"]
    assert {each["id"] for each in roots} == {made["id"], "default"}
    assert made["id"] not in {each["id"] for each in (await admin.ask("GET", "/projects", 200))["projects"]}
    await admin.ask("PUT", f"/projects/{made['id']}/tags/b", 201)
    assert (await admin.ask("GET", f"/domains/{made['id']}", 200))["domain"]["tags"] == ["a", "b"]
    await admin.ask("DELETE", f"/projects/{made['id']}", 403)
    await change(admin, f"/projects/{made['id']}", 200, enabled=False)
    await admin.ask("DELETE", f"/projects/{made['id']}", 204)
    await admin.ask("GET", f"/domains/{made['id']}", 404)


async def test_tags_come_and_go_one_by_one_and_all_together(cloud: Cloud, admin: Admin) -> None:
    project = await admin.make("project", name="p")
    tags = f"/projects/{project['id']}/tags"
    await admin.ask("HEAD", f"{tags}/a", 404)
    await admin.ask("PUT", f"{tags}/a", 201)
    await admin.ask("PUT", f"{tags}/a", 201)
    await admin.ask("HEAD", f"{tags}/a", 204)
    await admin.ask("PUT", f"{tags}/{'x' * 256}", 400)
    put = await admin.client.put(V3 + tags, json={"tags": ["b", "c"]}, headers=admin.headers)
    assert (put.status_code, put.json()["tags"]) == (200, ["b", "c"])
    for wrong in (["b", "b"], ["b,c"], ["b/c"], [""], [1], [str(number) for number in range(81)]):
        answer = await admin.client.put(V3 + tags, json={"tags": wrong}, headers=admin.headers)
        assert answer.status_code == 400, wrong
    async with cloud.client("node2") as other:
        assert (await other.get(V3 + tags, headers=admin.headers)).json()["tags"] == ["b", "c"]
    await admin.ask("DELETE", f"{tags}/a", 404)
    await admin.ask("DELETE", f"{tags}/b", 204)
    await admin.ask("DELETE", tags, 204)
    assert (await admin.ask("GET", tags, 200))["tags"] == []


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"tags": "a,b"}, {"two"}),
        ({"tags-any": "a,b"}, {"one", "two"}),
        ({"not-tags": "a,b"}, {"one", "none", "admin"}),
        ({"not-tags-any": "a,b"}, {"none", "admin"}),
    ],
)
async def test_projects_are_found_by_their_tags(admin: Admin, query: dict[str, str], names: set[str]) -> None:
    for name, tags in (("one", ["a"]), ("two", ["a", "b"]), ("none", [])):
        await admin.make("project", name=name, tags=tags)
    assert {each["name"] for each in (await admin.ask("GET", "/projects", 200, **query))["projects"]} == names


async def test_a_deleted_project_is_nobodys_default(admin: Admin) -> None:
    project = await admin.make("project", name="p")
    user = await admin.make("user", name="ann", default_project_id=project["id"])
    await admin.ask("DELETE", f"/projects/{project['id']}", 204)
    assert "default_project_id" not in (await admin.ask("GET", f"/users/{user['id']}", 200))["user"]
