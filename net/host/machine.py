"""The real dataplane: this machine's links, filter, connections and services, behind one protocol."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import structlog
import trio
from pyroute2.netlink.exceptions import NetlinkError

from net.dataplane.model import (
    Answers,
    BuildSegment,
    BuildTap,
    EndFlows,
    Flow,
    LoadRules,
    Observed,
    RemoveSegment,
    RemoveTap,
    Segment,
    SetForwarding,
    Step,
)
from net.host import conntrack, features
from net.host.netlink import LinkTable, Writer, observe_links
from net.host.nftables import Nftables
from net.host.services import GuestFacts, Services
from net.links import DataplaneFault
from noded.core.cluster import Cluster
from noded.core.reconciler import Drivers

T = TypeVar("T")

log = structlog.get_logger(__name__)


class MachineDataplane:
    """Implements `Dataplane`. Netlink and nftables block, so they run in a thread: one at a time, in their order."""

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._services = Services(GuestFacts(cluster, drivers))
        self._one_at_a_time = trio.CapacityLimiter(1)
        self._nftables: Nftables | None = None
        self._lacks: tuple[str, ...] = ()

    async def run(self) -> None:
        """Look at the machine, then serve DHCP and metadata for ever."""
        await features.load_modules()
        self._lacks = features.missing()
        for lack in self._lacks:
            log.warning("this node can't do all that networks need", missing=lack)
        await self._services.run()

    def lacks(self) -> tuple[str, ...]:
        """What is missing here."""
        return self._lacks

    async def observe(self) -> Observed:
        """What of ours is on the machine now."""
        return await self._in_thread(self._observe)

    def _observe(self) -> Observed:
        segments, incomplete, taps = observe_links(LinkTable())
        return Observed(segments=segments, incomplete=incomplete, taps=taps, rules_digest=self._nft().digest())

    async def act(self, steps: Sequence[Step]) -> None:
        """Carry out all steps that can be, in their order."""
        await self._in_thread(lambda: self._act(steps))

    def _act(self, steps: Sequence[Step]) -> None:
        faults = []
        with Writer() as writer:
            for step in steps:
                try:
                    self._do(writer, step)
                except (NetlinkError, DataplaneFault) as fault:
                    faults.append(f"{type(step).__name__}: {fault}")
                    if isinstance(step, LoadRules):
                        break  # no tap comes to be before its filter
        if faults:
            raise DataplaneFault("; ".join(faults))

    def _do(self, writer: Writer, step: Step) -> None:
        match step:
            case BuildSegment(segment):
                writer.build_segment(segment)
            case SetForwarding(before, after):
                writer.set_forwarding(before, after)
            case RemoveSegment(vni):
                writer.remove_segment(vni)
            case BuildTap(tap):
                writer.build_tap(tap)
            case RemoveTap(name):
                writer.remove(name)
            case LoadRules(rules):
                self._nft().load(rules)
            case EndFlows(flows):
                conntrack.forget(flows)

    async def flows(self, zone: int) -> list[Flow]:
        """The connections that the machine tracks in a conntrack zone."""
        return await self._in_thread(lambda: conntrack.flows(zone))

    async def answer(self, answers: Mapping[int, Answers], segments: Mapping[int, Segment]) -> None:
        """Serve DHCP and metadata on exactly these networks, to exactly these guests, from now on."""
        await self._services.set(answers, segments)

    def _nft(self) -> Nftables:
        if self._nftables is None:
            try:
                self._nftables = Nftables()
            except OSError as fault:
                raise DataplaneFault(f"{fault}: install the package libnftables1") from fault
        return self._nftables

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._one_at_a_time)
