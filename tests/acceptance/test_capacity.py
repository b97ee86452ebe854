"""Many at once get different addresses and never more memory than there is; who does not fit is told why, per host."""

import concurrent.futures

import openstack
import pytest

from tests.acceptance.clients import Person, Tenant, until

pytestmark = pytest.mark.root

COUNT = 20
SEEN_S_MAX = 5.0  # on a busy machine


def test_twenty_at_once_share_out_addresses_and_memory_and_the_next_is_told_why(
    tenant: Tenant, admin: Person, image_id: str
) -> None:
    operator = admin.connect()
    operator.compute.default_microversion = "2.79"  # the last ones that tell a hypervisor's memory are below 2.88
    hypervisors = list(operator.compute.hypervisors(details=True))
    room = sum(each.memory_size - each.memory_used for each in hypervisors)
    # So large that 20 fit and not one more, whatever the hosts have.
    ram = next(
        ram
        for ram in range(room // COUNT, 0, -1)
        if sum((each.memory_size - each.memory_used) // ram for each in hypervisors) >= COUNT
    )
    tight = operator.compute.create_flavor(name="tight", vcpus=1, ram=ram, disk=1)
    try:
        with concurrent.futures.ThreadPoolExecutor(COUNT) as pool:
            made = list(
                pool.map(
                    lambda number: tenant.create(f"s{number}", image_id, tight.id, via=number % 3 + 1), range(COUNT)
                )
            )
        # What the other nodes took may reach the one that is asked a moment later.
        until(lambda: len(list(tenant.cloud.compute.servers())) >= COUNT, "one node tells of all servers", SEEN_S_MAX)
        servers = list(tenant.cloud.compute.servers(details=True))
        addresses = {each["addr"] for server in servers for each in server.addresses["net"]}
        assert len(servers) == len(addresses) == len(made) == COUNT
        for each in operator.compute.hypervisors(details=True):
            assert each.memory_used <= each.memory_size
        fill_up(tenant, image_id, str(tight.id))
    finally:
        tenant.clear_servers()
        operator.compute.delete_flavor(tight)


def fill_up(tenant: Tenant, image_id: str, flavor: str) -> None:
    """Create one by one until one is refused: it must be the first that does not fit, and say why."""

    def create_some() -> None:
        for number in range(3):
            tenant.create(f"more{number}", image_id, flavor)

    with pytest.raises(openstack.exceptions.HttpException) as refused:
        create_some()
    said = str(refused.value)
    print(said)
    assert "MiB" in said
    assert [host.name for host in tenant.lab.hosts if host.name not in said] == []
