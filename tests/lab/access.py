"""How the machine's own clients get into the lab's cloud: the authority's certificate, the password, clouds.yaml."""

import dataclasses
import json
from pathlib import Path

from openstack.config import OpenStackConfig
from openstack.connection import Connection

from tests.lab.commands import LabError
from tests.lab.lab import Lab

CLOUD = "noded"
REGION = "RegionOne"
ADMIN = "admin"


@dataclasses.dataclass(frozen=True)
class Access:
    """Files that outlive the running lab; all of them for their owner alone."""

    clouds_file: Path
    password_file: Path
    authority_file: Path


def open_access(lab: Lab, clouds_file: Path) -> Access:
    """Copy what a client needs out of the running hosts, and write `clouds_file` for the openstack client."""
    access = Access(clouds_file, lab.plan.root / "admin-password", lab.plan.root / "ca.crt")
    _write(access.authority_file, lab.host(1).path("/var/lib/noded/tls/ca.crt").read_text())
    # Only the node that founded the cluster has the password; it made it up.
    for host in lab.hosts:
        path = host.path("/var/lib/noded/admin-password")
        if path.exists():
            _write(access.password_file, path.read_text())
    if not access.password_file.exists():
        raise LabError("no host has /var/lib/noded/admin-password; was this cloud founded?")
    clouds = {name: cloud(access, host_url) for name, host_url in _names(lab)}
    # JSON is YAML too, and needs no library to be written right.
    _write(clouds_file, json.dumps({"clouds": clouds}, indent=2) + "\n")
    return access


def connect(clouds_file: Path) -> Connection:
    """The unmodified client library, as administrator."""
    if not clouds_file.exists():
        raise LabError(f"there is no {clouds_file}; `make run` writes it when its cloud is ready")
    return Connection(config=OpenStackConfig(config_files=[str(clouds_file)]).get_one(CLOUD))


def cloud(access: Access, host_url: str) -> dict[str, object]:
    """The entry of clouds.yaml that reaches the cloud through one of its hosts."""
    return {
        "auth": {
            "auth_url": f"{host_url}/identity/v3",
            "username": ADMIN,
            "password": access.password_file.read_text().strip(),
            "project_name": ADMIN,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        "cacert": str(access.authority_file),
        "region_name": REGION,
    }


def _names(lab: Lab) -> list[tuple[str, str]]:
    """`noded` by way of the first host; `noded-host2` and so on by way of each."""
    return [(CLOUD, lab.host(1).url)] + [(f"{CLOUD}-{host.name}", host.url) for host in lab.hosts]


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
