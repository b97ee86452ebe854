"""Which passwords are taken, how long they last, who is locked, and what options change of it, as clients see it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import trio

from noded.core.clock import now_ms
from noded.identity.model import User
from noded.identity.sign_in_rules.model import (
    DAY_MS,
    SignInRules,
    is_expired,
    is_inactive,
    must_be_noted,
    rules_of,
)
from noded.identity.tokens.passcodes import passcode
from noded.identity.users.commands import NoteActive
from tests.api.test_identity_groups import V3, Admin
from tests.twins.cloud import Cloud, found_cloud

RULES = "/noded/v1/sign-in-rules"


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


async def set_rules(admin: Admin, status: int = 200, **rules: Any) -> Any:
    answer = await admin.client.put(RULES, json={"sign_in_rules": rules}, headers=admin.headers)
    assert answer.status_code == status, answer.text
    return answer.json()


async def change_password(admin: Admin, user_id: str, old: str, new: str) -> httpx.Response:
    body = {"user": {"original_password": old, "password": new}}
    return await admin.client.post(f"{V3}/users/{user_id}/password", json=body)


async def patch(admin: Admin, path: str, status: int, **attributes: Any) -> Any:
    noun = path.split("/")[1][:-1]
    answer = await admin.client.patch(V3 + path, json={noun: attributes}, headers=admin.headers)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_the_rules_are_told_set_and_the_same_on_every_node(cloud: Cloud, admin: Admin) -> None:
    before = (await admin.client.get(RULES, headers=admin.headers)).json()["sign_in_rules"]
    assert (before["lockout_failures"], before["lockout_s"], before["unique_last_passwords"]) == (2, 5, 2)
    await set_rules(admin, lockout_failures=7)
    async with cloud.client("node3") as other:
        told = (await other.get(RULES, headers=admin.headers)).json()["sign_in_rules"]
    assert told == {**before, "lockout_failures": 7}


@pytest.mark.parametrize(
    "rules",
    [
        {"lockout_failures": -1},
        {"unique_last_passwords": 25},
        {"password_pattern": "("},
        {"password_expires_days": 1, "password_age_min_days": 1},
        {"no_such_rule": 1},
    ],
)
async def test_rules_without_sense_are_refused(admin: Admin, rules: dict[str, Any]) -> None:
    await set_rules(admin, 400, **rules)


async def test_the_last_passwords_are_not_taken_again(cloud: Cloud, admin: Admin) -> None:
    user = await admin.make("user", name="ann", password="one")
    assert (await change_password(admin, user["id"], "one", "one")).status_code == 400
    assert (await change_password(admin, user["id"], "one", "two")).status_code == 204
    for again in ("two", "one"):
        assert (await change_password(admin, user["id"], "two", again)).status_code == 400
    assert (await change_password(admin, user["id"], "two", "three")).status_code == 204
    assert (await change_password(admin, user["id"], "three", "one")).status_code == 204
    assert "argon2" not in repr(cloud.shared.cluster().view().need(User, user["id"]))


async def test_a_password_is_as_strong_as_the_rules_ask(admin: Admin) -> None:
    user = await admin.make("user", name="ann", password="weak")
    await set_rules(admin, password_pattern="^.{8,}$", password_pattern_words="eight characters or more")
    body = {"user": {"name": "bob", "password": "short"}}
    refused = await admin.client.post(f"{V3}/users", json=body, headers=admin.headers)
    assert (refused.status_code, "eight characters" in refused.text) == (400, True)
    assert (await change_password(admin, user["id"], "weak", "short")).status_code == 400
    await patch(admin, f"/users/{user['id']}", 400, password="short")
    assert (await change_password(admin, user["id"], "weak", "long enough")).status_code == 204


async def test_a_given_password_has_to_be_changed_first_where_the_rules_say_so(cloud: Cloud, admin: Admin) -> None:
    await set_rules(admin, change_first_password=True)
    user = await admin.make("user", name="ann", password="given")
    assert user["password_expires_at"] is not None
    refused = await cloud.sign_in(admin.client, "ann", "given", None)
    assert (refused.status_code, "expired" in refused.text) == (401, True)
    wrong = await cloud.sign_in(admin.client, "ann", "guess", None)
    assert (wrong.status_code, "expired" in wrong.text) == (401, False), "who does not know it learns nothing"
    assert (await change_password(admin, user["id"], "given", "chosen")).status_code == 204
    assert (await cloud.sign_in(admin.client, "ann", "chosen", None)).status_code == 201
    free = {"ignore_change_password_upon_first_use": True}
    await admin.make("user", name="bob", password="given", options=free)
    assert (await cloud.sign_in(admin.client, "bob", "given", None)).status_code == 201


async def test_a_password_expires_after_its_days_unless_an_option_spares_its_user(cloud: Cloud, admin: Admin) -> None:
    await set_rules(admin, password_expires_days=1, change_first_password=False)
    user = await admin.make("user", name="ann", password="pw")
    record = cloud.shared.cluster().view().need(User, user["id"])
    assert not is_expired(record, record.password_set_ms + DAY_MS - 1)
    assert is_expired(record, record.password_set_ms + DAY_MS)
    token = (await cloud.sign_in(admin.client, "ann", "pw", None)).json()["token"]
    assert token["user"]["password_expires_at"] == user["password_expires_at"]
    spared = await admin.make("user", name="bob", password="pw", options={"ignore_password_expiry": True})
    assert spared["password_expires_at"] is None


async def test_users_are_found_by_when_their_password_expires(admin: Admin) -> None:
    await set_rules(admin, password_expires_days=1)
    await admin.make("user", name="ann", password="pw")

    async def found(query: str) -> set[str]:
        users = (await admin.ask("GET", "/users", 200, password_expires_at=query))["users"]
        return {user["name"] for user in users}

    assert await found("lt:2100-01-01T00:00:00Z") == {"ann"}
    assert await found("gt:2100-01-01T00:00:00Z") == set()
    await admin.ask("GET", "/users", 400, password_expires_at="lt:soon")


async def test_a_password_stays_for_its_least_age(admin: Admin) -> None:
    user = await admin.make("user", name="ann", password="one")
    await set_rules(admin, password_age_min_days=1)
    refused = await change_password(admin, user["id"], "one", "two")
    assert (refused.status_code, "minimum age" in refused.text) == (400, True)


async def test_options_are_kept_changed_and_taken_away(admin: Admin) -> None:
    user = await admin.make("user", name="ann", password="pw", options={"lock_password": True})
    assert user["options"] == {"lock_password": True}
    assert (await change_password(admin, user["id"], "pw", "new")).status_code == 400
    both = {"lock_password": None, "multi_factor_auth_rules": [["password", "totp"]]}
    changed = await patch(admin, f"/users/{user['id']}", 200, options=both)
    assert changed["user"]["options"] == {"multi_factor_auth_rules": [["password", "totp"]]}
    assert (await change_password(admin, user["id"], "pw", "new")).status_code == 204
    for wrong in ({"no_such": True}, {"lock_password": "x"}, {"multi_factor_auth_rules": [[]]}):
        await patch(admin, f"/users/{user['id']}", 400, options=wrong)


async def test_who_has_to_give_two_factors_does_not_come_in_with_one(cloud: Cloud, admin: Admin) -> None:
    options = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"]]}
    user = await admin.make("user", name="ann", password="pw", options=options)
    assert (await cloud.sign_in(admin.client, "ann", "pw", None)).status_code == 401
    await patch(admin, f"/users/{user['id']}", 200, options={"multi_factor_auth_rules": [["password"]]})
    assert (await cloud.sign_in(admin.client, "ann", "pw", None)).status_code == 201


async def test_who_stays_away_too_long_has_to_be_enabled_again(cloud: Cloud, admin: Admin) -> None:
    await set_rules(admin, inactive_days=30)
    user = await admin.make("user", name="ann", password="pw")
    entries = len(cloud.shared.entries)
    assert (await cloud.sign_in(admin.client, "ann", "pw", None)).status_code == 201
    assert len(cloud.shared.entries) == entries, "they were made today: nothing has to be noted"
    away = cloud.shared.cluster().view().need(User, user["id"]).last_active_day - 31
    long_ago = msgspec.structs.replace(cloud.shared.cluster().view().need(User, user["id"]), last_active_day=away)
    rules = rules_of(cloud.shared.cluster().view())
    now = now_ms()
    assert is_inactive(rules, long_ago, now)
    assert not is_inactive(rules, msgspec.structs.replace(long_ago, last_active_day=away + 1), now)
    spared = msgspec.structs.replace(long_ago, options={"ignore_user_inactivity": True})
    assert not is_inactive(rules, spared, now)
    assert must_be_noted(rules, long_ago, now)
    await cloud.shared.cluster().propose(NoteActive(user_id=user["id"], day=away))
    await patch(admin, f"/users/{user['id']}", 200, enabled=True)
    assert cloud.shared.cluster().view().need(User, user["id"]).last_active_day == 0
    assert (await cloud.sign_in(admin.client, "ann", "pw", None)).status_code == 201
    assert cloud.shared.cluster().view().need(User, user["id"]).last_active_day == away + 31, "noted again"


async def test_an_option_spares_a_user_from_locks(cloud: Cloud, admin: Admin) -> None:
    await admin.make("user", name="ann", password="pw", options={"ignore_lockout_failure_attempts": True})
    for _ in range(SignInRules().lockout_failures + 1):
        assert (await cloud.sign_in(admin.client, "ann", "no", None)).status_code == 401
    assert (await cloud.sign_in(admin.client, "ann", "pw", None)).status_code == 201


@pytest.mark.parametrize("noun", ["project", "domain", "role"])
async def test_what_is_immutable_stays_until_that_is_taken_away(admin: Admin, noun: str) -> None:
    made = await admin.make(noun, name="fixed", options={"immutable": True})
    path = f"/{noun}s/{made['id']}"
    await patch(admin, path, 403, name="other")
    await patch(admin, path, 403, name="other", options={"immutable": False})
    await admin.ask("DELETE", path, 403)
    await patch(admin, path, 200, options={"immutable": False})
    assert (await patch(admin, path, 200, name="other"))[noun]["name"] == "other"


async def test_the_roles_that_policy_asks_for_can_not_be_deleted(admin: Admin) -> None:
    await admin.ask("DELETE", f"/roles/{await admin.role('member')}", 403)


def factors(*methods: str, code: str = "") -> dict[str, Any]:
    user = {"name": "ann", "domain": {"id": "default"}}
    parts = {"password": {"user": {**user, "password": "pw"}}, "totp": {"user": {**user, "passcode": code}}}
    return {"auth": {"identity": {"methods": list(methods), **{name: parts[name] for name in methods}}}}


async def with_authenticator(admin: Admin) -> str:
    """Ann needs both factors; the digits that her authenticator shows now."""
    options = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"]]}
    user = await admin.make("user", name="ann", password="pw", options=options)
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    await admin.make("credential", type="totp", blob=secret, user_id=user["id"], project_id=None)
    digits = passcode(secret, now_ms())
    assert digits is not None
    return digits


async def test_a_password_and_a_passcode_together_let_in(cloud: Cloud, admin: Admin) -> None:
    digits = await with_authenticator(admin)
    tokens = f"{V3}/auth/tokens"
    assert (await admin.client.post(tokens, json=factors("password"))).status_code == 401
    assert (await admin.client.post(tokens, json=factors("totp", code=digits))).status_code == 401
    async with cloud.client("node2") as other:
        both = await other.post(tokens, json=factors("password", "totp", code=digits))
    assert (both.status_code, both.json()["token"]["methods"]) == (201, ["password", "totp"])
    again = {"methods": ["token"], "token": {"id": both.headers["x-subject-token"]}}
    assert (await admin.client.post(tokens, json={"auth": {"identity": again}})).status_code == 201


async def test_who_knows_the_password_can_not_try_passcodes_for_ever(admin: Admin) -> None:
    digits = await with_authenticator(admin)
    wrong = f"{(int(digits) + 1) % 1_000_000:06}"
    for _ in range(SignInRules().lockout_failures):
        answer = await admin.client.post(f"{V3}/auth/tokens", json=factors("password", "totp", code=wrong))
        assert answer.status_code == 401
    right = await admin.client.post(f"{V3}/auth/tokens", json=factors("password", "totp", code=digits))
    assert right.status_code == 401


async def test_a_flood_of_wrong_passwords_locks_one_user_and_leaves_no_password_anywhere(
    cloud: Cloud, admin: Admin, capsys: pytest.CaptureFixture[str]
) -> None:
    user = await admin.make("user", name="ann", password="pw")
    answers: list[httpx.Response] = []

    async def guess(number: int) -> None:
        answers.append(await cloud.sign_in(admin.client, "ann", f"guess-{number}-secret", None))

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(guess, number)
    assert {answer.status_code for answer in answers} == {401}
    assert cloud.shared.cluster().view().need(User, user["id"]).locked_until_ms > now_ms()
    assert (await cloud.sign_in(admin.client, "ann", "pw", None)).status_code == 401
    assert (await cloud.sign_in(admin.client)).status_code == 201, "others are not locked"
    said = capsys.readouterr().out + "".join(answer.text for answer in answers)
    assert "status=401" in said
    assert "-secret" not in said
