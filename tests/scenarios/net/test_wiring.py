"""A node's wiring over the twin of its machine: plugging, reporting, judging, and what it does when it can't."""

from dataclasses import dataclass

import msgspec
import pytest

import consensus.members
import net.networks
import net.ports
import net.security_groups
import net.wiring
from consensus.members.commands import AdmitNode
from consensus.proposals import LogCluster
from net.dataplane.model import Flow, bridge_name, tap_name
from net.host.simulated import SimulatedDataplane
from net.links import DataplaneFault, PortWiring
from net.networks.model import Network
from net.ports.commands import DeletePort, PortChange, UpdatePort
from net.ports.model import Port
from net.ports.views import port_status
from net.wiring.api import explain_port
from net.wiring.reconcile import Wiring, ports_reconciler
from noded.core.errors import NotFound, Unavailable
from noded.core.ids import NodeId, PortId
from noded.core.reconciler import Reconciler
from noded.core.service import PeerContext
from noded.core.store import View
from tests.twins.cluster import SharedCluster
from tests.unit.net.builders import NOW, network, port, subnet

HERE, THERE = NodeId("1" * 32), NodeId("2" * 32)
P1, P2, P3 = (PortId(f"{number:08x}-0000-4000-8000-000000000000") for number in (1, 2, 3))
SERVICES = tuple(
    module.SERVICE for module in (consensus.members, net.networks, net.ports, net.security_groups, net.wiring)
)


@dataclass
class Machine:
    """A node's half of the scenario."""

    dataplane: SimulatedDataplane
    wiring: Wiring
    reconciler: Reconciler


class Stage:
    """Two nodes; nothing on them yet."""

    def __init__(self) -> None:
        self.shared = SharedCluster(SERVICES, (HERE, THERE))
        self.machines: dict[str, Machine] = {}
        for node, drivers in sorted(self.shared.drivers.items()):
            cluster = self.shared.cluster(node)
            dataplane = SimulatedDataplane()
            wiring = Wiring(cluster, dataplane)
            drivers.add(PortWiring, wiring)
            self.machines[node] = Machine(dataplane, wiring, ports_reconciler(cluster, drivers))
        self.here = self.machines[HERE]
        self.there = self.machines[THERE]
        self.cluster = self.shared.cluster(HERE)

    async def settle(self) -> None:
        await self.shared.settle(*(machine.reconciler for machine in self.machines.values()))

    def port(self, port_id: PortId) -> Port:
        return self.cluster.view().need(Port, port_id)


def admit(node: NodeId, *addresses: str) -> AdmitNode:
    return AdmitNode(node_id=node, name=node[:4], addresses=addresses, fingerprint=node, release="1", now_ms=NOW)


@pytest.fixture
async def stage() -> Stage:
    made = Stage()
    await made.cluster.propose(admit(HERE, "10.0.0.1"), admit(THERE, "10.0.0.2"))
    await made.cluster.propose(network(), subnet(), port(P1, node_id=HERE), port(P2, node_id=THERE))
    return made


async def test_a_bound_port_becomes_active_when_its_node_carries_it(stage: Stage) -> None:
    assert port_status(stage.port(P1)) == "DOWN"
    await stage.settle()
    assert port_status(stage.port(P1)) == port_status(stage.port(P2)) == "ACTIVE"
    assert list(stage.here.dataplane.observed.taps) == [tap_name(P1)]
    (segment,) = stage.here.dataplane.observed.segments.values()
    assert segment.peers == {"10.0.0.2"}
    assert list(stage.here.dataplane.answers) == [segment.vni]


async def test_compute_gets_a_tap_before_anything_is_reconciled(stage: Stage) -> None:
    tap = await stage.here.wiring.plug(P1)
    assert (tap.name, tap.mtu) == (tap_name(P1), 1450)
    assert stage.here.dataplane.observed.rules_digest, "and its rules are in force"
    assert await stage.here.wiring.plug(P1) == tap, "doing it again changes nothing"
    await stage.here.wiring.unplug(P1)
    await stage.here.wiring.unplug(P1)
    assert stage.here.dataplane.observed.taps == {}


async def test_a_port_can_be_plugged_where_it_is_about_to_go(stage: Stage) -> None:
    await stage.settle()
    tap = await stage.here.wiring.plug(P2)
    await stage.settle()
    assert tap.name in stage.here.dataplane.observed.taps, "a pass leaves it there"
    assert stage.port(P2).node_id == THERE
    await stage.here.wiring.unplug(P2)
    await stage.settle()
    assert tap.name not in stage.here.dataplane.observed.taps


async def test_nothing_remains_of_a_deleted_port(stage: Stage) -> None:
    await stage.settle()
    await stage.cluster.propose(DeletePort(port_id=P1))
    await stage.settle()
    assert stage.here.dataplane.observed.taps == {}
    assert stage.here.dataplane.observed.segments == {}
    assert stage.here.dataplane.answers == {}
    (segment,) = stage.there.dataplane.observed.segments.values()
    assert segment.peers == frozenset()


async def test_connections_are_judged_once_for_each_change_of_the_rules(stage: Stage) -> None:
    await stage.settle()
    (zone,) = {vni + 1 for vni in stage.here.dataplane.observed.segments}
    stranger = Flow(zone=zone, protocol=6, source="10.1.0.99", destination="10.1.0.2", destination_port=22)
    member = Flow(zone=zone, protocol=6, source="10.1.0.3", destination="10.1.0.2", destination_port=22)
    stage.here.dataplane.tracked = [stranger, member]
    await stage.settle()
    assert stage.here.dataplane.tracked == [stranger, member], "the rules are what they were"
    await stage.cluster.propose(
        UpdatePort(port_id=P1, change=PortChange(allowed_address_pairs=()), now_ms=NOW), port("3" * 8, node_id=HERE)
    )
    await stage.settle()
    assert stage.here.dataplane.tracked == [member]


async def test_a_node_that_lacks_something_says_what(stage: Stage) -> None:
    stage.here.dataplane.missing = ("kernel module br_netfilter: security groups can't be enforced",)
    with pytest.raises(Unavailable, match="br_netfilter"):
        await stage.here.wiring.plug(P1)
    assert stage.here.dataplane.observed.taps == {}, "an unfiltered card is never handed out"


async def test_a_node_whose_address_nobody_knows_carries_no_network() -> None:
    stage = Stage()
    await stage.cluster.propose(network(), subnet(), port(P1, node_id=HERE))
    with pytest.raises(Unavailable, match="address"):
        await stage.here.wiring.plug(P1)


async def test_an_unknown_port_cannot_be_plugged(stage: Stage) -> None:
    with pytest.raises(NotFound):
        await stage.here.wiring.plug(PortId("nobody"))


async def test_any_node_explains_a_port(stage: Stage) -> None:
    context = PeerContext(cluster=stage.shared.cluster(THERE), drivers=stage.shared.drivers[THERE])
    before = await explain_port(context, P1)
    assert before["steps"] == ["BuildSegment", "SetForwarding", "LoadRules", "BuildTap"]
    await stage.settle()
    after = msgspec.convert(await explain_port(context, P1), dict[str, object])
    assert (after["steps"], after["why"]) == ([], "")
    assert after["observed"] == {
        "tap": True,
        "on_its_bridge": True,
        "network_complete": True,
        "other_nodes": ["10.0.0.2"],
        "known_ports_elsewhere": 1,
        "rules_in_force": True,
        "reported_up": True,
    }


async def test_one_network_that_cannot_be_built_keeps_no_other_from_being_carried(stage: Stage) -> None:
    await stage.cluster.propose(network("net-2"), port(P3, "net-2", node_id=HERE))
    stage.here.dataplane.strangers = {bridge_name(stage.cluster.view().need(Network, "net-2").vni)}
    with pytest.raises(DataplaneFault, match="noded did not make it"):
        await stage.here.reconciler.reconcile()
    assert port_status(stage.port(P1)) == "ACTIVE"
    assert port_status(stage.port(P3)) == "DOWN"
    assert (await stage.here.wiring.plug(P1)).name == tap_name(P1)
    with pytest.raises(Unavailable, match="noded did not make it"):
        await stage.here.wiring.plug(P3)


async def test_without_its_rules_no_tap_comes_to_be(stage: Stage) -> None:
    stage.here.dataplane.refuses_rules = True
    with pytest.raises(Unavailable, match="no memory"):
        await stage.here.wiring.plug(P1)
    assert stage.here.dataplane.observed.taps == {}
    assert port_status(stage.port(P1)) == "DOWN"


class Restarted:
    """The handle of a daemon that has just started: an old picture, until it asks for the newest one."""

    def __init__(self, behind: LogCluster, old: View) -> None:
        self._behind = behind
        self._old: View | None = old
        self.has_majority = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._behind, name)

    def view(self) -> View:
        return self._old or self._behind.view()

    async def fresh_view(self) -> View:
        if not self.has_majority:
            raise Unavailable("no majority")
        self._old = None
        return self._behind.view()


async def test_a_restarted_daemon_takes_nothing_away_before_it_knows_the_newest_state(stage: Stage) -> None:
    old = stage.cluster.view()
    await stage.cluster.propose(port(P3, node_id=HERE))
    await stage.settle()
    before = stage.here.dataplane.observed
    restarted = Restarted(stage.cluster, old)
    wiring = Wiring(restarted, stage.here.dataplane)
    with pytest.raises(Unavailable, match="no majority"):
        await wiring.make_so()
    assert stage.here.dataplane.observed == before
    restarted.has_majority = True
    await wiring.make_so()
    assert stage.here.dataplane.observed == before
