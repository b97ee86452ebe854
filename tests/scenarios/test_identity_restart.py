"""What users hand on acts on a node that starts anew, from a checkpoint or from the log alone."""

import pytest

from consensus.codec import Codec
from consensus.machine import Machine
from noded.core.clock import now_ms
from noded.core.errors import Unauthenticated
from noded.core.route import AccessRule, DelegationKind
from noded.gateway.catalog import Catalog
from noded.identity.offers import catalogue
from noded.identity.tokens.recognize import TokenRecognizer
from noded.identity.tokens.seal import TokenBook
from tests.twins.cloud import IDENTITY_SERVICES, Cloud, found_cloud

V3 = "/identity/v3"
RULE = {"path": "/v3/regions", "method": "GET", "service": "identity"}


def started_anew(cloud: Cloud, *, from_log: bool) -> Machine:
    """The machine of a node that has just started: it knows what is on its disk, and no more."""
    old = cloud.shared.machine
    commands = [command for service in IDENTITY_SERVICES for command in service.commands]
    records = [record for service in IDENTITY_SERVICES for record in service.records]
    new = Machine(Codec(commands, records))
    if from_log:
        for index, payload in enumerate(cloud.shared.entries, 1):
            new.apply(index, payload)
    else:
        new.restore(old.capture().blocks())
    assert new.digest() == old.digest()
    return new


async def hand_on(cloud: Cloud) -> tuple[str, str, str]:
    """A program's token, its credential's id, and the administrator's id; a service told of by hand beside it."""
    async with cloud.client() as client:
        client.headers.update(await cloud.admin(client))
        user_id = (await cloud.sign_in(client)).json()["token"]["user"]["id"]
        place = f"{V3}/users/{user_id}/application_credentials"
        form = {"name": "robot", "roles": [{"name": "reader"}], "access_rules": [RULE]}
        made = (await client.post(place, json={"application_credential": form})).json()["application_credential"]
        service = (await client.post(f"{V3}/services", json={"service": {"type": "monitoring"}})).json()["service"]
        address = {"service_id": service["id"], "interface": "public", "url": "http://x/%(project_id)s"}
        assert (await client.post(f"{V3}/endpoints", json={"endpoint": address})).status_code == 201
        proof = {"id": made["id"], "secret": made["secret"]}
        identity = {"methods": ["application_credential"], "application_credential": proof}
        answer = await client.post(f"{V3}/auth/tokens", json={"auth": {"identity": identity}})
        return answer.headers["x-subject-token"], made["id"], user_id


@pytest.mark.parametrize("from_log", [False, True])
async def test_a_programs_token_and_the_catalogue_are_the_same_after_a_restart(from_log: bool) -> None:
    cloud = await found_cloud()
    token, credential_id, user_id = await hand_on(cloud)
    view = started_anew(cloud, from_log=from_log).picture
    caller = TokenRecognizer(TokenBook()).caller(view, token, now_ms())
    assert caller.roles == {"reader"}
    assert caller.delegation is not None
    assert (caller.delegation.kind, caller.delegation.id) == (DelegationKind.APPLICATION_CREDENTIAL, credential_id)
    assert caller.delegation.rules == (AccessRule(service="identity", verb="GET", path="/v3/regions"),)
    entries = catalogue(view, Catalog(IDENTITY_SERVICES), "https://x", user_id, cloud.admin_project_id)
    assert [entry["type"] for entry in entries] == ["identity", "monitoring"]


@pytest.mark.parametrize("from_log", [False, True])
async def test_what_was_taken_back_stays_taken_back_after_a_restart(from_log: bool) -> None:
    cloud = await found_cloud()
    token, credential_id, user_id = await hand_on(cloud)
    async with cloud.client("node2") as client:
        client.headers.update(await cloud.admin(client))
        one = f"{V3}/users/{user_id}/application_credentials/{credential_id}"
        assert (await client.delete(one)).status_code == 204
    view = started_anew(cloud, from_log=from_log).picture
    with pytest.raises(Unauthenticated):
        TokenRecognizer(TokenBook()).caller(view, token, now_ms())
