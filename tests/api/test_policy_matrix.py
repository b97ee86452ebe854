"""Every route of every API, called by every kind of caller: who may and who may not follows from the route's `allow`.

What only the handler can decide (whether it is one's own, or of one's domain) is in the tests of the resources. Nothing
is there by the names that are called, so who may is told 400 or 404; or 500, where a handler asks for a machine.
"""

import re
from typing import Any

import httpx
import pytest
import trio

from noded.core.route import Allow
from noded.core.service import FaultStyle
from noded.gateway.router import Target
from noded.services import SERVICES
from tests.twins.cloud import ADMIN_PASSWORD, Cloud, found_cloud, sign_in_body

V3 = "/identity/v3"
PROJECT, DOMAIN, SYSTEM = "project", "domain", "system"
# Each caller: the role, and where it is held. `other admin` is the admin of a project that is not the cloud's own.
CALLERS = {
    "reader": ("reader", PROJECT),
    "member": ("member", PROJECT),
    "manager": ("manager", PROJECT),
    "other admin": ("admin", PROJECT),
    "domain reader": ("reader", DOMAIN),
    "domain manager": ("manager", DOMAIN),
    "domain admin": ("admin", DOMAIN),
    "system reader": ("reader", SYSTEM),
    "system admin": ("admin", SYSTEM),
}
LADDER = ("reader", "member", "manager", "other admin")
ROLES = (Allow.READER, Allow.MEMBER, Allow.MANAGER, Allow.ADMIN)
# In Keystone: who may, and who may within their domain.
KEYSTONE = {
    Allow.ADMIN: ({"other admin", "system admin"}, set[str]()),
    Allow.OVERSEER: ({"other admin", "system reader", "system admin"}, set[str]()),
    Allow.DOMAIN_READER: (
        {"other admin", "domain admin", "system reader", "system admin"},
        {"domain reader", "domain manager"},
    ),
    Allow.DOMAIN_MANAGER: ({"other admin", "domain admin", "system admin"}, {"domain manager"}),
}


@pytest.fixture
async def cloud() -> Cloud:
    return await found_cloud(SERVICES)


async def tokens(cloud: Cloud, client: httpx.AsyncClient) -> tuple[dict[str, dict[str, str]], str]:
    """The headers of each kind of caller; of nobody, too. And the project of those who have one."""
    admin = await cloud.admin(client)

    async def ask(verb: str, path: str, body: object = None) -> Any:
        answer = await client.request(verb, V3 + path, json=body, headers=admin)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    roles = {role["name"]: role["id"] for role in (await ask("GET", "/roles"))["roles"]}
    domain = (await ask("POST", "/domains", {"domain": {"name": "d"}}))["domain"]["id"]
    project = (await ask("POST", "/projects", {"project": {"name": "p"}}))["project"]["id"]
    places = {PROJECT: f"/projects/{project}", DOMAIN: f"/domains/{domain}", SYSTEM: "/system"}
    scopes: dict[str, Any] = {PROJECT: {"id": project}, DOMAIN: {"id": domain}, SYSTEM: {"all": True}}
    found: dict[str, dict[str, str]] = {"nobody": {}}
    for name, (role, place) in CALLERS.items():
        user = (await ask("POST", "/users", {"user": {"name": name, "password": ADMIN_PASSWORD}}))["user"]["id"]
        await ask("PUT", f"{places[place]}/users/{user}/roles/{roles[role]}")
        body: Any = sign_in_body(name, ADMIN_PASSWORD, None)
        body["auth"]["scope"] = {place: scopes[place]}
        answer = await client.post(f"{V3}/auth/tokens", json=body)
        assert answer.status_code == 201, (name, answer.text)
        found[name] = {"x-auth-token": answer.headers["x-subject-token"]}
    return found, project


async def something_there(cloud: Cloud, client: httpx.AsyncClient) -> dict[str, str]:
    """Ids of what is looked for before it is asked who may."""
    admin = await cloud.admin(client)
    role = (await client.get(f"{V3}/roles", headers=admin)).json()["roles"][0]["id"]
    group = (await client.post(f"{V3}/groups", json={"group": {"name": "g"}}, headers=admin)).json()["group"]["id"]
    return {"role_id": role, "domain_id": "default", "group_id": group}


def expected(target: Target) -> tuple[set[str], set[str]]:
    """Who may, and of whom the handler decides; nobody else may."""
    allow = target.route.allow
    if allow is Allow.ANY_TOKEN:
        return set(), set(CALLERS)
    if target.endpoint.fault_style is FaultStyle.KEYSTONE and allow in KEYSTONE:
        return KEYSTONE[allow]
    least = ROLES.index(allow)
    return set(LADDER[least:]), set()


async def status_of(client: httpx.AsyncClient, path: str, target: Target, headers: dict[str, str]) -> int | None:
    """The status of the answer; None: the handler runs, and streams."""
    with trio.move_on_after(2):
        return (await client.request(target.route.verb, path, headers=headers)).status_code
    return None


async def test_every_route_lets_in_whom_it_says_and_nobody_else(cloud: Cloud) -> None:
    wrong = []
    async with cloud.client() as client:
        headers, project = await tokens(cloud, client)
        # Of these there are only some that anyone may name.
        names = {"group": "identity", "option": "driver", "owner": project}
        there = names | await something_there(cloud, client)
        for target in cloud.gateways["node1"].router.targets:
            if target.route.allow is Allow.ANYONE or target.endpoint.fault_style is FaultStyle.HTML:
                continue
            may, depends = expected(target)
            paths = [
                re.sub(r"\{([^}]+)\}", lambda name, known=known: known.get(name[1], "x"), target.full_path)
                for known in (names, there)
            ]
            for name in headers:
                # Where it is looked first whether there is such a thing, who may not is refused what is there.
                is_sought = target.route.sought is not None and name not in may | depends
                status = await status_of(client, paths[is_sought], target, headers[name])
                is_wrong = status == 401 if name in depends else (status in {401, 403}) is (name in may)
                if name == "nobody":
                    is_wrong = status != 401
                if is_wrong:
                    wrong.append((target.route.verb, target.full_path, target.route.allow.value, name, status))
    assert not wrong, "\n".join(map(str, wrong))
