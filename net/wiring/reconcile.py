"""Makes this machine carry the ports bound to its node: observe, plan, act, answer guests, report. Also on demand.

`Wiring` is what compute calls before it starts a guest; the reconciler runs the very same pass when records change.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog
import trio

from consensus.members.model import Node
from net.dataplane.desired import Desired, desired
from net.dataplane.filters import forbidden
from net.dataplane.model import EndFlows, Observed, RemoveTap, Step, tap_name
from net.dataplane.plan import everything_of, plan, plugged_ports
from net.links import Dataplane, DataplaneFault, PortWiring, Tap
from net.networks.commands import need_network
from net.networks.model import Network, Subnet
from net.ports.commands import ReportPorts, need_port
from net.ports.model import Port
from net.security_groups.model import SecurityGroupRule, SecurityGroupUse
from noded.core.cluster import Cluster
from noded.core.errors import Unavailable
from noded.core.ids import PortId
from noded.core.reconciler import Drivers
from noded.core.record import Record
from noded.core.store import View

log = structlog.get_logger(__name__)

PERIOD_S = 30.0


class Wiring:
    """Implements `PortWiring`. One pass at a time, whoever asks for it."""

    def __init__(self, cluster: Cluster, dataplane: Dataplane) -> None:
        self._cluster = cluster
        self._dataplane = dataplane
        self._lock = trio.Lock()
        self._caught_up = False
        self._judged = ""  # the rules by which running connections were judged last

    async def plug(self, port_id: PortId) -> Tap:
        """Make sure that the port's tap, network and rules are here."""
        view = self._cluster.view()
        network = need_network(view, need_port(view, port_id).network_id)
        try:
            outcome = await self._pass(also=(port_id,))
        except DataplaneFault as fault:  # the machine can't even be looked at
            raise Unavailable(f"Port {port_id} can't be carried by this node: {fault}") from fault
        if port_id not in outcome.carried:
            raise Unavailable(f"Port {port_id} can't be carried by this node: {outcome.fault}") from outcome.fault
        return Tap(name=tap_name(port_id), mtu=network.mtu)

    async def unplug(self, port_id: PortId) -> None:
        """Take the port's tap away."""
        async with self._lock:
            await self._dataplane.act([RemoveTap(tap_name(port_id))])

    async def make_so(self) -> None:
        """One pass. Raises `DataplaneFault` after all that could be done was done."""
        outcome = await self._pass()
        if outcome.fault is not None:
            raise outcome.fault

    async def _pass(self, also: Collection[PortId] = ()) -> "_Outcome":
        """`also`: ports that get a tap here although they are not bound here, or not yet."""
        async with self._lock:
            self._check_machine()
            await self._catch_up()
            observed = await self._dataplane.observe()
            view = self._cluster.view()
            wanted = desired(view, self._cluster.node_id, {*plugged_ports(observed), *also})
            if wanted.segments and not wanted.address:
                raise Unavailable("This node has no IPv4 address that other nodes know: it can't carry networks.")
            outcome = await self._act(wanted, plan(view, wanted, observed))
            await self._judge_connections(wanted)
            await self._dataplane.answer(
                {vni: wanted.answers[vni] for vni in sorted(outcome.networks)}, wanted.segments
            )
        await self._report(view, outcome.carried.intersection(wanted.ports))
        return outcome

    async def _act(self, wanted: Desired, steps: Sequence[Step]) -> "_Outcome":
        """Take the steps. One network that can't be built keeps no other from being carried."""
        if steps:
            log.info("network changes", steps=[type(step).__name__ for step in steps])
        try:
            await self._dataplane.act(steps)
        except DataplaneFault as fault:
            return _outcome(wanted, await self._dataplane.observe(), fault)
        return _outcome(wanted, everything_of(wanted), None)

    async def look(self) -> tuple[Desired, Observed, list[Step]]:
        """What is wanted of this machine, what is there, and which steps are still to be taken. Changes nothing."""
        observed = await self._dataplane.observe()
        view = self._cluster.view()
        wanted = desired(view, self._cluster.node_id, plugged_ports(observed))
        return wanted, observed, plan(view, wanted, observed)

    def lacks(self) -> tuple[str, ...]:
        """What this machine lacks for networks."""
        return self._dataplane.lacks()

    async def _catch_up(self) -> None:
        """Once, before the first act: a daemon that starts may still know an older state than its machine carries.

        To act on that would take rules and entries away from guests that run.
        """
        if not self._caught_up:
            await self._cluster.fresh_view()
            self._caught_up = True

    def _check_machine(self) -> None:
        lacks = self._dataplane.lacks()
        if lacks:
            raise Unavailable(f"This node can't carry networks. It lacks {'; '.join(lacks)}.")

    async def _judge_connections(self, wanted: Desired) -> None:
        """End what is running and no longer allowed: rules alone would let established connections go on."""
        if self._judged == wanted.rules.digest:
            return
        for zone in sorted(wanted.filter.zones.values()):
            ended = forbidden(wanted.filter, await self._dataplane.flows(zone))
            if ended:
                log.info("connections no longer allowed", zone=zone, count=len(ended))
                await self._dataplane.act([EndFlows(ended)])
        self._judged = wanted.rules.digest

    async def _report(self, view: View, carried: Collection[PortId]) -> None:
        news = tuple(port_id for port_id in sorted(carried) if not view.need(Port, port_id).up)
        if news:
            await self._cluster.propose(ReportPorts(node_id=self._cluster.node_id, up=news))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a pass led to."""

    networks: frozenset[int]  # the VNIs of those that are whole
    carried: frozenset[PortId]  # ports with a tap on its bridge, and the rules in force
    fault: DataplaneFault | None


def _outcome(wanted: Desired, observed: Observed, fault: DataplaneFault | None) -> _Outcome:
    networks = frozenset(wanted.segments.keys() & observed.segments.keys()) - observed.incomplete
    filtered = observed.rules_digest == wanted.rules.digest
    carried = frozenset(
        PortId(tap.mark.record_id)
        for name, tap in wanted.taps.items()
        if filtered and tap.vni in networks and name in observed.taps and observed.taps[name].vni == tap.vni
    )
    return _Outcome(networks, carried, fault)


class PortsReconciler:
    """Runs the pass when a record that it reads has changed."""

    name = "ports"
    watches: tuple[type[Record], ...] = (Port, Network, Subnet, SecurityGroupRule, SecurityGroupUse, Node)
    period_s = PERIOD_S

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def reconcile(self) -> None:
        """One pass."""
        await self._wiring.make_so()


def ports_reconciler(cluster: Cluster, drivers: Drivers) -> PortsReconciler:  # noqa: ARG001  # a factory's arguments
    """The reconciler of this node."""
    return PortsReconciler(wiring_of(drivers))


def wiring_of(drivers: Drivers) -> Wiring:
    """This node's wiring: what compute knows as `PortWiring`, with all that it can."""
    wiring = drivers.get(PortWiring)
    assert isinstance(wiring, Wiring), "the daemon registers it"
    return wiring
