"""Who is up, as services and operators are told: rounds over peer calls, verdicts in the log, answers of the API."""

from dataclasses import dataclass, field

import msgspec
import pytest
import trio
from trio.testing import MockClock

from consensus import liveness
from consensus.clocks.model import ClockSight
from consensus.disks.links import LogEnd
from consensus.host.watch import LogWatch
from consensus.liveness.damping import HOLD_S, SETTLE_S
from consensus.liveness.links import Rounds, Watch
from consensus.liveness.model import NodeVerdict, State
from consensus.liveness.reconcile import PulseReconciler, VerdictsReconciler
from consensus.members import SERVICE as MEMBERS
from noded import inspection
from noded.core.errors import NotFound
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from noded.core.service import PeerContext
from noded.gateway.app import Gateway
from noded.gateway.catalog import Catalog
from noded.identity.host.argon2 import Argon2Passwords
from noded.identity.host.drivers import add_identity_drivers
from noded.inspection.links import Registry, VitalsReader
from noded.inspection.model import Space, StoreDigest, Vitals
from noded.policy.model import Policies
from noded.reconcile.loop import keep_reconciling
from tests.scenarios.test_members import IDS, PollingStation, admission, founding
from tests.twins.cloud import IDENTITY_SERVICES, Cloud, found_cloud
from tests.twins.cluster import SharedCluster

A, B, C = IDS[:3]
SERVICES = (*IDENTITY_SERVICES, MEMBERS, liveness.SERVICE, inspection.SERVICE)
LASTING_S = HOLD_S + SETTLE_S + 12
SPACE = Space(total_bytes=100, used_bytes=1)


class Figures:
    """Implements `VitalsReader` and `Registry`."""

    services = SERVICES

    def read(self) -> Vitals:
        return Vitals(cpus=1, cpu_percent=0.0, load_1min=0.0, memory=SPACE, disks={"/d": SPACE}, uptime_s=1.0)

    def digest(self) -> StoreDigest:
        raise AssertionError("nobody asks for it here")


@dataclass
class Town:
    """Three voters with a real watch each; who is off runs no rounds."""

    cloud: Cloud
    shared: SharedCluster
    watches: dict[NodeId, LogWatch] = field(default_factory=dict)

    async def live(self, seconds: float) -> None:
        """Let everybody that is up live through that time."""
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for node_id in sorted(self.shared.up):
                    cluster, drivers = self.shared.cluster(node_id), self.shared.drivers[node_id]
                    for make in (PulseReconciler, VerdictsReconciler):
                        nursery.start_soon(keep_reconciling, make(cluster, drivers), cluster)

    def states(self, by: NodeId) -> list[State]:
        sights = self.watches[by].sights()
        return [sights[each].state for each in (A, B, C)]

    def verdicts(self) -> list[str]:
        return [verdict.id for verdict in self.shared.machine.picture.all(NodeVerdict)]


@pytest.fixture
async def town() -> Town:
    cloud = await found_cloud(SERVICES, (A, B, C))
    town = Town(cloud, cloud.shared)
    await town.shared.cluster(A).propose(founding(), admission(1), admission(2))
    for node_id in (A, B, C):
        drivers = town.shared.drivers[node_id] = Drivers()
        watch = LogWatch(town.shared.cluster(node_id), PollingStation({A, B, C}))
        figures, end = Figures(), town.shared.ends[node_id]
        for protocol, driver in (
            (Watch, watch),
            (Rounds, watch),
            (VitalsReader, figures),
            (Registry, figures),
            (LogEnd, end),
            (ClockSight, ClockSight()),
        ):
            drivers.add(protocol, driver)
        add_identity_drivers(drivers, Argon2Passwords(memory_kib=8, passes=1))
        drivers.add(Catalog, Catalog(SERVICES))
        drivers.add(Policies, Policies(SERVICES))
        town.watches[node_id] = watch
        cloud.gateways[node_id] = Gateway(SERVICES, town.shared.cluster(node_id), drivers)
    await town.live(5)
    return town


async def test_a_node_that_dies_is_declared_down_once_and_taken_back_when_it_returns(
    town: Town, autojump_clock: MockClock
) -> None:
    assert town.states(A) == [State.UP] * 3
    before = town.shared.machine.picture.revision
    await town.live(30)
    assert town.shared.machine.picture.revision == before, "no heartbeat is in the log"
    town.shared.up = {A, B}
    await town.live(2)
    assert town.states(A) == [State.UP, State.UP, State.SUSPECT]
    assert town.verdicts() == []
    assert C not in town.watches[A].usable()
    await town.live(LASTING_S)
    assert town.states(A) == town.states(B) == [State.UP, State.UP, State.DOWN]
    assert town.verdicts() == [C]
    assert town.shared.machine.picture.revision == before + 1
    town.shared.up = {A, B, C}
    await town.live(LASTING_S)
    assert town.states(A) == [State.UP] * 3
    assert town.verdicts() == []
    assert town.shared.machine.picture.revision == before + 2


async def test_a_node_that_blinks_and_a_daemon_that_restarts_leave_the_log_alone(
    town: Town, autojump_clock: MockClock
) -> None:
    before = town.shared.machine.picture.revision
    for _ in range(10):
        town.shared.up = {A, B}
        await town.live(HOLD_S - 2)
        town.shared.up = {A, B, C}
        await town.live(3)
    assert town.shared.machine.picture.revision == before
    sight = town.watches[A].sights()[C]
    assert sight.state is State.SUSPECT
    assert sight.flaps > 5
    assert sight.steady_s > 30
    await town.live(2 * 60)
    assert town.states(A) == [State.UP] * 3


async def test_the_verdict_outlives_the_watch_that_gave_it(town: Town, autojump_clock: MockClock) -> None:
    town.shared.up = {A, B}
    await town.live(LASTING_S)
    [verdict] = town.shared.machine.picture.all(NodeVerdict)
    await trio.sleep(3600)
    again = Drivers()
    watch = LogWatch(town.shared.cluster(A), PollingStation({A, B, C}))
    again.add(Watch, watch)
    again.add(Rounds, watch)
    town.shared.drivers[A], town.watches[A] = again, watch
    await town.live(LASTING_S)
    assert watch.sights()[C].since_ms == verdict.down_since_ms
    assert town.verdicts() == [C]


async def test_the_api_tells_who_is_up_seen_by_whom_and_what_this_node_may_do(
    town: Town, autojump_clock: MockClock
) -> None:
    town.shared.alone = {C}
    await town.live(LASTING_S)
    async with town.cloud.client(A) as client, town.cloud.client(C) as cut_off:
        admin = await town.cloud.admin(client)
        told = (await client.get("/noded/v1/liveness", headers=admin)).json()
        assert [(each["name"], each["state"]) for each in told["nodes"]] == [("n0", "up"), ("n1", "up"), ("n2", "down")]
        assert told["nodes"][2]["missed_by"] == ["n0", "n1"]
        assert told["nodes"][0]["seen_by"] == ["n1"]
        assert told["nodes"][2]["declared_down_at"] is not None
        assert told["outlook"]["has_majority"] is True
        own = (await cut_off.get("/noded/v1/outlook", headers=admin)).json()["outlook"]
        assert (own["has_majority"], own["voters"], own["voters_seen"], own["node"]) == (False, 3, 1, C)
        assert [each["name"] for each in own["lost"]] == ["n0", "n1"]
        assert own["minority_since"] is not None
        status = (await cut_off.get("/noded/v1/status", headers=admin)).json()
        assert [node["state"] for node in status["nodes"]] == ["suspect", "suspect", "up"]
        assert [node["vitals"] is None for node in status["nodes"]] == [True, True, False]
        member = await town.cloud.token_with(client, "member")
        assert (await client.get("/noded/v1/liveness", headers=member)).status_code == 403
        assert (await client.get("/noded/v1/outlook", headers=member)).status_code == 200


async def test_a_node_is_explained_by_its_name_or_its_id(town: Town, autojump_clock: MockClock) -> None:
    town.shared.up = {A, B}
    await town.live(LASTING_S)
    context = PeerContext(cluster=town.shared.cluster(A), drivers=town.shared.drivers[A])
    explain = liveness.SERVICE.explain["node"]
    by_name, by_id = await explain(context, "n2"), await explain(context, C)
    assert by_name == by_id
    said = msgspec.json.encode(by_name).decode()
    assert '"state":"down"' in said
    assert '"missed_by":["n0","n1"]' in said
    assert "suspect, not heard by n0" in said
    with pytest.raises(NotFound, match="No node with id or name nobody"):
        await explain(context, "nobody")
