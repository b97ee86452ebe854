"""How do nodes hear of one another on a network without any configuration? Multicast DNS, by zeroconf.

On every interface that may lead to another node, by IPv4 and IPv6, and as interfaces come and go. Zeroconf runs on
asyncio in a thread of its own; what it hears is handed to trio. It never tells that a node has died without a goodbye:
who is alive is the cluster's own affair.
"""

import ipaddress
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import structlog
import trio
from zeroconf import (
    EventLoopBlocked,
    IPVersion,
    NotRunningException,
    ServiceBrowser,
    ServiceInfo,
    ServiceListener,
    Zeroconf,
)

from consensus.discovery import SIGHTINGS_MAX, Sighting, sighting_from_text, sighting_to_text
from consensus.host.interfaces import NO_WAY_TO_NODES, HostAddress, host_addresses
from noded.core.ids import NodeId

SERVICE_TYPE: Final = "_noded._tcp.local."
RESOLVE_MS_MAX: Final = 1500
GOODBYE_S_MAX: Final = 3.0
INTERFACES_LOOK_S: Final = 2.0
INTERFACES_MAX: Final = 32

Interfaces = tuple[str | int, ...]
"""IPv4 addresses, and indexes of interfaces for IPv6."""

log = structlog.get_logger()


class MdnsDiscovery:
    """Announces this node on this host's networks, and hears of the others there, while `run` runs.

    `twin`: where another machine announces this node's own identity, such as one with a copy of its disk; "" if none.
    """

    def __init__(
        self,
        addresses: Sequence[str] | None = None,
        *,
        always: Sequence[str] = (),
        look: Callable[[], Collection[HostAddress]] = host_addresses,
        look_s: float = INTERFACES_LOOK_S,
    ) -> None:
        """`addresses`: on the networks of these alone; None: on all that may lead to a node, also those that come up
        later, and on those of `always` whatever they look like."""
        self._addresses = addresses
        self._always = frozenset(always)
        self._look = look
        self._look_s = look_s
        self._zeroconf: Zeroconf | None = None
        self._announced: Sighting | None = None
        self._announced_before: set[tuple[str, ...]] = set()
        self._heard: dict[str, Sighting] = {}
        self._changed = trio.Event()
        self._announcing = trio.Lock()
        self.twin = ""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and speak until cancelled, then say goodbye. Raises OSError if an address is not this host's."""
        interfaces = self._interfaces()
        zeroconf = await trio.to_thread.run_sync(_open, interfaces)
        ear = _Ear(trio.lowlevel.current_trio_token(), self._hear, self._forget)
        browser = ServiceBrowser(zeroconf, SERVICE_TYPE, listener=ear)
        self._zeroconf = zeroconf
        task_status.started()
        try:
            await self._follow_interfaces(zeroconf, interfaces)
        finally:
            self._zeroconf = None
            ear.closed.set()
            with trio.move_on_after(GOODBYE_S_MAX, shield=True):
                await trio.to_thread.run_sync(_close, zeroconf, browser, abandon_on_cancel=True)

    async def _follow_interfaces(self, zeroconf: Zeroconf, present: Interfaces) -> None:
        """Speak on new interfaces and leave those that are gone, for as long as `run` runs."""
        while True:
            await trio.sleep(self._look_s)
            found = self._interfaces()
            if found != present and found:
                log.info("interfaces changed", interfaces=[str(interface) for interface in found])
                try:
                    await trio.to_thread.run_sync(_update, zeroconf, found)
                except (OSError, RuntimeError, NotRunningException, EventLoopBlocked) as fault:
                    log.warning("interfaces not followed yet", reason=str(fault))
                    continue
                present = found

    def _interfaces(self) -> Interfaces:
        if self._addresses is not None:
            return tuple(address for address in self._addresses if ipaddress.ip_address(address).version == 4)
        return interfaces_for_multicast(self._look(), self._always)

    async def announce(self, sighting: Sighting) -> None:
        """Say what this node is, now and whenever someone asks; a later call replaces it."""
        assert self._zeroconf is not None, "announce() while run() runs"
        async with self._announcing:
            if sighting != self._announced:
                first = self._announced is None
                self._announced_before.add(sighting.addresses)
                await trio.to_thread.run_sync(_publish, self._zeroconf, _service_info(sighting), first)
                self._announced = sighting

    def sightings(self) -> Mapping[NodeId, Sighting]:
        """Every other node heard of and not said goodbye, one sighting each."""
        own = self._announced.node_id if self._announced else None
        return MappingProxyType({heard.node_id: heard for heard in self._heard.values() if heard.node_id != own})

    async def changed(self) -> None:
        """Wait until `sightings()` is not what it was when this was called."""
        await self._changed.wait()

    def _hear(self, name: str, sighting: Sighting) -> None:
        own = self._announced
        if own is not None and sighting.node_id == own.node_id:
            self._hear_itself(sighting)
            return
        if self._heard.get(name) == sighting:
            return
        if name not in self._heard and len(self._heard) >= SIGHTINGS_MAX:
            log.warning("announcement ignored", reason="too many nodes announced", sightings_max=SIGHTINGS_MAX)
            return
        self._heard[name] = sighting
        self._wake()

    def _hear_itself(self, sighting: Sighting) -> None:
        """An echo, or another machine that has this node's key, or says so."""
        if sighting.addresses in self._announced_before or sighting.addresses[0] == self.twin:
            return
        self.twin = sighting.addresses[0]
        log.warning(
            "another machine announces this node's identity", address=self.twin,
            fix="if its disk is a copy of this one's, stop noded there and remove its state directory",
        )  # fmt: skip

    def _forget(self, name: str) -> None:
        if self._heard.pop(name, None) is not None:
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class _Ear(ServiceListener):
    """Called by zeroconf in the browser's own thread; passes on to trio what it makes of an announcement."""

    def __init__(
        self,
        token: trio.lowlevel.TrioToken,
        hear: Callable[[str, Sighting], None],
        forget: Callable[[str], None],
    ) -> None:
        self.closed = threading.Event()
        self._token = token
        self._hear = hear
        self._forget = forget

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """A node announces itself."""
        if self.closed.is_set():
            return
        info = zc.get_service_info(type_, name, RESOLVE_MS_MAX)
        sighting = _sighting(info) if info is not None else None
        # One announcement a node: whoever announces a node under another's name is not heard.
        if sighting is not None and name == _instance(sighting.node_id) and not self.closed.is_set():
            self._token.run_sync_soon(self._hear, name, sighting)

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """A node announces something else than before."""
        self.add_service(zc, type_, name)

    def remove_service(self, _zc: Zeroconf, _type: str, name: str) -> None:
        """A node says goodbye, or was not heard of for so long that its announcement lapsed."""
        if not self.closed.is_set():
            self._token.run_sync_soon(self._forget, name)


def _sighting(info: ServiceInfo) -> Sighting | None:
    text = {key: value or "" for key, value in info.decoded_properties.items()}
    return sighting_from_text(text, info.port or 0)


def _service_info(sighting: Sighting) -> ServiceInfo:
    return ServiceInfo(
        SERVICE_TYPE,
        _instance(sighting.node_id),
        port=sighting.port,
        properties=dict(sighting_to_text(sighting)),
        server=f"{sighting.node_id}.local.",
        parsed_addresses=list(sighting.addresses),
    )


def _instance(node_id: NodeId) -> str:
    return f"{node_id}.{SERVICE_TYPE}"


def _publish(zeroconf: Zeroconf, info: ServiceInfo, first: bool) -> None:
    if first:
        # Ids are unique by construction, so nobody has to be asked first whether the name is free.
        zeroconf.register_service(info, cooperating_responders=True)
    else:
        zeroconf.update_service(info)


def interfaces_for_multicast(addresses: Collection[HostAddress], always: Collection[str] = frozenset()) -> Interfaces:
    """One IPv4 address, and the index for IPv6, of each interface that may lead to another node.

    Indexes and not IPv6 addresses: every interface has a link-local one, and two may have the same.
    """
    by_name: dict[str, set[str | int]] = {}
    sure = {found.interface for found in addresses if found.address in always}
    for found in addresses:
        if found.interface not in sure and (found.interface.startswith(NO_WAY_TO_NODES) or found.ip.is_loopback):
            continue
        mine = by_name.setdefault(found.interface, set())
        if found.ip.version == 6:
            mine.add(found.index)
        elif not any(isinstance(present, str) for present in mine):
            mine.add(found.address)
    every = [interface for mine in by_name.values() for interface in mine][:INTERFACES_MAX]
    return tuple(sorted(every, key=lambda interface: (isinstance(interface, int), str(interface))))


def _version(interfaces: Interfaces) -> IPVersion:
    kinds = {type(interface) for interface in interfaces}
    return IPVersion.All if kinds == {str, int} else IPVersion.V6Only if kinds == {int} else IPVersion.V4Only


def _open(interfaces: Interfaces) -> Zeroconf:
    return Zeroconf(interfaces=list(interfaces), ip_version=_version(interfaces))


def _update(zeroconf: Zeroconf, interfaces: Interfaces) -> None:
    zeroconf.update_interfaces(list(interfaces), _version(interfaces))


def _close(zeroconf: Zeroconf, browser: ServiceBrowser) -> None:
    browser.cancel()
    zeroconf.unregister_all_services()
    zeroconf.close()
