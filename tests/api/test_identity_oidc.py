"""Signing in by the word of a real OpenID Connect provider, as keystoneauth and the `openstack` command do."""

import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from joserfc.jws import extract_compact
from keystoneauth1.exceptions import http as refused
from keystoneauth1.identity.v3 import OidcAccessToken, OidcPassword
from keystoneauth1.session import Session

from noded.core.clock import now_ms
from noded.core.errors import Unauthenticated
from noded.identity.host.oidc import AGAIN_MS, OidcChecker
from noded.identity.providers import OidcSettings
from tests.twins import oidc_provider
from tests.twins.cloud import Cloud, api_certificate, found_cloud, serving

V3 = "/identity/v3"
FEDERATION = f"{V3}/OS-FEDERATION"
SUBJECT, GROUPS = {"type": "OIDC-sub"}, {"type": "OIDC-groups"}
LOCAL: list[dict[str, Any]] = [
    {"user": {"id": "{0}", "name": "{1}", "email": "{2}"}},
    {"groups": "{3}", "domain": {"id": "default"}},
    {"projects": [{"name": "of {1}", "roles": [{"name": "member"}]}]},
]
RULES = [{"local": LOCAL, "remote": [SUBJECT, {"type": "OIDC-name"}, {"type": "HTTP_OIDC_EMAIL"}, GROUPS]}]


class Provider:
    """The provider's process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        command = [sys.executable, "-m", "tests.twins.oidc_provider", "--dir", str(directory)]
        with (directory / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    @property
    def issuer(self) -> str:
        return (self.directory / "url").read_text()

    async def token(self) -> str:
        """An access token of its user's."""
        login = {"grant_type": "password", "username": oidc_provider.USER, "password": oidc_provider.PASSWORD}
        trust = ssl.create_default_context(cafile=self.directory / "ca.crt")
        async with httpx.AsyncClient(verify=trust, trust_env=False) as client:
            known = httpx.BasicAuth(oidc_provider.CLIENT_ID, oidc_provider.CLIENT_SECRET)
            answer = await client.post(f"{self.issuer}/token", data=login, auth=known)
        return str(answer.json()["access_token"])

    @property
    def settings(self) -> dict[str, Any]:
        return {"client_id": oidc_provider.CLIENT_ID, "ca_pem": (self.directory / "ca.crt").read_text()}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    provider = Provider(tmp_path_factory.mktemp("oidc"))
    try:
        yield provider
    finally:
        provider.process.kill()
        provider.process.wait()


@pytest.fixture
async def cloud(provider: Provider) -> Cloud:
    """A cloud that trusts the provider, with a group of the name that it tells."""
    with trio.fail_after(20):
        while not (provider.directory / "url").exists():
            assert provider.process.poll() is None, (provider.directory / "log").read_text()
            await trio.sleep(0.05)
    return await found_cloud()


@pytest.fixture
async def admin(cloud: Cloud, provider: Provider) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.client() as client:
        client.headers.update(await cloud.admin(client))
        trust = {"identity_provider": {"remote_ids": [provider.issuer], "enabled": True}}
        await put(client, f"{FEDERATION}/identity_providers/corp", trust)
        await put(client, f"{FEDERATION}/mappings/m", {"mapping": {"rules": RULES}})
        protocol = f"{FEDERATION}/identity_providers/corp/protocols/openid"
        await put(client, protocol, {"protocol": {"mapping_id": "m"}})
        await put(client, "/noded/v1/identity-providers/corp/oidc", {"oidc": provider.settings})
        yield client


async def put(client: httpx.AsyncClient, path: str, body: dict[str, Any] | None = None) -> None:
    answer = await client.put(path, json=body)
    assert answer.is_success, answer.text


async def crew_with_a_project(client: httpx.AsyncClient) -> str:
    """The group `crew`, which reads the project `ship`; the project's id."""
    group = (await client.post(f"{V3}/groups", json={"group": {"name": "crew"}})).json()["group"]["id"]
    project = (await client.post(f"{V3}/projects", json={"project": {"name": "ship"}})).json()["project"]["id"]
    role = (await client.get(f"{V3}/roles", params={"name": "reader"})).json()["roles"][0]["id"]
    await put(client, f"{V3}/projects/{project}/groups/{group}/roles/{role}")
    return str(project)


def sign_in(base: str, provider: Provider, ca: Path, **scope: Any) -> dict[str, Any]:
    """What keystoneauth's `v3oidcpassword` gets."""
    plugin = OidcPassword(
        auth_url=f"{base}{V3}",
        identity_provider="corp",
        protocol="openid",
        client_id=oidc_provider.CLIENT_ID,
        client_secret=oidc_provider.CLIENT_SECRET,
        discovery_endpoint=f"{provider.issuer}/.well-known/openid-configuration",
        username=oidc_provider.USER,
        password=oidc_provider.PASSWORD,
        **scope,
    )
    access = plugin.get_access(Session(verify=str(ca)))
    told: dict[str, Any] = access._data["token"]
    return told | {"id": access.auth_token}


def bundle(directory: Path, provider: Provider) -> Path:
    """Both authorities: the cloud's and the provider's."""
    both = directory / "both.crt"
    both.write_bytes((directory / "ca.crt").read_bytes() + (provider.directory / "ca.crt").read_bytes())
    return both


async def test_ann_signs_in_at_her_employer(
    cloud: Cloud, admin: httpx.AsyncClient, provider: Provider, tmp_path: Path
) -> None:
    ship = await crew_with_a_project(admin)
    context, _ = api_certificate(tmp_path)
    ca = bundle(tmp_path, provider)
    async with serving(cloud, context) as base:

        async def token(**scope: Any) -> dict[str, Any]:
            return await trio.to_thread.run_sync(lambda: sign_in(base, provider, ca, **scope))

        unscoped = await token()
        domain = (await admin.get(f"{FEDERATION}/identity_providers/corp")).json()["identity_provider"]["domain_id"]
        assert (unscoped["user"]["name"], unscoped["methods"]) == ("Ann", ["openid"])
        assert unscoped["user"]["domain"]["id"] == domain
        assert unscoped["user"]["OS-FEDERATION"]["identity_provider"] == {"id": "corp"}
        assert len(unscoped["user"]["OS-FEDERATION"]["groups"]) == 1, "only `crew` is a group here"
        hers = await admin.get(f"{V3}/auth/projects", headers={"X-Auth-Token": unscoped["id"]})
        assert sorted(each["name"] for each in hers.json()["projects"]) == ["of Ann", "ship"]
        scoped = await token(project_id=ship)
        assert ([role["name"] for role in scoped["roles"]], scoped["methods"]) == (["reader"], ["token", "openid"])
        own = await token(project_name="of Ann", project_domain_id=domain)
        assert [role["name"] for role in own["roles"]] == ["member", "reader"]
        assert own["user"] == scoped["user"]
        users = (await admin.get(f"{V3}/users", params={"idp_id": "corp", "unique_id": "ann"})).json()["users"]
        protocols = [{"protocol_id": "openid", "unique_id": "ann"}]
        assert [(user["email"], user["federated"]) for user in users] == [
            ("ann@corp.test", [{"idp_id": "corp", "protocols": protocols}])
        ]
        revision = cloud.shared.cluster().view().revision
        await token()
        assert cloud.shared.cluster().view().revision == revision, "signing in again writes nothing"
        await admin.patch(f"{FEDERATION}/identity_providers/corp", json={"identity_provider": {"enabled": False}})
        own_token = {"X-Auth-Token": own["id"]}
        assert (await admin.get(f"{V3}/auth/projects", headers=own_token)).status_code == 401
        with pytest.raises(refused.Forbidden):
            await token()


async def test_the_provider_may_get_new_keys(cloud: Cloud, provider: Provider) -> None:
    settings, later_ms = OidcSettings(id="corp", **provider.settings), 0
    checker = OidcChecker(clock=lambda: now_ms() + later_ms)
    before = await provider.token()
    assert (await checker.claims([provider.issuer], settings, before))["sub"] == oidc_provider.USER
    provider.process.send_signal(signal.SIGHUP)
    later_ms = AGAIN_MS + 1
    with trio.fail_after(10):
        while True:  # until it has them
            with suppress(Unauthenticated):
                after = await provider.token()
                await checker.claims([provider.issuer], settings, after)
                if extract_compact(after.encode()).headers() != extract_compact(before.encode()).headers():
                    break
            later_ms += AGAIN_MS + 1
            await trio.sleep(0.01)
    with pytest.raises(Unauthenticated):
        await checker.claims([provider.issuer], settings, before)


async def test_tokens_of_strangers_open_nothing(
    cloud: Cloud, admin: httpx.AsyncClient, provider: Provider, tmp_path: Path
) -> None:
    context, _ = api_certificate(tmp_path)
    ca = bundle(tmp_path, provider)
    path = f"{FEDERATION}/identity_providers/corp/protocols/openid/auth"
    async with serving(cloud, context) as base, cloud.client() as anybody:
        plugin = OidcAccessToken(
            auth_url=f"{base}{V3}", identity_provider="corp", protocol="openid", access_token="made.up.here"
        )
        with pytest.raises(refused.Unauthorized):
            await trio.to_thread.run_sync(lambda: plugin.get_access(Session(verify=str(ca))))
        assert (await anybody.get(path)).status_code == 401
        assert (await anybody.get(path.replace("/corp/", "/none/"))).status_code == 404
        assert (await anybody.get(path.replace("/openid/", "/none/"))).status_code == 404
        assert (await admin.delete("/noded/v1/identity-providers/corp/oidc")).status_code == 204
        assert (await anybody.get(path, headers={"Authorization": "Bearer x"})).status_code == 401


async def test_settings_are_checked_and_the_secret_is_not_told(admin: httpx.AsyncClient) -> None:
    path = "/noded/v1/identity-providers/corp/oidc"
    for wrong in ({}, {"client_id": "x", "ca_pem": "no"}, {"audiences": ["a"], "always_ask": True}, {"foo": 1}):
        assert (await admin.put(path, json={"oidc": wrong})).status_code == 400, wrong
    told = await admin.put(path, json={"oidc": {"client_id": "c", "client_secret": "hush"}})
    assert (told.json()["oidc"]["has_client_secret"], "hush" in told.text) == (True, False)
    assert (await admin.put(path.replace("corp", "none"), json={"oidc": {"client_id": "c"}})).status_code == 404


async def test_an_administrator_says_beforehand_who_somebody_will_be(admin: httpx.AsyncClient) -> None:
    user = {
        "name": "Ben",
        "federated": [{"idp_id": "corp", "protocols": [{"protocol_id": "openid", "unique_id": "b"}]}],
    }
    made = await admin.post(f"{V3}/users", json={"user": user})
    assert made.status_code == 201, made.text
    found = await admin.get(f"{V3}/users", params={"protocol_id": "openid", "unique_id": "b"})
    assert [each["id"] for each in found.json()["users"]] == [made.json()["user"]["id"]]
    unknown = {**user, "federated": [{"idp_id": "none", "protocols": [{"protocol_id": "x", "unique_id": "b"}]}]}
    assert (await admin.post(f"{V3}/users", json={"user": unknown})).status_code == 400
