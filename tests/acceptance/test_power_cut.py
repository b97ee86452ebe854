"""All hosts lose power while servers are being made: what was answered is there afterwards, and nothing is stuck."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.clients import Tenant, until
from tests.lab.lab import Lab

pytestmark = pytest.mark.root

COUNT = 20
RECOVERY_S_MAX = 120.0


def test_every_answered_creation_survives_the_loss_of_all_hosts(
    tenant: Tenant, cloud: Lab, image_id: str, small: str
) -> None:
    accepted: dict[str, str] = {}
    failed: list[str] = []
    begun = threading.Event()

    def make(number: int) -> None:
        try:
            server = tenant.create(f"s{number}", image_id, small, via=number % 3 + 1)
        except Exception as fault:
            failed.append(str(fault))
        else:
            accepted[server.id] = server.name
            if len(accepted) >= COUNT // 3:
                begun.set()

    with ThreadPoolExecutor(COUNT) as pool:
        for number in range(COUNT):
            pool.submit(make, number)
        assert begun.wait(60)
        for host in cloud.hosts:
            host.kill()
        # Whoever waits for an answer from before the cut waits in vain; the hosts need not wait for them.
        answered = dict(accepted)
        started = time.monotonic()
        for host in cloud.hosts:
            host.start()
        cloud.wait_ready()
    print(f"{len(answered)} creations answered before the cut, {len(failed)} cut off")
    tenant.cloud = tenant.person.connect()

    def settled() -> bool:
        states = {server.id: server.status for server in tenant.cloud.compute.servers(details=True)}
        assert accepted.keys() <= states.keys(), "an answered creation is lost"
        # One that was cut off may have been made or not; made, it must come up like any other.
        return all(state == "ACTIVE" for state in states.values())

    until(settled, "every server is ACTIVE", RECOVERY_S_MAX)
    print(f"all {len(accepted)} ACTIVE {time.monotonic() - started:.1f} s after the hosts were switched on")
