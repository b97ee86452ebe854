"""Users, projects, roles and application credentials as an administrator's browser keeps them."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from consensus import history
from noded import dashboard
from noded.dashboard import people
from noded.dashboard.links import LocalApi
from noded.gateway.local import InProcessApi
from tests.twins.cloud import ADMIN_PASSWORD, IDENTITY_SERVICES, Cloud, found_cloud

PAGES = ("/users", "/projects", "/roles", "/application-credentials")


@pytest.fixture
async def cloud() -> Cloud:
    cloud = await found_cloud((*IDENTITY_SERVICES, dashboard.SERVICE, history.SERVICE))
    for node, drivers in cloud.shared.drivers.items():
        drivers.add(LocalApi, InProcessApi(cloud.gateways[node]))
    return cloud


@pytest.fixture
async def browser(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client() as browser:
        await enter(browser)
        yield browser


async def enter(browser: httpx.AsyncClient, user: str = "admin", password: str = ADMIN_PASSWORD, **more: str) -> None:
    answer = await browser.post("/sign-in", data={"user": user, "password": password} | more)
    assert answer.status_code == 303, answer.text


async def sent(browser: httpx.AsyncClient, path: str, **form: str) -> str:
    """Where a form led."""
    answer = await browser.post(path, data=form)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def refused(browser: httpx.AsyncClient, path: str, **form: str) -> str:
    """The page that shows a form again."""
    answer = await browser.post(path, data=form)
    assert (answer.status_code, 'role="alert"' in answer.text) == (200, True), answer.text
    return answer.text


async def test_a_project_and_its_user_are_made_changed_and_deleted_by_forms(
    cloud: Cloud, browser: httpx.AsyncClient
) -> None:
    where = await sent(browser, "/projects", name="lab", description="tries", domain_id="default")
    project = where.split("?")[0].removeprefix("/projects/")
    form = {"name": "ann", "email": "ann@example.org", "domain_id": "default", "project_id": project}
    where = await sent(browser, "/users", **form, password="secret-1", again="secret-1")
    user = where.split("?")[0].removeprefix("/users/")
    assert "ann@example.org" in (await browser.get(f"/users/{user}")).text
    assert "ann" in (await browser.get(f"/projects/{project}")).text
    async with cloud.client() as hers:
        await enter(hers, "ann", "secret-1", project="lab")
        assert (await hers.get("/users")).status_code == 403
        assert ">Users<" not in (await hers.get("/application-credentials")).text
    await sent(browser, f"/users/{user}", name="anna", email="", enabled="yes", password="secret-2")
    assert 'value="anna"' in (await browser.get(f"/users/{user}")).text
    async with cloud.client() as hers:
        await enter(hers, "anna", "secret-2", project="lab")
    await sent(browser, f"/projects/{project}", name="labs", description="", enabled="no")
    assert 'data-project="labs"' in (await browser.get("/projects")).text
    assert "deleted" in await sent(browser, f"/users/{user}/delete")
    assert "deleted" in await sent(browser, f"/projects/{project}/delete")
    assert (await browser.get(f"/users/{user}")).status_code == 404


async def test_roles_are_given_and_taken_back_on_a_users_page(browser: httpx.AsyncClient) -> None:
    assert "is%20made" in await sent(browser, "/roles", name="watcher", description="looks")
    role = re.findall(r'action="/roles/([0-9a-f]+)/delete"', (await browser.get("/roles")).text)[0]
    project = (await sent(browser, "/projects", name="lab")).split("?")[0].removeprefix("/projects/")
    user = (await sent(browser, "/users", name="bob")).split("?")[0].removeprefix("/users/")
    assert "None of their own." in (await browser.get(f"/users/{user}")).text
    assert "Changed" in await sent(browser, f"/users/{user}/grant", role_id=role, project_id=project)
    assert "project lab" in (await browser.get(f"/users/{user}")).text
    place = {"kind": "project", "target_id": project, "role_id": role}
    assert "Changed" in await sent(browser, f"/users/{user}/revoke", **place)
    assert "None of their own." in (await browser.get(f"/users/{user}")).text
    assert "Changed" not in await sent(browser, f"/users/{user}/revoke", **place)
    assert "Choose" in await sent(browser, f"/users/{user}/grant", role_id="", project_id=project)
    assert "deleted" in await sent(browser, f"/roles/{role}/delete")
    assert (await browser.post(f"/users/{user}/dance")).status_code == 404


async def test_the_secret_of_an_application_credential_is_shown_once(cloud: Cloud, browser: httpx.AsyncClient) -> None:
    form = {"name": "robot", "description": "nightly", "expires_at": "2037-01-02T03:04", "role:reader": "yes"}
    answer = await browser.post("/application-credentials", data=form)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    found = {name: re.search(f'id="made-{name}">([^<]+)<', answer.text) for name in ("id", "secret")}
    assert found["id"] is not None
    assert found["secret"] is not None
    id, secret = found["id"][1], found["secret"][1]
    page = (await browser.get("/application-credentials")).text
    assert (secret in page, "2037-01-02T03:04:00.000000" in page, "<td>reader</td>" in page) == (False, True, True)
    method = {"application_credential": {"id": id, "secret": secret}}
    auth = {"auth": {"identity": {"methods": ["application_credential"], **method}}}
    async with cloud.client() as robot:
        assert (await robot.post("/identity/v3/auth/tokens", json=auth)).status_code == 201
        assert "deleted" in await sent(browser, f"/application-credentials/{id}/delete")
        assert (await robot.post("/identity/v3/auth/tokens", json=auth)).status_code == 401


async def test_bad_input_is_shown_in_place_with_what_was_typed(browser: httpx.AsyncClient) -> None:
    page = await refused(browser, "/users", name="ann", email="a@b.c", password="one", again="two")
    assert ("not the same" in page, 'value="ann"' in page, 'value="a@b.c"' in page) == (True, True, True)
    assert "one" not in re.findall(r'type="password"[^>]*value="([^"]*)"', page)
    await sent(browser, "/users", name="ann")
    assert "two users with the same name" in await refused(browser, "/users", name="ann", domain_id="default")
    assert 'value="admin"' in await refused(browser, "/projects", name="admin", domain_id="default")
    await refused(browser, "/roles", name="reader")
    await refused(browser, "/roles")
    page = await refused(browser, "/application-credentials", name="r", expires_at="2001-01-01T00:00")
    assert 'value="2001-01-01T00:00"' in page
    user = re.findall(r'href="/users/([0-9a-f]+)"', (await browser.get("/users")).text)[0]
    assert 'name="email"' in await refused(browser, f"/users/{user}")
    assert (
        await browser.post("/users", data={"name": "x"}, headers={"origin": "https://evil.test"})
    ).status_code == 403


async def test_who_did_it_when_and_from_where_is_told_of_each(browser: httpx.AsyncClient) -> None:
    user = (await sent(browser, "/users", name="ann")).split("?")[0].removeprefix("/users/")
    assert f"/history?object={user}" in (await browser.get(f"/users/{user}")).text
    timeline = (await browser.get("/history", params={"object": user})).text
    assert all(word in timeline for word in ("created the user ann", "10.77.0.9", "<td>admin</td>"))
    assert "created the user ann" in (await browser.get("/history", params={"user": "admin"})).text


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_is_shown_whole_and_in_part(browser: httpx.AsyncClient, path: str) -> None:
    page, part = await browser.get(path), await browser.get(path, params={"part": ""})
    assert (page.status_code, part.status_code) == (200, 200), page.text
    assert ("</html>" in page.text, "<html" in part.text) == (True, False)


def test_a_role_is_taken_back_where_it_is() -> None:
    line = {"target_id": "t", "role_id": "r/1"}
    paths = [people.grant_path("u", {**line, "kind": kind}) for kind in ("project", "domain", "system")]
    assert paths == ["/projects/t/users/u/roles/r%2F1", "/domains/t/users/u/roles/r%2F1", "/system/users/u/roles/r%2F1"]
    below = people.grant_path("u", {**line, "kind": "domain", "inherited": "yes"})
    assert below == "/OS-INHERIT/domains/t/users/u/roles/r%2F1/inherited_to_projects"
