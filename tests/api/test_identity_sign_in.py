"""Guessing, second factors, users from elsewhere, rescue, clocks: what stands round a sign-in, on three nodes."""

import base64
import hmac
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import trio
import trio.testing

from consensus.clocks.model import ClockSight
from noded.core.clock import now_ms
from noded.core.errors import Invalid, NotFound
from noded.core.service import PeerContext
from noded.identity.host.argon2 import Argon2Passwords
from noded.identity.model import User
from noded.identity.sign_in_rules.model import SignInRules
from noded.identity.tokens.passcodes import passcode
from noded.identity.users.authority import LOCAL_CALLS
from tests.twins.cloud import Cloud, found_cloud, sign_in_body

V3 = "/identity/v3"
FAILURES = SignInRules().lockout_failures
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
RECEIPT = "openstack-auth-receipt"
BCRYPT = "$2b$04$PZ6vOWPi6sZyuFcCWsKe/OuO1ZaD095rnJlgd/cwG5wNqJ.kmO48K"  # of `opensesame`


@pytest.fixture
async def cloud() -> Cloud:
    return await found_cloud()


@pytest.fixture
async def admin(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client() as client:
        client.headers.update(await cloud.admin(client))
        yield client


async def make_user(admin: httpx.AsyncClient, name: str, **more: Any) -> dict[str, Any]:
    answer = await admin.post(f"{V3}/users", json={"user": {"name": name, "password": "right", **more}})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["user"]
    return made


async def try_at(cloud: Cloud, node: str, name: str, password: str) -> int:
    async with cloud.client(node) as client:
        return (await cloud.sign_in(client, name, password, None)).status_code


async def console(cloud: Cloud, method: str, **call: Any) -> Any:
    return await console_with(cloud, method, call)


async def console_with(cloud: Cloud, method: str, call: object, node: str = "node1") -> Any:
    context = PeerContext(cluster=cloud.shared.cluster(node), drivers=cloud.shared.drivers[node])
    return msgspec.msgpack.decode(await LOCAL_CALLS[method](context, msgspec.msgpack.encode(call)))


async def test_three_nodes_give_no_more_tries_than_one(cloud: Cloud, admin: httpx.AsyncClient) -> None:
    await make_user(admin, "ann")
    nodes = sorted(cloud.gateways)
    entries = len(cloud.shared.entries)
    for turn in range(FAILURES):
        assert await try_at(cloud, nodes[turn % len(nodes)], "ann", "wrong") == 401
    assert {await try_at(cloud, node, "ann", "right") for node in nodes} == {401}, "the lock holds on every node"
    for turn in range(3 * FAILURES):
        assert await try_at(cloud, nodes[turn % len(nodes)], "ann", "wrong") == 401
    assert len(cloud.shared.entries) == entries + 1, "the lock is one entry, and guessing on writes none"


async def test_who_is_let_in_begins_anew_on_every_node(cloud: Cloud, admin: httpx.AsyncClient) -> None:
    await make_user(admin, "ann")
    for node in ("node2", "node3", "node1"):
        for _ in range(FAILURES - 1):
            assert await try_at(cloud, node, "ann", "wrong") == 401
        assert await try_at(cloud, "node3", "ann", "right") == 201


async def test_without_a_leader_each_node_counts_for_itself(cloud: Cloud, admin: httpx.AsyncClient) -> None:
    await make_user(admin, "ann")
    cloud.shared.alone = {"node1"}  # who led
    for _ in range(FAILURES):
        assert await try_at(cloud, "node2", "ann", "wrong") == 401
    assert await try_at(cloud, "node3", "ann", "right") == 401


async def test_factors_may_come_one_after_the_other(cloud: Cloud, admin: httpx.AsyncClient) -> None:
    options = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"], ["x", "y"]]}
    user = await make_user(admin, "ann", options=options)
    other = await make_user(admin, "bob", options=options)
    for each in (user, other):
        credential = {"user_id": each["id"], "type": "totp", "blob": SECRET}
        assert (await admin.post(f"{V3}/credentials", json={"credential": credential})).status_code == 201
    async with cloud.client() as first, cloud.client("node2") as second:
        begun = await cloud.sign_in(first, "ann", "right", None)
        assert (begun.status_code, begun.json()["receipt"]["methods"]) == (401, ["password"])
        assert begun.json()["receipt"]["user"]["id"] == user["id"]
        assert begun.json()["required_auth_methods"] == [["password", "totp"]]
        receipt = {RECEIPT: begun.headers[RECEIPT]}
        assert (await first.get(f"{V3}/auth/projects", headers={"x-auth-token": receipt[RECEIPT]})).status_code == 401

        async def go_on(user_id: str, code: str | None, **headers: str) -> httpx.Response:
            totp = {"user": {"id": user_id, "passcode": code}}
            body = {"auth": {"identity": {"methods": ["totp"], "totp": totp}}}
            return await second.post(f"{V3}/auth/tokens", json=body, headers=headers)

        right = passcode(SECRET, now_ms())
        assert (await go_on(other["id"], right, **receipt)).status_code == 401, "it is Ann's receipt"
        assert (await go_on(user["id"], right, **{RECEIPT: "made-up"})).status_code == 401
        alone = await go_on(user["id"], right)
        assert (alone.status_code, alone.json()["receipt"]["methods"]) == (401, ["totp"])
        token = await go_on(user["id"], right, **receipt)
        assert (token.status_code, token.json()["token"]["methods"]) == (201, ["password", "totp"])
        unreceived = {RECEIPT: token.headers["x-subject-token"]}
        assert (await go_on(user["id"], right, **unreceived)).status_code == 401, "a token is no receipt"


async def test_users_of_another_keystone_sign_in_and_are_hashed_anew(cloud: Cloud) -> None:
    users = [{"name": "ann", "password_hash": BCRYPT, "email": "a@b.c"}, {"name": "bob"}, {"name": "admin"}]
    told = await console_with(cloud, "identity.import_users", users)
    assert told == {"imported": 2, "were_there": ["admin"]}
    assert await try_at(cloud, "node1", "ann", "opensesame!") == 401
    assert await try_at(cloud, "node1", "bob", "") == 401
    assert await try_at(cloud, "node2", "ann", "opensesame") == 201
    ann = next(iter(cloud.shared.cluster().view().find(User, "name", "ann")))
    assert ((ann.password_hash or "")[:9], ann.password_generation) == ("$argon2id", 1)
    assert await try_at(cloud, "node3", "ann", "opensesame") == 201
    for wrong in ({"name": "cat", "password_hash": "md5"}, {"name": "cat", "domain": "none"}):
        with pytest.raises((Invalid, NotFound)):
            await console_with(cloud, "identity.import_users", [wrong])


async def test_root_lets_an_administrator_in_again(cloud: Cloud, admin: httpx.AsyncClient) -> None:
    for _ in range(FAILURES):
        assert await try_at(cloud, "node1", "admin", "wrong") == 401
    told = await console(cloud, "identity.reset_password", user="admin", domain="Default", password="new one")
    assert (told["name"], told["was_locked"], told["was_enabled"]) == ("admin", True, True)
    assert await try_at(cloud, "node2", "admin", "new one") == 201
    assert (await admin.get(f"{V3}/users")).status_code == 401, "tokens of before have ended"
    with pytest.raises(NotFound):
        await console(cloud, "identity.reset_password", user="nobody", domain="default", password="x")


async def test_a_service_asks_who_signed_for_s3(cloud: Cloud, admin: httpx.AsyncClient) -> None:
    me = (await admin.get(f"{V3}/auth/tokens", headers={"x-subject-token": admin.headers["x-auth-token"]})).json()
    user, project = me["token"]["user"]["id"], me["token"]["project"]["id"]
    made = await admin.post(f"{V3}/users/{user}/credentials/OS-EC2", json={"tenant_id": project})
    pair = made.json()["credential"]

    async def ask(text: str, signature: str, access: str = pair["access"]) -> httpx.Response:
        token = base64.urlsafe_b64encode(text.encode()).decode()
        credentials = {"access": access, "signature": signature, "token": token}
        return await admin.post(f"{V3}/s3tokens", json={"credentials": credentials})

    text = "GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/bucket/key"
    old = base64.b64encode(hmac.digest(pair["secret"].encode(), text.encode(), "sha1")).decode()
    answer = await ask(text, old)
    assert (answer.status_code, answer.json()["token"]["project"]["id"]) == (200, project)
    key = b"AWS4" + pair["secret"].encode()
    for piece in ("20260102", "RegionOne", "s3", "aws4_request"):
        key = hmac.digest(key, piece.encode(), "sha256")
    newer = "AWS4-HMAC-SHA256\n20260102T030405Z\n20260102/RegionOne/s3/aws4_request\nabc"
    assert (await ask(newer, hmac.digest(key, newer.encode(), "sha256").hex())).status_code == 200
    assert (await ask(newer, old)).status_code == 401
    assert (await ask(text + "x", old)).status_code == 401
    assert (await ask(text, old, "none")).status_code == 404


async def test_a_node_whose_clock_is_off_hands_out_no_tokens(cloud: Cloud) -> None:
    cloud.shared.drivers["node2"].get(ClockSight).take(300_900, now_ms(), trio.current_time())
    async with cloud.client("node2") as client:
        refused = await cloud.sign_in(client)
        assert (refused.status_code, "300 s ahead" in refused.text) == (503, True)
    assert await try_at(cloud, "node1", "admin", "correct horse") == 201


async def test_a_revoked_token_is_refused_everywhere_also_when_another_leads(
    cloud: Cloud, admin: httpx.AsyncClient
) -> None:
    token = {"x-auth-token": (await cloud.sign_in(admin)).headers["x-subject-token"]}
    async with cloud.client("node2") as second, cloud.client("node3") as third:
        for client in (second, third):
            assert (await client.get(f"{V3}/auth/projects", headers=token)).status_code == 200
        cloud.shared.alone = {"node1"}
        subject = {"x-subject-token": token["x-auth-token"]}
        assert (await second.delete(f"{V3}/auth/tokens", headers={**token, **subject})).status_code == 204
        cloud.shared.alone = set()
        for client in (admin, second, third):
            assert (await client.get(f"{V3}/auth/projects", headers=token)).status_code == 401


async def test_a_flood_of_wrong_passwords_holds_nobody_up() -> None:
    cloud = await found_cloud(passwords=Argon2Passwords(memory_kib=256, passes=1))
    async with cloud.client() as client:
        client.headers.update(await cloud.admin(client))
        codes: list[int] = []
        answered = 0

        async def guess(name: str) -> None:
            codes.append((await cloud.sign_in(client, name, "wrong", None)).status_code)

        for names in (["admin"] * 100, [f"nobody-{number}" for number in range(100)]):
            codes.clear()
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(guess, name)
                await trio.testing.wait_all_tasks_blocked()
                while len(codes) < len(names):
                    assert (await client.get(f"{V3}/auth/projects")).status_code == 200
                    answered += 1
                    await trio.lowlevel.checkpoint()
            assert codes == [401] * 100
        assert answered >= 50, "between two hashes others are answered"
        admin = next(iter(cloud.shared.cluster().view().find(User, "name", "admin")))
        assert admin.locked_until_ms > 0, "too many were wrong: the account was locked"


async def test_no_word_of_a_password_is_kept_or_logged(
    cloud: Cloud, admin: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"tell-nobody-{number}" for number in range(8)]
    user = await make_user(admin, "ann", password=words[0])
    await cloud.sign_in(admin, "ann", words[1], None)
    await cloud.sign_in(admin, "ann", words[0], None)
    path = f"{V3}/users/{user['id']}"
    for old, new in ((words[2], words[3]), (words[0], words[4])):
        await admin.post(f"{path}/password", json={"user": {"original_password": old, "password": new}})
    await admin.patch(path, json={"user": {"password": words[5]}})
    await console(cloud, "identity.reset_password", user="ann", domain="default", password=words[6])
    broken = {"auth": {"identity": {"methods": ["password"], "password": {"user": {"password": words[7], "id": 7}}}}}
    told = [(await admin.post(f"{V3}/auth/tokens", json=broken)).text]
    told += [(await admin.post(f"{V3}/users", json={"user": {"name": 5, "password": words[7]}})).text]
    wrong: dict[str, Any] = sign_in_body("ann", words[7], None)
    wrong["auth"]["scope"] = {"project": {}}
    told += [(await admin.post(f"{V3}/auth/tokens", json=wrong)).text]
    told += [repr(record) for record in cloud.shared.cluster().view().all(User)]
    printed = capsys.readouterr()
    everything = [*told, printed.out, printed.err, repr(vars(cloud.shared.book)), repr(cloud.shared.entries)]
    assert [text for text in everything if "tell-nobody" in text] == []
