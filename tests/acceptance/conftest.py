"""One cloud for all of these tests; each test has projects of its own on it, and leaves all hosts running."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.clients import Person, Tenant, administrator
from tests.guest.build import guest_image
from tests.lab.fixtures import cloud  # noqa: F401  # a fixture
from tests.lab.lab import Lab


@pytest.fixture(scope="session")
def admin(cloud: Lab) -> Person:  # noqa: F811  # pytest's way to ask for the fixture
    return administrator(cloud)


@pytest.fixture(scope="session")
def image_id(admin: Person) -> str:
    """The guest image, public."""
    images = admin.connect().image
    with guest_image().qcow2.open("rb") as content:
        made = images.create_image(
            "guest",
            data=content,
            disk_format="qcow2",
            container_format="bare",
            visibility="public",
            validate_checksum=False,
        )
    return str(made.id)


@pytest.fixture(scope="session")
def small(admin: Person) -> str:
    """A flavor in which the guest image boots: one CPU, 128 MiB, 1 GiB."""
    return str(admin.connect().compute.create_flavor(name="small", vcpus=1, ram=128, disk=1).id)


@pytest.fixture
def tenant(admin: Person, cloud: Lab, tmp_path: Path) -> Iterator[Tenant]:  # noqa: F811
    """A fresh project with one user, a key and a network; everything of it is deleted afterwards."""
    made = Tenant.make(admin, cloud, tmp_path)
    yield made
    mend(cloud)
    made.clear()


def mend(cloud: Lab) -> None:  # noqa: F811
    """All hosts on, all daemons running, all cables in."""
    cloud.heal()
    for host in cloud.hosts:
        if host.pid is None:
            host.start()
        elif host.daemon != "running":
            host.start_daemon()
    cloud.wait_ready()
