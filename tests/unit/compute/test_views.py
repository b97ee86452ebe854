"""Each microversion has its own keys: one too many breaks a strict client as surely as one too few."""

import pytest

from compute.flavors.model import Flavor
from compute.flavors.views import flavor_detail
from compute.servers.views import Reader, server_detail, server_updated
from consensus.store import Picture
from noded.core.ids import FlavorId
from tests.unit.compute.builders import server

BASE = {
    *("id", "name", "status", "tenant_id", "user_id", "metadata", "hostId", "image", "flavor", "created", "updated"),
    *("addresses", "accessIPv4", "accessIPv6", "links", "OS-DCF:diskConfig", "progress", "key_name", "config_drive"),
    *("OS-EXT-AZ:availability_zone", "OS-SRV-USG:launched_at", "OS-SRV-USG:terminated_at"),
    *("OS-EXT-STS:task_state", "OS-EXT-STS:vm_state", "OS-EXT-STS:power_state"),
    "os-extended-volumes:volumes_attached",
}
ADMIN = {f"OS-EXT-SRV-ATTR:{name}" for name in ("host", "hypervisor_hostname", "instance_name")}
MORE_ADMIN = {
    f"OS-EXT-SRV-ATTR:{name}"
    for name in (
        *("reservation_id", "launch_index", "kernel_id", "ramdisk_id", "root_device_name", "user_data", "hostname"),
    )
}
# What each microversion adds for everyone, and for administrators.
ADDED: dict[tuple[int, int], tuple[set[str], set[str]]] = {
    (2, 1): (BASE, ADMIN),
    (2, 3): (set(), MORE_ADMIN),
    (2, 9): ({"locked"}, set()),
    (2, 16): (set(), {"host_status"}),
    (2, 19): ({"description"}, set()),
    (2, 26): ({"tags"}, set()),
    (2, 63): ({"trusted_image_certificates"}, set()),
    (2, 71): ({"server_groups"}, set()),
    (2, 73): ({"locked_reason"}, set()),
    (2, 90): ({"OS-EXT-SRV-ATTR:hostname"}, set()),
    (2, 96): ({"pinned_availability_zone"}, set()),
}


def reader(version: tuple[int, int], *, is_admin: bool = False) -> Reader:
    return Reader(view=Picture.empty(), base_url="https://c", version=version, is_admin=is_admin, reachable=frozenset())


@pytest.mark.parametrize("version", sorted(ADDED))
@pytest.mark.parametrize("is_admin", [False, True])
def test_a_server_has_the_keys_of_its_microversion(version: tuple[int, int], is_admin: bool) -> None:
    expected: set[str] = set()
    for since, (for_all, for_admins) in ADDED.items():
        if version >= since:
            expected |= for_all | (for_admins if is_admin else set())
    assert set(server_detail(server(), reader(version, is_admin=is_admin))) == expected


def test_lists_leave_out_the_server_groups() -> None:
    assert "server_groups" not in server_detail(server(), reader((2, 96)), listed=True)


def test_an_embedded_flavor_has_no_id() -> None:
    old = server_detail(server(), reader((2, 46)))["flavor"]
    new = server_detail(server(), reader((2, 47)))["flavor"]
    assert isinstance(old, dict)
    assert isinstance(new, dict)
    assert set(old) == {"id", "links"}
    assert set(new) == {"original_name", "vcpus", "ram", "disk", "ephemeral", "swap", "extra_specs"}


def test_an_update_answers_with_everything_from_2_75_on() -> None:
    assert "OS-EXT-STS:vm_state" not in server_updated(server(), reader((2, 74)))
    assert set(server_updated(server(), reader((2, 75)))) == set(server_detail(server(), reader((2, 75))))


@pytest.mark.parametrize(
    ("version", "swap", "keys"),
    [((2, 1), "", set()), ((2, 55), "", {"description"}), ((2, 61), "", {"extra_specs"}), ((2, 75), 0, set())],
)
def test_a_flavor_has_the_keys_of_its_microversion(version: tuple[int, int], swap: object, keys: set[str]) -> None:
    flavor = Flavor(id=FlavorId("1"), name="f", vcpus=1, memory_mib=1, root_gib=1)
    body = flavor_detail(flavor, "https://c", version)
    assert body["swap"] == swap
    assert keys <= set(body)
    assert ("description" in body, "extra_specs" in body) == (version >= (2, 55), version >= (2, 61))
