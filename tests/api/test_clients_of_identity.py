"""Identity for the clients that people have: every verb of the `openstack` command, the SDK, keystoneauth."""

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keystoneauth1.session
import openstack
import pytest
import trio
import yaml
from keystoneauth1.exceptions import Unauthorized
from keystoneauth1.identity.v3 import ApplicationCredential

from noded.services import SERVICES
from tests.acceptance.openstack_identity import lines, table, verb_of, verbs
from tests.house.source import ROOT
from tests.twins.cloud import ADMIN_PASSWORD, api_certificate, found_cloud, serving


@dataclass
class Served:
    """A cloud by HTTPS, and what its clients are told of it."""

    url: str
    ca: Path
    directory: Path

    def connect(self) -> Any:
        """`openstack.connect(cloud="noded")`, as people with a clouds.yaml do."""
        auth = {
            "auth_url": f"{self.url}/identity/v3", "username": "admin", "password": ADMIN_PASSWORD,
            "project_name": "admin", "user_domain_name": "Default", "project_domain_name": "Default",
        }  # fmt: skip
        cloud = {"auth": auth, "cacert": str(self.ca), "region_name": "RegionOne", "identity_api_version": "3"}
        file = self.directory / "clouds.yaml"
        file.write_text(yaml.safe_dump({"clouds": {"noded": cloud}}))
        return openstack.config.OpenStackConfig(config_files=[str(file)]).get_one("noded")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    context, ca = api_certificate(tmp_path)
    async with serving(await found_cloud(SERVICES), context) as url:
        yield Served(url, ca, tmp_path)


def test_the_conversation_says_every_verb_and_the_page_of_clients_tells_so() -> None:
    assert {verb_of(line) for line in lines()} == verbs()
    page = (ROOT / "docs" / "clients.md").read_text()
    assert table() in page, "write it anew: python -m tests.acceptance.openstack_identity --write-table"


async def test_every_identity_verb_of_the_openstack_command_works(served: Served) -> None:
    words = [sys.executable, "-m", "tests.acceptance.openstack_identity", "--url", served.url, "--ca", str(served.ca)]
    done = await trio.run_process(words, check=False, capture_stdout=True, stderr=subprocess.STDOUT, cwd=ROOT)
    assert done.returncode == 0, done.stdout.decode()


async def test_the_sdk_keeps_users_projects_and_roles(served: Served) -> None:
    await trio.to_thread.run_sync(_by_sdk, openstack.connection.Connection(config=served.connect()))


def _by_sdk(cloud: Any) -> None:
    identity = cloud.identity
    domain = identity.create_domain(name="north")
    project = identity.create_project(name="lab", domain_id=domain.id, tags=["warm"])
    user = identity.create_user(name="ann", domain_id=domain.id, password="secret-1")
    group = identity.create_group(name="crew", domain_id=domain.id)
    role = identity.find_role("member")
    identity.add_user_to_group(user, group)
    identity.assign_project_role_to_group(project, group, role)
    identity.assign_domain_role_to_user(domain, user, role)
    identity.assign_system_role_to_user(user, role, "all")
    assert identity.validate_group_has_project_role(project, group, role)
    held = list(identity.role_assignments(user_id=user.id, effective=True))
    assert {each.role["id"] for each in held} >= {role.id}
    assert [each.name for each in identity.group_users(group)] == ["ann"]
    assert [each.id for each in identity.user_projects(user)] == [project.id]
    assert [each.name for each in identity.projects(domain_id=domain.id, tags="warm")] == ["lab"]
    assert identity.update_user(user, email="a@example.org").email == "a@example.org"
    assert [each.name for each in identity.users(domain_id=domain.id)] == ["ann"]
    assert {"identity", "compute"} <= {each.type for each in identity.services()}
    assert next(iter(identity.regions())).id == "RegionOne"
    credential = identity.create_credential(user_id=user.id, type="cert", blob="x", project_id=project.id)
    assert identity.get_credential(credential).blob == "x"
    identity.unassign_system_role_from_user(user, role, "all")
    identity.remove_user_from_group(user, group)
    for delete, thing in (
        (identity.delete_credential, credential), (identity.delete_user, user), (identity.delete_group, group),
        (identity.delete_project, project),
    ):  # fmt: skip
        delete(thing, ignore_missing=False)
    identity.update_domain(domain, is_enabled=False)
    identity.delete_domain(domain, ignore_missing=False)
    assert identity.find_domain("north") is None


async def test_keystoneauth_signs_in_with_an_application_credential_and_no_longer_once_it_is_gone(
    served: Served,
) -> None:
    await trio.to_thread.run_sync(_by_application_credential, served)


def _by_application_credential(served: Served) -> None:
    admin = openstack.connection.Connection(config=served.connect())
    me = admin.current_user_id
    made = admin.identity.create_application_credential(me, "robot", roles=[{"name": "reader"}])
    assert made.secret

    def signed_in() -> Any:
        auth = ApplicationCredential(
            auth_url=f"{served.url}/identity/v3",
            application_credential_id=made.id,
            application_credential_secret=made.secret,
        )
        return keystoneauth1.session.Session(auth=auth, verify=str(served.ca))

    session = signed_in()
    projects = session.get("/auth/projects", endpoint_filter={"service_type": "identity"}).json()["projects"]
    assert [each["name"] for each in projects] == ["admin"]
    assert session.get_project_id() == admin.current_project_id
    users = session.get("/users", endpoint_filter={"service_type": "identity"}, raise_exc=False)
    assert users.status_code == 403, "it holds reader alone"
    admin.identity.delete_application_credential(me, made.id)
    with pytest.raises(Unauthorized):
        signed_in().get_token()
