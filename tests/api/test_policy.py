"""The operator's own rules: set, obeyed at once on every node, explained, refused when they are wrong, taken back."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from noded.core.ids import NodeId
from noded.core.service import PeerContext
from noded.policy import SERVICE
from noded.policy.model import Policies
from noded.services import SERVICES
from tests.twins.cloud import Cloud, found_cloud, sign_in_body

V3 = "/identity/v3"


@pytest.fixture
async def cloud() -> Cloud:
    return await found_cloud()


@pytest.fixture
async def client(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client() as client:
        client.headers.update(await cloud.admin(client))
        yield client


async def own(client: httpx.AsyncClient, **rules: str) -> httpx.Response:
    return await client.patch("/noded/v1/policy", json={"policy": {k.replace("__", ":"): v for k, v in rules.items()}})


async def explained(client: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    answer = await client.post("/noded/v1/policy/explain", json={"explain": asked})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["reasons"])


async def test_a_rule_of_ones_own_opens_and_closes_a_route_on_every_node_at_once(cloud: Cloud) -> None:
    async with cloud.client() as client, cloud.client("node2") as other:
        admin, reader = await cloud.admin(client), await cloud.token_with(client, "reader")
        client.headers.update(admin)
        assert (await other.get(f"{V3}/users", headers=reader)).status_code == 403
        assert (await own(client, identity__users__list_users="role:reader")).status_code == 200
        assert (await other.get(f"{V3}/users", headers=reader)).status_code == 200
        assert (await own(client, identity__users__list_users="role:auditor")).status_code == 200
        refused = await other.get(f"{V3}/users", headers=reader)
        assert refused.status_code == 403
        assert "the rule of identity:users:list_users is `role:auditor`" in refused.text
        assert (await other.get(f"{V3}/users", headers=admin)).status_code == 403
        assert (await client.delete("/noded/v1/policy/identity:users:list_users")).status_code == 204
        assert (await other.get(f"{V3}/users", headers=admin)).status_code == 200


async def test_a_rule_may_ask_for_the_target_and_name_other_rules(cloud: Cloud, client: httpx.AsyncClient) -> None:
    reader = await cloud.token_with(client, "reader")
    users = {each["name"]: each["id"] for each in (await client.get(f"{V3}/users")).json()["users"]}
    set_ = await own(client, themselves="user_id:%(user_id)s", identity__users__list_user_projects="rule:themselves")
    assert set_.status_code == 200, set_.text
    mine, theirs = (f"{V3}/users/{users[name]}/projects" for name in ("only-reader", "admin"))
    assert [(await client.get(path, headers=reader)).status_code for path in (mine, theirs)] == [200, 403]
    # What a record says is looked up: only who is called so may be looked at.
    set_ = await own(client, identity__users__show_user="'admin':%(target.user.name)s or 'nobody':%(name)s")
    assert set_.status_code == 200, set_.text
    shown = [(await client.get(f"{V3}/users/{users[name]}")).status_code for name in ("admin", "only-reader")]
    assert shown == [200, 403]
    assert (await client.get(f"{V3}/users/gone")).status_code == 404
    refused = await client.delete("/noded/v1/policy/themselves")
    assert (refused.status_code, "change them first" in refused.text) == (400, True)


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"identity:users:list_users": "role:reader and"}, "ends where a check should follow"),
        ({"identity:users:list_users": "rule:nothing"}, "names rule:nothing, which there is not"),
        ({"identity:users:list_user": "role:reader"}, "There is no action identity:users:list_user"),
        ({"identity:users:show_user": "user_id:%(owner)s"}, "has no attribute %(owner)s; there are"),
        ({"identity:users:show_user": "'x':%(password_hash)s"}, "has no attribute %(password_hash)s"),
        ({"identity:tokens:issue_token": "role:reader"}, "asks nobody for a token"),
        ({"a": "rule:b", "b": "not rule:a"}, "in a circle"),
        ({"admin": "rule:identity_admin and rule:admin"}, "in a circle"),
        ({}, "length >= 1"),
    ],
)
async def test_a_wrong_rule_is_refused_with_why_and_none_of_its_kin_is_set(
    client: httpx.AsyncClient, rules: dict[str, str], why: str
) -> None:
    answer = await client.patch("/noded/v1/policy", json={"policy": {**rules, **({"fine": "@"} if rules else {})}})
    assert answer.status_code == 400
    assert why in answer.json()["error"]["what"]
    assert not any(each["own"] for each in (await client.get("/noded/v1/policy")).json()["rules"])


async def test_policy_is_listed_and_what_says_the_same_as_the_release_is_not_kept(client: httpx.AsyncClient) -> None:
    assert (await own(client, identity__users__list_users="role:reader", fine="@")).status_code == 200
    file = (await client.get("/noded/v1/policy.yaml")).text
    assert '"identity:users:list_users": "role:reader" # your own' in file
    rules = msgspec.yaml.decode(file, type=dict[str, str])
    rules["identity:users:list_users"] = "rule:domain_reader"
    listed = (await client.patch("/noded/v1/policy", json={"policy": rules})).json()
    assert [each["name"] for each in listed["rules"] if each["own"]] == ["fine"]
    assert [each["action"] for each in listed["actions"] if each["own"]] == []
    [shown] = [each for each in listed["actions"] if each["action"] == "identity:users:list_users"]
    assert (shown["rule"], shown["routes"]) == ("rule:domain_reader", ["GET /identity/v3/users"])


async def test_it_is_explained_why_somebody_may_not_and_what_would_let_them(
    cloud: Cloud, client: httpx.AsyncClient
) -> None:
    await cloud.token_with(client, "reader")
    found = await explained(client, user="only-reader", project="only-reader", action="identity:users:list_users")
    assert found["allowed"] is False
    assert found["roles"] == ["reader: given on project only-reader"]
    assert found["way_out"].endswith("openstack role add --user only-reader --project only-reader admin")
    steps = [(step["depth"], step["check"], step["holds"]) for step in found["steps"]]
    assert steps[:4] == [
        (0, "rule:domain_reader", False),
        (1, "one of:", False),
        (2, "role:admin", False),
        (2, "all of:", False),
    ]
    assert (4, "rule:of_the_system", False) in steps
    found = await explained(client, user="admin", project="admin", action="identity:users:list_users")
    assert (found["allowed"], found["is_own"], found["way_out"]) == (True, False, "")
    found = await explained(client, user="admin", project="only-reader", action="identity:users:list_users")
    assert "gets no token at all: they hold no role there" in found["why"]
    found = await explained(client, user="only-reader", system=True, action="identity:users:list_users")
    assert found["way_out"].endswith("--system all reader")
    found = await explained(client, user="only-reader", action="identity:tokens:issue_token")
    assert (found["allowed"], found["steps"]) == (True, [])
    wrong = {"user": "nobody", "action": "identity:users:list_users"}
    answer = await client.post("/noded/v1/policy/explain", json={"explain": wrong})
    assert (answer.status_code, "nobody" in answer.text) == (404, True)


async def test_the_verdict_that_is_explained_is_the_one_that_is_given(cloud: Cloud, client: httpx.AsyncClient) -> None:
    """For every action of identity that takes no id: what is explained is what the gateway does."""
    await cloud.token_with(client, "manager")
    token = await client.post(f"{V3}/auth/tokens", json=sign_in_body("only-manager", "only-manager", "only-manager"))
    headers = {"x-auth-token": token.headers["x-subject-token"]}
    policies = cloud.shared.drivers["node1"].get(Policies)
    wrong = []
    for action in policies.actions.values():
        for route in action.routes:
            if action.endpoint.name != "keystone" or action.default == "any_token" or action.variables:
                continue
            if route.verb != "GET":
                continue
            found = await explained(client, user="only-manager", project="only-manager", action=action.name)
            status = (await client.get(action.endpoint.prefix + route.path, headers=headers)).status_code
            if found["allowed"] is (status == 403):
                wrong.append((action.name, found["why"], status))
    assert wrong == []


async def test_root_on_a_node_mends_a_policy_that_lets_nobody_in(cloud: Cloud, client: httpx.AsyncClient) -> None:
    assert (await own(client, at_least_admin="!", noded__policy__set_policy="!")).status_code == 200
    assert (await own(client, at_least_admin="role:admin")).status_code == 403
    context = PeerContext(cluster=cloud.shared.cluster("node2"), drivers=cloud.shared.drivers[NodeId("node2")])
    names = msgspec.msgpack.encode(("at_least_admin", "noded:policy:set_policy"))
    await SERVICE.local_calls["policy.unset"](context, names)
    assert (await own(client, fine="@")).status_code == 200


async def test_a_rule_never_hands_an_unscoped_token_to_an_api_that_wants_a_project() -> None:
    cloud = await found_cloud(SERVICES)
    async with cloud.client() as client:
        admin = await cloud.admin(client)
        rule = {"policy": {"compute:flavors:list_flavors": "@"}}
        assert (await client.patch("/noded/v1/policy", json=rule, headers=admin)).status_code == 200
        signed_in = await client.post(f"{V3}/auth/tokens", json={"auth": {
            "identity": sign_in_body("admin", "correct horse", None)["auth"]["identity"], "scope": "unscoped",
        }})  # fmt: skip
        assert signed_in.status_code == 201, signed_in.text
        refused = await client.get(
            "/compute/v2.1/flavors", headers={"x-auth-token": signed_in.headers["x-subject-token"]}
        )
        assert (refused.status_code, "scoped to a project" in refused.text) == (403, True)
