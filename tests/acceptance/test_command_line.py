"""Everything that a newcomer types works, against any of the three hosts, with the client as it comes from PyPI."""

import json
from pathlib import Path

import pytest

from tests.acceptance.clients import Tenant
from tests.guest.build import guest_image

pytestmark = pytest.mark.root


def test_a_newcomer_works_through_the_openstack_command(tenant: Tenant, small: str, tmp_path: Path) -> None:
    person = tenant.person
    assert json.loads(person.openstack("token", "issue", "-f", "json", host=1))["project_id"] == tenant.project_id
    catalog = json.loads(person.openstack("catalog", "list", "-f", "json", host=2))
    assert {"identity", "compute", "image", "network"} <= {entry["Type"] for entry in catalog}
    assert tenant.lab.host(2).address in json.dumps(catalog), "the catalogue names the address that was asked"

    file = str(guest_image().qcow2)
    image = json.loads(
        person.openstack("image", "create", "mine", "--disk-format", "qcow2", "--file", file, "-f", "json", host=3)
    )
    assert image["status"] == "active"
    assert "mine" in person.openstack("image", "list", host=1)
    copy = tmp_path / "copy.qcow2"
    person.openstack("image", "save", "mine", "--file", str(copy), host=2)
    assert copy.read_bytes() == Path(file).read_bytes()

    person.openstack("network", "create", "second", host=2)
    person.openstack("subnet", "create", "second-v4", "--network", "second", "--subnet-range", "10.2.0.0/24", host=3)
    assert "small" in person.openstack("flavor", "list", host=1)
    person.openstack("keypair", "create", "other", "--public-key", str(tenant.key.with_suffix(".pub")), host=2)

    made = json.loads(
        person.openstack(
            "server", "create", "--wait", "--image", "mine", "--flavor", small, "--network", "second",
            "--key-name", "other", "typed", "-f", "json", host=3,
        )
    )  # fmt: skip
    assert made["status"] == "ACTIVE"
    assert "typed" in person.openstack("server", "list", host=1)
    shown = json.loads(person.openstack("server", "show", "typed", "-f", "json", host=2))
    assert "10.2.0." in json.dumps(shown["addresses"])
    server = tenant.cloud.compute.find_server("typed")
    tenant.says(server, "=== guest: ready")
    assert "=== guest: ready" in person.openstack("console", "log", "show", "typed", host=1)

    person.openstack("server", "stop", "typed", host=2)
    tenant.cloud.compute.wait_for_server(server, status="SHUTOFF", interval=0.3)
    person.openstack("server", "start", "typed", host=3)
    tenant.active(server)
    person.openstack("server", "reboot", "--wait", "typed", host=1)
    person.openstack("server", "reboot", "--hard", "--wait", "typed", host=2)
    person.openstack("server", "delete", "--wait", "typed", host=3)
    assert "typed" not in person.openstack("server", "list", host=1)
    person.openstack("image", "delete", "mine", host=2)
    assert "mine" not in person.openstack("image", "list", "--private", host=3)
