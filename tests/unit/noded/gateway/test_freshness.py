"""A node that is a moment behind serves what another node has acknowledged."""

import httpx

from consensus.clocks.model import ClockSight
from consensus.proposals import LogCluster
from noded.core.errors import Unavailable
from noded.core.reconciler import Drivers
from noded.core.store import View
from noded.gateway.app import Gateway
from noded.gateway.catalog import Catalog
from noded.gateway.freshness import freshest_view
from noded.identity.host.argon2 import Argon2Passwords
from noded.identity.host.drivers import add_identity_drivers
from noded.policy.model import Policies
from tests.twins.cloud import BASE, IDENTITY_SERVICES, Cloud, found_cloud


class Laggard(LogCluster):
    """A handle that stays at one picture until it is asked for what was acknowledged."""

    behind: View | None = None
    reachable_majority = True

    def view(self) -> View:
        return self.behind or super().view()

    async def fresh_view(self) -> View:
        if not self.reachable_majority:
            raise Unavailable("no majority")
        self.behind = None
        return self.view()


def lagging(cloud: Cloud) -> tuple[Laggard, httpx.AsyncClient]:
    """A node that falls behind now, and a client of it."""
    handle = cloud.shared.cluster("node3")
    handle.__class__ = Laggard
    assert isinstance(handle, Laggard)
    drivers = Drivers()
    add_identity_drivers(drivers, Argon2Passwords(memory_kib=8, passes=1))
    drivers.add(ClockSight, ClockSight())
    drivers.add(Catalog, Catalog(IDENTITY_SERVICES))
    drivers.add(Policies, Policies(IDENTITY_SERVICES))
    gateway = Gateway(IDENTITY_SERVICES, handle, drivers)
    handle.behind = handle.view()
    return handle, httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url=BASE)


async def test_who_was_made_through_another_node_can_sign_in_here() -> None:
    cloud = await found_cloud()
    _, here = lagging(cloud)
    async with here, cloud.client("node1") as there:
        await cloud.token_with(there, "member")
        signed_in = await cloud.sign_in(here, "only-member", "only-member", "only-member")
    assert signed_in.status_code == 201


async def test_a_token_of_who_was_made_through_another_node_is_good_here() -> None:
    cloud = await found_cloud()
    _, here = lagging(cloud)
    async with here, cloud.client("node1") as there:
        token = await cloud.token_with(there, "member")
        answer = await here.get("/identity/v3/auth/projects", headers=token)
    assert [project["name"] for project in answer.json()["projects"]] == ["only-member"]


async def test_without_a_majority_what_is_known_here_counts() -> None:
    cloud = await found_cloud()
    handle, here = lagging(cloud)
    handle.reachable_majority = False
    assert await freshest_view(handle) is handle.behind
    async with here:
        assert (await cloud.sign_in(here)).status_code == 201
