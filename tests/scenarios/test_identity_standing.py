"""Who holds what by groups and from above, and which passwords were used up, is the same on a node that starts anew."""

from typing import Any

import pytest

from consensus.codec import Codec
from consensus.machine import Machine
from noded.core.clock import now_ms
from noded.core.errors import Unauthenticated
from noded.identity.model import User
from noded.identity.sign_in_rules.model import rules_of
from noded.identity.tokens.recognize import TokenRecognizer
from noded.identity.tokens.seal import TokenBook
from tests.api.test_identity_groups import V3, Admin
from tests.twins.cloud import IDENTITY_SERVICES, Cloud, found_cloud, sign_in_body


def started_anew(cloud: Cloud) -> Machine:
    """The machine of a node that has just started from its checkpoint."""
    commands = [command for service in IDENTITY_SERVICES for command in service.commands]
    records = [record for service in IDENTITY_SERVICES for record in service.records]
    new = Machine(Codec(commands, records))
    new.restore(cloud.shared.machine.capture().blocks())
    assert new.digest() == cloud.shared.machine.digest()
    return new


async def ann_in_a_group(cloud: Cloud) -> tuple[str, str, str]:
    """Ann's token for a project below a domain on which her group inherits a role; her id, and the group's."""
    async with cloud.client() as client:
        admin = Admin(client, await cloud.admin(client))
        project = await admin.make("project", name="p")
        group = await admin.make("group", name="ops")
        ann = await admin.make("user", name="ann", password="pw", options={"ignore_password_expiry": True})
        await admin.ask("PUT", f"/groups/{group['id']}/users/{ann['id']}", 204)
        role = await admin.role("manager")
        grant = f"/OS-INHERIT/domains/default/groups/{group['id']}/roles/{role}/inherited_to_projects"
        await admin.ask("PUT", grant, 204)
        body: Any = sign_in_body("ann", "pw", None)
        body["auth"]["scope"] = {"project": {"id": project["id"]}}
        answer = await client.post(f"{V3}/auth/tokens", json=body)
        return answer.headers["x-subject-token"], ann["id"], group["id"]


async def test_a_groups_inherited_role_is_in_its_members_tokens_after_a_restart() -> None:
    cloud = await found_cloud()
    token, _, _ = await ann_in_a_group(cloud)
    caller = TokenRecognizer(TokenBook()).caller(started_anew(cloud).picture, token, now_ms())
    assert caller.roles == {"manager", "member", "reader"}


@pytest.mark.parametrize("noun", ["users", "groups"])
async def test_what_a_member_or_a_group_lost_stays_lost_after_a_restart(noun: str) -> None:
    cloud = await found_cloud()
    token, user_id, group_id = await ann_in_a_group(cloud)
    async with cloud.client("node2") as client:
        admin = Admin(client, await cloud.admin(client))
        path = f"/groups/{group_id}" if noun == "groups" else f"/groups/{group_id}/users/{user_id}"
        await admin.ask("DELETE", path, 204)
    with pytest.raises(Unauthenticated):
        TokenRecognizer(TokenBook()).caller(started_anew(cloud).picture, token, now_ms())


async def test_rules_options_and_used_up_passwords_are_the_same_after_a_restart() -> None:
    cloud = await found_cloud()
    _, user_id, _ = await ann_in_a_group(cloud)
    async with cloud.client("node3") as client:
        admin = await cloud.admin(client)
        rules = {"sign_in_rules": {"unique_last_passwords": 3}}
        assert (await client.put("/noded/v1/sign-in-rules", json=rules, headers=admin)).status_code == 200
        change = {"user": {"original_password": "pw", "password": "new"}}
        assert (await client.post(f"{V3}/users/{user_id}/password", json=change)).status_code == 204
    view = started_anew(cloud).picture
    ann = view.need(User, user_id)
    assert rules_of(view).unique_last_passwords == 3
    assert (len(ann.past_hashes), ann.options) == (1, {"ignore_password_expiry": True})
