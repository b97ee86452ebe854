"""The cloud as its users reach it: openstacksdk and the `openstack` command, both as they come from PyPI."""

import base64
import os
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openstack

from tests.lab.lab import Lab

PATIENCE_S = 120.0
ANSWER_S_MAX = 60.0
AUTHORITY = "ca.crt"


def until(true: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for something that happens by itself; fail with `what` if it does not."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s: {what}"
        time.sleep(0.2)


@dataclass(frozen=True)
class Person:
    """Someone with a password and a project."""

    lab: Lab
    user: str
    password: str = field(repr=False)
    project: str

    @property
    def authority(self) -> str:
        return str(self.lab.plan.root / AUTHORITY)

    def tls(self) -> ssl.SSLContext:
        """Trust in the cluster's authority, and in nobody else."""
        return ssl.create_default_context(cafile=self.authority)

    def environment(self, host: int = 1) -> dict[str, str]:
        """What the `openstack` command wants to know."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("OS_")},
            "OS_AUTH_URL": f"{self.lab.host(host).url}/identity/v3",
            "OS_USERNAME": self.user,
            "OS_PASSWORD": self.password,
            "OS_PROJECT_NAME": self.project,
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_CACERT": self.authority,
            "OS_IDENTITY_API_VERSION": "3",
        }

    def openstack(self, *words: str, host: int = 1, check: bool = True) -> str:
        """Run the `openstack` command against one host; what it printed."""
        program = Path(sys.executable).with_name("openstack")
        done = subprocess.run(
            [program, *words], env=self.environment(host), text=True, capture_output=True, timeout=300, check=False
        )
        if check:
            assert done.returncode == 0, f"openstack {' '.join(words)}: {done.stderr}{done.stdout}"
        return done.stdout + ("" if done.returncode == 0 else done.stderr)

    def connect(self, host: int = 1) -> Any:
        """An SDK connection to one host; it waits a minute for an answer, and not for ever, when that loses power."""
        made = openstack.connection.Connection(
            auth={
                "auth_url": f"{self.lab.host(host).url}/identity/v3",
                "username": self.user,
                "password": self.password,
                "project_name": self.project,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
            cacert=self.authority,
            identity_api_version="3",
            region_name="RegionOne",
        )
        made.session.timeout = ANSWER_S_MAX
        return made


def administrator(lab: Lab) -> Person:
    """The cloud's first user, whose password lies on the node that founded it."""
    for host in lab.hosts:
        password = host.path("/var/lib/noded/admin-password")
        if password.exists():
            # A copy: hosts are switched off in these tests, and their files with them.
            authority = host.path("/var/lib/noded/tls/ca.crt").read_bytes()
            (lab.plan.root / AUTHORITY).write_bytes(authority)
            return Person(lab, "admin", password.read_text().strip(), "admin")
    raise AssertionError("no host has an admin-password file")


@dataclass
class Tenant:
    """A project with its own user, key and network, on which servers are made."""

    admin: Person
    person: Person
    lab: Lab
    key: Path
    network_id: str
    cloud: Any
    project_id: str
    user_id: str

    @classmethod
    def make(cls, admin: Person, lab: Lab, directory: Path, cidr: str = "10.1.0.0/24") -> "Tenant":
        name = f"t-{uuid.uuid4().hex[:8]}"
        operator = admin.connect()
        project = operator.identity.create_project(name=name, domain_id="default")
        user = operator.identity.create_user(name=name, password=name + "-secret", domain_id="default")
        role = operator.identity.find_role("member")
        operator.identity.assign_project_role_to_user(project.id, user.id, role.id)
        person = Person(lab, name, name + "-secret", name)
        cloud = person.connect()
        key = directory / f"key-{name}"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        cloud.compute.create_keypair(name="key", public_key=key.with_suffix(".pub").read_text().strip())
        network = cloud.network.create_network(name="net")
        cloud.network.create_subnet(name="subnet", network_id=network.id, ip_version=4, cidr=cidr)
        return cls(admin, person, lab, key, str(network.id), cloud, str(project.id), str(user.id))

    def allow(self, protocol: str, port: int | None = None) -> None:
        """Let everyone in, through the default security group."""
        group = next(iter(self.cloud.network.security_groups(name="default", project_id=self.project_id)))
        self.cloud.network.create_security_group_rule(
            security_group_id=group.id, direction="ingress", ethertype="IPv4", protocol=protocol,
            port_range_min=port, port_range_max=port,
        )  # fmt: skip

    def create(self, name: str, image: str, flavor: str, **more: Any) -> Any:
        """Ask for a server; does not wait. `user_data` is text, `address` a wanted fixed address, `via` a host."""
        cloud = self.person.connect(more.pop("via")) if "via" in more else self.cloud
        network = {"uuid": self.network_id}
        if address := more.pop("address", None):
            network["fixed_ip"] = address
        if text := more.pop("user_data", None):
            more["user_data"] = base64.b64encode(text.encode()).decode()
        return cloud.compute.create_server(
            name=name, image_id=image, flavor_id=flavor, networks=[network], key_name="key", **more
        )

    def active(self, server: Any, patience_s: float = PATIENCE_S) -> Any:
        """The server once it is ACTIVE."""
        return self.cloud.compute.wait_for_server(server, wait=patience_s, interval=0.3)

    def console(self, server: Any) -> str:
        """What the guest has written to its serial console."""
        return str(self.cloud.compute.get_server_console_output(server, length=None)["output"])

    def says(self, server: Any, words: str, patience_s: float = PATIENCE_S) -> str:
        """The console log once it holds `words`."""
        said = ""

        def heard() -> bool:
            nonlocal said
            said = self.console(server)
            return words in said

        try:
            until(heard, f"{server.name} says {words!r}", patience_s)
        except AssertionError as fault:
            raise AssertionError(f"{fault}\nits console ends with:\n{said[-3000:]}") from None
        return said

    def host_of(self, server: Any) -> Any:
        """The simulated host that runs the guest."""
        name = self.admin.connect().compute.get_server(server.id).compute_host
        return next(host for host in self.lab.hosts if host.name == name)

    def clear_servers(self) -> None:
        """Delete all servers of the project, and see them gone."""
        for server in list(self.cloud.compute.servers()):
            self.cloud.compute.delete_server(server)
        until(lambda: not list(self.cloud.compute.servers()), "all servers of the tenant are gone")

    def clear(self) -> None:
        """Delete everything of the project, and the project."""
        self.clear_servers()
        for port in list(self.cloud.network.ports(project_id=self.project_id)):
            self.cloud.network.delete_port(port)
        for network in list(self.cloud.network.networks(project_id=self.project_id)):
            for subnet in list(self.cloud.network.subnets(network_id=network.id)):
                self.cloud.network.delete_subnet(subnet)
            self.cloud.network.delete_network(network)
        for group in list(self.cloud.network.security_groups(project_id=self.project_id)):
            self.admin.connect().network.delete_security_group(group)
        operator = self.admin.connect()
        operator.identity.delete_user(self.user_id)
        operator.identity.delete_project(self.project_id)
