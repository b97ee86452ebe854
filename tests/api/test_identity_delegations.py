"""Application credentials, access rules, trusts, EC2 and OAuth tokens: what is handed on, and what it opens."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, quote

import httpx
import pytest

from noded.core.clock import now_ms
from noded.identity.delegations import AccessToken, ApplicationCredential, StoredRule, Trust
from noded.identity.moments import naive
from noded.identity.oauth1.model import RequestToken
from tests.twins.cloud import BASE, Cloud, found_cloud

V3 = "/identity/v3"
TOKENS = f"{V3}/auth/tokens"


@pytest.fixture
async def cloud() -> Cloud:
    return await found_cloud()


@pytest.fixture
async def admin(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
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
    token: dict[str, Any] = (await client.get(TOKENS, headers=headers)).json()["token"]
    return token


async def app_credential(client: httpx.AsyncClient, **attributes: Any) -> dict[str, Any]:
    place = f"{V3}/users/{(await me(client))['user']['id']}/application_credentials"
    answer = await client.post(place, json={"application_credential": {"name": "robot", **attributes}})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["application_credential"]
    return made


async def sign_in(client: httpx.AsyncClient, method: str, proof: Any, **auth: Any) -> httpx.Response:
    identity = {"methods": [method], method: proof}
    headers = {"x-auth-token": ""}
    return await client.post(TOKENS, json={"auth": {"identity": identity, **auth}}, headers=headers)


async def as_robot(client: httpx.AsyncClient, made: dict[str, Any]) -> dict[str, str]:
    answer = await sign_in(client, "application_credential", {"id": made["id"], "secret": made["secret"]})
    assert answer.status_code == 201, answer.text
    return {"x-auth-token": answer.headers["x-subject-token"]}


async def test_a_program_signs_in_by_id_or_by_name_and_opens_one_project(
    admin: httpx.AsyncClient, member: httpx.AsyncClient
) -> None:
    own = await me(member)
    made = await app_credential(member, description="for the robot")
    assert [role["name"] for role in made["roles"]] == ["member", "reader"]
    by_name = {"name": "robot", "secret": made["secret"], "user": {"id": own["user"]["id"]}}
    for proof in ({"id": made["id"], "secret": made["secret"]}, by_name):
        token = (await sign_in(member, "application_credential", proof)).json()["token"]
        assert (token["methods"], token["project"]["id"]) == (["application_credential"], own["project"]["id"])
        assert token["application_credential"] == {"id": made["id"], "name": "robot", "restricted": True}
    for wrong in ({"id": made["id"], "secret": "no"}, {"id": "no", "secret": "no"}, {**by_name, "name": "no"}):
        assert (await sign_in(member, "application_credential", wrong)).status_code == 401
    scope = {"project": {"id": own["project"]["id"]}}
    scoped = await sign_in(member, "application_credential", by_name, scope=scope)
    assert scoped.status_code == 401
    shown = f"{V3}/users/{own['user']['id']}/application_credentials/{made['id']}"
    body = (await member.get(shown)).json()["application_credential"]
    assert body == {name: value for name, value in made.items() if name != "secret"}
    assert (await admin.get(shown)).status_code == 200
    assert (await member.get(shown.replace(own["user"]["id"], (await me(admin))["user"]["id"]))).status_code == 403


async def test_a_programs_token_ends_with_it_its_time_and_its_roles(
    cloud: Cloud, admin: httpx.AsyncClient, member: httpx.AsyncClient
) -> None:
    own = await me(member)
    soon = naive((now_ms() + 3_600_000) * 1000 + 123)
    short = await app_credential(member, name="short", expires_at=soon)
    assert short["expires_at"] == soon
    token = (await sign_in(member, "application_credential", {"id": short["id"], "secret": short["secret"]})).json()
    assert token["token"]["expires_at"][:19] == soon[:19]
    made = await app_credential(member)
    robot = await as_robot(member, made)
    assert (await member.get(f"{V3}/auth/projects", headers=robot)).status_code == 200
    place = f"{V3}/projects/{own['project']['id']}/users/{own['user']['id']}/roles"
    (role,) = (await admin.get(place)).json()["roles"]
    assert (await admin.delete(f"{place}/{role['id']}")).status_code == 204
    assert (await member.get(f"{V3}/auth/projects", headers=robot)).status_code == 401
    assert (await admin.put(f"{place}/{role['id']}")).status_code == 204
    again = await app_credential(member, name="again")
    robot = await as_robot(member, again)
    one = f"{V3}/users/{own['user']['id']}/application_credentials/{again['id']}"
    assert (await member.delete(one)).status_code == 204
    assert (await member.get(f"{V3}/auth/projects", headers=robot)).status_code == 401


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"roles": [{"name": "admin"}]}, 400),
        ({"roles": [{"name": "no"}]}, 404),
        ({"roles": [{}]}, 400),
        ({"name": ""}, 400),
        ({"expires_at": "bad.123Z"}, 400),
        ({"expires_at": "2001-01-01T00:00:00"}, 400),
        ({"access_rules": [{"path": "/x"}]}, 400),
        ({"access_rules": [{"path": "x", "method": "GET", "service": "compute"}]}, 400),
        ({"access_rules": [{"id": "no"}]}, 404),
    ],
)
async def test_a_wrong_application_credential_is_refused(
    cloud: Cloud, member: httpx.AsyncClient, wrong: dict[str, Any], status: int
) -> None:
    place = f"{V3}/users/{(await me(member))['user']['id']}/application_credentials"
    answer = await member.post(place, json={"application_credential": {"name": "robot", **wrong}})
    assert answer.status_code == status, answer.text
    assert cloud.shared.cluster().view().count(ApplicationCredential) == 0


async def test_a_restricted_program_makes_no_others(member: httpx.AsyncClient) -> None:
    place = f"{V3}/users/{(await me(member))['user']['id']}/application_credentials"
    body = {"application_credential": {"name": "child"}}
    robot = await as_robot(member, await app_credential(member))
    assert (await member.post(place, json=body, headers=robot)).status_code == 403
    assert (await member.get(place, headers=robot)).status_code == 200
    rescoped = {"auth": {"identity": {"methods": ["token"], "token": {"id": robot["x-auth-token"]}}}}
    assert (await member.post(TOKENS, json=rescoped)).status_code == 403
    free = await as_robot(member, await app_credential(member, name="free", unrestricted=True))
    assert (await member.post(place, json=body, headers=free)).status_code == 201
    assert (await member.post(place, json=body, headers=free)).status_code == 409


RULES = [
    {"path": "/v3/users/*/access_rules", "method": "GET", "service": "identity"},
    {"path": "/v3/regions/**", "method": "GET", "service": "identity"},
    {"path": "/v3/auth/{what}", "method": "GET", "service": "image"},
]


async def test_access_rules_are_held_to_on_every_node(cloud: Cloud, member: httpx.AsyncClient) -> None:
    user_id = (await me(member))["user"]["id"]
    made = await app_credential(member, access_rules=RULES)
    assert [{**rule, "id": None} for rule in made["access_rules"]] == [{**rule, "id": None} for rule in RULES]
    robot = await as_robot(member, made)
    for node in ("node1", "node3"):
        async with cloud.client(node) as client:
            assert (await client.get(f"{V3}/users/{user_id}/access_rules", headers=robot)).status_code == 200
            assert (await client.get(f"{V3}/regions/RegionOne", headers=robot)).status_code == 200
            assert (await client.get(f"{V3}/regions", headers=robot)).status_code == 401
            assert (await client.get(f"{V3}/auth/projects", headers=robot)).status_code == 401
            own = {**robot, "x-subject-token": robot["x-auth-token"]}
            assert (await client.get(TOKENS, headers=own)).status_code == 200
            assert (await client.delete(TOKENS, headers=own)).status_code == 401


async def test_access_rules_are_their_users_and_outlive_what_uses_them(
    cloud: Cloud, admin: httpx.AsyncClient, member: httpx.AsyncClient
) -> None:
    user_id = (await me(member))["user"]["id"]
    place = f"{V3}/users/{user_id}/access_rules"
    first = await app_credential(member, access_rules=RULES[:1])
    await app_credential(member, name="second", access_rules=[*RULES[1:2], {"id": first["access_rules"][0]["id"]}])
    await app_credential(member, name="third", access_rules=RULES[1:2])
    rules = (await member.get(place)).json()["access_rules"]
    assert sorted(rule["path"] for rule in rules) == sorted(rule["path"] for rule in RULES[:2])
    one = f"{place}/{rules[0]['id']}"
    assert (await member.get(one)).json()["access_rule"] == rules[0]
    assert (await member.delete(one)).status_code == 403
    for credential in cloud.shared.cluster().view().all(ApplicationCredential):
        await member.delete(f"{V3}/users/{user_id}/application_credentials/{credential.id}")
    assert (await member.delete(one)).status_code == 204
    assert (await member.get(one)).status_code == 404
    assert (await member.get(place.replace(user_id, (await me(admin))["user"]["id"]))).status_code == 403
    assert (await admin.delete(f"{V3}/users/{user_id}")).status_code == 204
    assert cloud.shared.cluster().view().count(StoredRule) == 0


@pytest.fixture
async def trustee(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client("node3") as client:
        client.headers.update(await cloud.token_with(client, "reader"))
        yield client


async def trust(
    trustor: httpx.AsyncClient, trustee: httpx.AsyncClient, headers: dict[str, str] | None = None, **more: Any
) -> httpx.Response:
    own = await me(trustor)
    body = {
        "trustor_user_id": own["user"]["id"],
        "trustee_user_id": (await me(trustee))["user"]["id"],
        "project_id": own["project"]["id"],
        "impersonation": True,
        "roles": [{"name": "member"}],
        **more,
    }
    return await trustor.post(f"{V3}/OS-TRUST/trusts", json={"trust": body}, headers=headers)


async def use(trustee: httpx.AsyncClient, trust_id: str, name: str = "only-reader") -> httpx.Response:
    user = {"name": name, "password": name, "domain": {"id": "default"}}
    return await sign_in(trustee, "password", {"user": user}, scope={"OS-TRUST:trust": {"id": trust_id}})


async def test_a_trustee_acts_as_the_trustor_with_the_roles_given(
    member: httpx.AsyncClient, trustee: httpx.AsyncClient
) -> None:
    answer = await trust(member, trustee)
    assert answer.status_code == 201, answer.text
    made = answer.json()["trust"]
    own = await me(member)
    assert (made["expires_at"], made["remaining_uses"], made["redelegation_count"]) == (None, None, 0)
    assert [role["name"] for role in made["roles"]] == ["member"]
    acted = await use(trustee, made["id"])
    token = acted.json()["token"]
    assert (token["user"]["id"], token["project"]["id"]) == (own["user"]["id"], own["project"]["id"])
    assert [role["name"] for role in token["roles"]] == ["member", "reader"]
    assert token["OS-TRUST:trust"]["trustee_user"]["id"] == (await me(trustee))["user"]["id"]
    headers = {"x-auth-token": acted.headers["x-subject-token"]}
    assert (await trustee.get(f"{V3}/users/{own['user']['id']}", headers=headers)).status_code == 200
    place = f"{V3}/users/{own['user']['id']}/application_credentials"
    refused = await trustee.post(place, json={"application_credential": {"name": "x"}}, headers=headers)
    assert refused.status_code == 403
    assert (await trust(member, trustee, headers)).status_code == 403
    assert (await member.delete(f"{V3}/OS-TRUST/trusts/{made['id']}")).status_code == 204
    assert (await trustee.get(f"{V3}/auth/projects", headers=headers)).status_code == 401
    assert (await use(trustee, made["id"])).status_code == 401


async def test_without_impersonation_the_trustee_stays_who_they_are(
    member: httpx.AsyncClient, trustee: httpx.AsyncClient
) -> None:
    made = (await trust(member, trustee, impersonation=False)).json()["trust"]
    token = (await use(trustee, made["id"])).json()["token"]
    assert token["user"]["id"] == (await me(trustee))["user"]["id"]
    assert token["project"]["id"] == (await me(member))["project"]["id"]


async def test_a_trust_is_seen_by_its_two_sides(
    admin: httpx.AsyncClient, member: httpx.AsyncClient, trustee: httpx.AsyncClient, cloud: Cloud
) -> None:
    made = (await trust(member, trustee)).json()["trust"]
    one = f"{V3}/OS-TRUST/trusts/{made['id']}"
    assert (await trustee.get(one)).json()["trust"] == made
    role_id = made["roles"][0]["id"]
    assert (await trustee.get(f"{one}/roles")).json()["roles"] == made["roles"]
    assert (await trustee.head(f"{one}/roles/{role_id}")).status_code == 200
    assert (await trustee.get(f"{one}/roles/no")).status_code == 404
    listed = (await member.get(f"{V3}/OS-TRUST/trusts", params={"trustor_user_id": made["trustor_user_id"]})).json()
    assert [each["id"] for each in listed["trusts"]] == [made["id"]]
    assert "roles" not in listed["trusts"][0]
    assert (await trustee.delete(one)).status_code == 403
    assert (await member.get(f"{V3}/OS-TRUST/trusts")).status_code == 403
    assert len((await admin.get(f"{V3}/OS-TRUST/trusts")).json()["trusts"]) == 1
    async with cloud.client() as client:
        stranger = await cloud.token_with(client, "manager")
        assert (await client.get(one, headers=stranger)).status_code == 403


async def test_a_trust_is_used_up(member: httpx.AsyncClient, trustee: httpx.AsyncClient) -> None:
    made = (await trust(member, trustee, remaining_uses=1)).json()["trust"]
    acted = await use(trustee, made["id"])
    headers = {"x-auth-token": acted.headers["x-subject-token"]}
    assert (await use(trustee, made["id"])).status_code == 403
    assert (await trustee.get(f"{V3}/auth/projects", headers=headers)).status_code == 200
    shown = await member.get(f"{V3}/OS-TRUST/trusts/{made['id']}")
    assert shown.json()["trust"]["remaining_uses"] == 0


async def test_a_trust_is_worth_nothing_without_what_it_gave(
    admin: httpx.AsyncClient, member: httpx.AsyncClient, trustee: httpx.AsyncClient
) -> None:
    made = (await trust(member, trustee)).json()["trust"]
    headers = {"x-auth-token": (await use(trustee, made["id"])).headers["x-subject-token"]}
    place = f"{V3}/projects/{made['project_id']}/users/{made['trustor_user_id']}/roles/{made['roles'][0]['id']}"
    assert (await admin.delete(place)).status_code == 204
    assert (await trustee.get(f"{V3}/auth/projects", headers=headers)).status_code == 401
    assert (await use(trustee, made["id"])).status_code == 403


async def test_a_trust_may_be_handed_on_and_holds_no_more_than_before(
    cloud: Cloud, member: httpx.AsyncClient, trustee: httpx.AsyncClient
) -> None:
    made = (await trust(member, trustee, allow_redelegation=True)).json()["trust"]
    assert made["redelegation_count"] == 3
    headers = {"x-auth-token": (await use(trustee, made["id"])).headers["x-subject-token"]}
    async with cloud.client() as third:
        third.headers.update(await cloud.token_with(third, "manager"))
        wider = await trust(member, third, headers, roles=[{"name": "member"}, {"name": "reader"}])
        assert wider.status_code == 403
        answer = await trust(member, third, headers, allow_redelegation=True)
        later = answer.json()["trust"]
        assert (later["redelegated_trust_id"], later["redelegation_count"]) == (made["id"], 2)
        acted = await use(third, later["id"], "only-manager")
        assert acted.json()["token"]["user"]["id"] == made["trustor_user_id"]
        assert (await member.delete(f"{V3}/OS-TRUST/trusts/{made['id']}")).status_code == 204
        assert (await use(third, later["id"], "only-manager")).status_code == 401
    assert cloud.shared.cluster().view().count(Trust) == 0


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"trustor_user_id": "other"}, 403),
        ({"trustee_user_id": "nobody"}, 404),
        ({"roles": []}, 403),
        ({"roles": [{"name": "admin"}]}, 404),
        ({"roles": [{"id": "no"}]}, 404),
        ({"expires_at": "bad.123Z"}, 400),
        ({"remaining_uses": 0}, 400),
        ({"remaining_uses": 2, "allow_redelegation": True}, 400),
        ({"redelegation_count": 9, "allow_redelegation": True}, 403),
        ({"impersonation": "yes"}, 400),
    ],
)
async def test_a_wrong_trust_is_refused(
    cloud: Cloud, member: httpx.AsyncClient, trustee: httpx.AsyncClient, wrong: dict[str, Any], status: int
) -> None:
    answer = await trust(member, trustee, **wrong)
    assert answer.status_code == status, answer.text
    assert cloud.shared.cluster().view().count(Trust) == 0


async def test_what_is_handed_on_goes_with_its_users_and_projects(
    cloud: Cloud, admin: httpx.AsyncClient, member: httpx.AsyncClient, trustee: httpx.AsyncClient
) -> None:
    await app_credential(member, access_rules=RULES)
    made = (await trust(member, trustee)).json()["trust"]
    assert (await admin.delete(f"{V3}/users/{made['trustee_user_id']}")).status_code == 204
    view = cloud.shared.cluster().view()
    assert [view.count(kind) for kind in (ApplicationCredential, Trust)] == [1, 0]
    assert (await admin.delete(f"{V3}/projects/{made['project_id']}")).status_code == 204
    assert cloud.shared.cluster().view().count(ApplicationCredential) == 0


def signed_v2(access: str, secret: str, **params: str) -> dict[str, Any]:
    """A request as EC2's clients sign it with version 2 (AWS General Reference)."""
    fields = {"AWSAccessKeyId": access, "SignatureVersion": "2", "SignatureMethod": "HmacSHA256", **params}
    query = "&".join(f"{quote(name, safe='-_~')}={quote(fields[name], safe='-_~')}" for name in sorted(fields))
    text = f"GET\nec2.test\n/\n{query}"
    signature = base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()
    return {
        "access": access, "signature": signature, "host": "ec2.test:8773", "verb": "GET", "path": "/", "params": fields,
    }  # fmt: skip


async def test_a_service_gets_the_token_of_who_signed_with_an_ec2_secret(
    admin: httpx.AsyncClient, member: httpx.AsyncClient
) -> None:
    own = await me(member)
    place = f"{V3}/users/{own['user']['id']}/credentials/OS-EC2"
    pair = (await member.post(place, json={"tenant_id": own["project"]["id"]})).json()["credential"]
    signed = signed_v2(pair["access"], pair["secret"], Action="DescribeInstances")
    answer = await admin.post(f"{V3}/ec2tokens", json={"credentials": signed})
    assert answer.status_code == 200, answer.text
    token = answer.json()["token"]
    assert (token["methods"], token["user"]["id"]) == (["ec2credential"], own["user"]["id"])
    assert token["project"]["id"] == own["project"]["id"]
    headers = {"x-auth-token": answer.headers["x-subject-token"]}
    assert (await member.get(f"{V3}/auth/projects", headers=headers)).status_code == 200
    assert (await member.post(f"{V3}/ec2tokens", json={"credentials": signed})).status_code == 403
    forged = {"credentials": {**signed, "signature": "x"}}
    assert (await admin.post(f"{V3}/ec2tokens", json=forged)).status_code == 401
    unknown = {"credentials": signed_v2("no", "no")}
    assert (await admin.post(f"{V3}/ec2tokens", json=unknown)).status_code == 404
    old = signed_v2(pair["access"], pair["secret"], Timestamp="2001-01-01T00:00:00Z")
    assert (await admin.post(f"{V3}/ec2tokens", json={"credentials": old})).status_code == 401


async def test_an_ec2_pair_of_a_program_opens_no_more_than_the_program(
    admin: httpx.AsyncClient, member: httpx.AsyncClient
) -> None:
    own = await me(member)
    place = f"{V3}/users/{own['user']['id']}/credentials/OS-EC2"
    body = {"tenant_id": own["project"]["id"]}
    robot = await as_robot(member, await app_credential(member))
    assert (await member.post(place, json=body, headers=robot)).status_code == 403
    made = await app_credential(member, name="free", unrestricted=True, roles=[{"name": "member"}])
    free = await as_robot(member, made)
    pair = (await member.post(place, json=body, headers=free)).json()["credential"]
    answer = await admin.post(f"{V3}/ec2tokens", json={"credentials": signed_v2(pair["access"], pair["secret"])})
    assert answer.json()["token"]["application_credential"]["id"] == made["id"]
    elsewhere = {"tenant_id": (await me(admin))["project"]["id"]}
    assert (await member.post(place, json=elsewhere, headers=free)).status_code == 403


def escaped(text: str) -> str:
    return quote(text, safe="-._~")


def oauth(path: str, consumer: dict[str, Any], secret: str = "", **more: str) -> dict[str, str]:
    """The headers of a consumer's signed POST (RFC 5849, 3.4)."""
    fields = {
        "oauth_consumer_key": consumer["id"],
        "oauth_nonce": "n",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "1700000000",
        "oauth_version": "1.0",
        **more,
    }
    text = "&".join(f"{escaped(name)}={escaped(fields[name])}" for name in sorted(fields))
    base = "&".join(("POST", escaped(BASE + V3 + path), escaped(text)))
    key = f"{escaped(consumer['secret'])}&{escaped(secret)}"
    signature = base64.b64encode(hmac.new(key.encode(), base.encode(), hashlib.sha1).digest()).decode()
    pairs = ", ".join(f'{name}="{escaped(value)}"' for name, value in {**fields, "oauth_signature": signature}.items())
    return {"authorization": f"OAuth {pairs}"}


async def test_a_consumer_is_authorized_and_acts(
    cloud: Cloud, admin: httpx.AsyncClient, member: httpx.AsyncClient
) -> None:
    own = await me(member)
    made = await admin.post(f"{V3}/OS-OAUTH1/consumers", json={"consumer": {"description": "ours", "color": "blue"}})
    consumer = made.json()["consumer"]
    assert (made.status_code, consumer["color"]) == (201, "blue")
    async with cloud.client() as program:
        path = "/OS-OAUTH1/request_token"
        asked_for = {"requested-project-id": own["project"]["id"]}
        wrong = oauth(path, {**consumer, "secret": "no"}) | asked_for
        assert (await program.post(V3 + path, headers=wrong)).status_code == 401
        assert (await program.post(V3 + path, headers=oauth(path, consumer))).status_code == 400
        answer = await program.post(V3 + path, headers=oauth(path, consumer) | asked_for)
        assert answer.status_code == 201, answer.text
        assert answer.headers["content-type"] == "application/x-www-form-urlencoded"
        asked = {name: values[0] for name, values in parse_qs(answer.text).items()}
        place = f"{V3}/OS-OAUTH1/authorize/{asked['oauth_token']}"
        assert (await member.put(place, json={"roles": [{"name": "admin"}]})).status_code == 401
        told = (await member.put(place, json={"roles": [{"name": "reader"}]})).json()["token"]["oauth_verifier"]
        path, secret = "/OS-OAUTH1/access_token", asked["oauth_token_secret"]
        guess = oauth(path, consumer, secret, oauth_token=asked["oauth_token"], oauth_verifier="guess")
        assert (await program.post(V3 + path, headers=guess)).status_code == 401
        right = oauth(path, consumer, secret, oauth_token=asked["oauth_token"], oauth_verifier=told)
        answer = await program.post(V3 + path, headers=right)
        assert answer.status_code == 201, answer.text
        access = {name: values[0] for name, values in parse_qs(answer.text).items()}
        assert (await program.post(V3 + path, headers=right)).status_code == 401
        signed = oauth("/auth/tokens", consumer, access["oauth_token_secret"], oauth_token=access["oauth_token"])
        auth = {"auth": {"identity": {"methods": ["oauth1"], "oauth1": {}}}}
        answer = await program.post(TOKENS, json=auth, headers=signed)
        token = answer.json()["token"]
        assert (token["methods"], token["user"]["id"]) == (["oauth1"], own["user"]["id"])
        assert [role["name"] for role in token["roles"]] == ["reader"]
        assert token["OS-OAUTH1"] == {"access_token_id": access["oauth_token"], "consumer_id": consumer["id"]}
        headers = {"x-auth-token": answer.headers["x-subject-token"]}
        one = f"{V3}/users/{own['user']['id']}/OS-OAUTH1/access_tokens/{access['oauth_token']}"
        assert (await member.get(one)).json()["access_token"]["consumer_id"] == consumer["id"]
        assert len((await member.get(f"{one}/roles")).json()["roles"]) == 1
        assert (await program.get(one, headers=headers)).status_code == 403
        assert (await member.delete(one)).status_code == 204
        assert (await member.get(one)).status_code == 404
        assert (await program.get(f"{V3}/auth/projects", headers=headers)).status_code == 401


async def test_a_consumer_lives_and_takes_its_tokens_along(
    cloud: Cloud, admin: httpx.AsyncClient, member: httpx.AsyncClient
) -> None:
    answer = await admin.post(f"{V3}/OS-OAUTH1/consumers", json={"consumer": {"description": "ours"}})
    consumer = answer.json()["consumer"]
    one = f"{V3}/OS-OAUTH1/consumers/{consumer['id']}"
    asked_for = {"requested-project-id": (await me(member))["project"]["id"]}
    path = "/OS-OAUTH1/request_token"
    assert (await member.post(V3 + path, headers=oauth(path, consumer) | asked_for)).status_code == 201
    shown = (await admin.get(one)).json()["consumer"]
    assert "secret" not in shown
    assert (await admin.get(f"{V3}/OS-OAUTH1/consumers")).json()["consumers"] == [shown]
    assert (await member.get(one)).status_code == 403
    changed = await admin.patch(one, json={"consumer": {"description": "theirs"}})
    assert changed.json()["consumer"]["description"] == "theirs"
    assert (await admin.patch(one, json={"consumer": {"secret": "x"}})).status_code == 400
    assert (await admin.delete(one)).status_code == 204
    view = cloud.shared.cluster().view()
    assert [view.count(kind) for kind in (RequestToken, AccessToken)] == [0, 0]


async def test_no_secret_is_in_history_or_print(cloud: Cloud, member: httpx.AsyncClient) -> None:
    made = await app_credential(member, secret="a very secret word")
    own = await me(member)
    place = f"{V3}/users/{own['user']['id']}/credentials/OS-EC2"
    pair = (await member.post(place, json={"tenant_id": own["project"]["id"]})).json()["credential"]
    view = cloud.shared.cluster().view()
    (credential,) = view.all(ApplicationCredential)
    assert "a very secret word" not in json.dumps(credential.secret_hash)
    printed = repr(view.all(ApplicationCredential))
    assert made["secret"] not in printed
    assert pair["secret"] not in printed
