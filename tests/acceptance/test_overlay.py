"""Guests of one network meet across hosts; guests of another network with the same addresses are not there for them."""

from pathlib import Path

import pytest

from tests.acceptance.clients import Person, Tenant
from tests.lab.lab import Lab

pytestmark = pytest.mark.root

# The guest becomes a client: it has the project's key and tries to reach one address until it is let in.
CLIENT = """#!/bin/sh
umask 077
cat > /root/key <<'KEY'
{key}KEY
dropbearconvert openssh dropbear /root/key /root/id
(
tries=0
while [ $tries -lt {tries} ]; do
    tries=$((tries + 1))
    name=$(timeout 10 ssh -y -y -i /root/id guest@{address} hostname 2>/dev/null) && break
    sleep 1
done
echo "=== login to {address}: ${{name:-nobody answered}}" > /dev/console
) &
"""


def client(tenant: Tenant, address: str, tries: int = 90) -> str:
    return CLIENT.format(key=tenant.key.read_text(), address=address, tries=tries)


def test_guests_on_two_hosts_log_in_to_each_other_and_a_stranger_reaches_neither(
    tenant: Tenant, admin: Person, cloud: Lab, image_id: str, small: str, tmp_path: Path
) -> None:
    tenant.allow("tcp", 22)
    stranger = Tenant.make(admin, cloud, tmp_path)
    try:
        one = tenant.create("one", image_id, small, address="10.1.0.11", user_data=client(tenant, "10.1.0.12"))
        # Guests spread over hosts by themselves while there is room; the test needs two different ones.
        two = tenant.create("two", image_id, small, address="10.1.0.12", user_data=client(tenant, "10.1.0.11"))
        stranger_guest = stranger.create(
            "stranger", image_id, small, address="10.1.0.13",
            user_data=client(stranger, "10.1.0.11", tries=6) + client(stranger, "10.1.0.12", tries=6).split("\n", 1)[1],
        )  # fmt: skip
        for server in (one, two):
            tenant.active(server)
        stranger.active(stranger_guest)
        assert tenant.host_of(one).name != tenant.host_of(two).name
        said = tenant.says(one, "=== login to 10.1.0.12: two")
        assert "hostname one keys 1" in said
        assert "10.1.0.11" in said
        tenant.says(two, "=== login to 10.1.0.11: one")
        stranger.says(stranger_guest, "=== login to 10.1.0.11: nobody answered")
        stranger.says(stranger_guest, "=== login to 10.1.0.12: nobody answered")
    finally:
        stranger.clear()
