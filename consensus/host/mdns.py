"""How do nodes hear of one another on a network without any configuration? Multicast DNS, by zeroconf.

Zeroconf runs on asyncio in a thread of its own; what it hears is handed to trio. It never tells that a node has died
without a goodbye: who is alive is the cluster's own affair.
"""

import ipaddress
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import structlog
import trio
from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf

from consensus.discovery import SIGHTINGS_MAX, Sighting, sighting_from_text, sighting_to_text
from noded.core.ids import NodeId

SERVICE_TYPE: Final = "_noded._tcp.local."
RESOLVE_MS_MAX: Final = 1500
GOODBYE_S_MAX: Final = 3.0

log = structlog.get_logger()


class MdnsDiscovery:
    """Announces this node on the networks of its addresses, and hears of the others there, while `run` runs."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._interfaces = [address for address in addresses if ipaddress.ip_address(address).version == 4]
        self._zeroconf: Zeroconf | None = None
        self._announced: Sighting | None = None
        self._heard: dict[str, Sighting] = {}
        self._changed = trio.Event()
        self._announcing = trio.Lock()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and speak until cancelled, then say goodbye. Raises OSError if an address is not this host's."""
        zeroconf = await trio.to_thread.run_sync(self._open)
        ear = _Ear(trio.lowlevel.current_trio_token(), self._hear, self._forget)
        browser = ServiceBrowser(zeroconf, SERVICE_TYPE, listener=ear)
        self._zeroconf = zeroconf
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self._zeroconf = None
            ear.closed.set()
            with trio.move_on_after(GOODBYE_S_MAX, shield=True):
                await trio.to_thread.run_sync(_close, zeroconf, browser, abandon_on_cancel=True)

    async def announce(self, sighting: Sighting) -> None:
        """Say what this node is, now and whenever someone asks; a later call replaces it."""
        assert self._zeroconf is not None, "announce() while run() runs"
        async with self._announcing:
            if sighting != self._announced:
                first = self._announced is None
                await trio.to_thread.run_sync(_publish, self._zeroconf, _service_info(sighting), first)
                self._announced = sighting

    def sightings(self) -> Mapping[NodeId, Sighting]:
        """Every other node heard of and not said goodbye, one sighting each."""
        own = self._announced.node_id if self._announced else None
        return MappingProxyType({heard.node_id: heard for heard in self._heard.values() if heard.node_id != own})

    async def changed(self) -> None:
        """Wait until `sightings()` is not what it was when this was called."""
        await self._changed.wait()

    def _open(self) -> Zeroconf:
        return Zeroconf(interfaces=self._interfaces, ip_version=IPVersion.V4Only)

    def _hear(self, name: str, sighting: Sighting) -> None:
        if self._heard.get(name) == sighting:
            return
        if name not in self._heard and len(self._heard) >= SIGHTINGS_MAX:
            log.warning("announcement ignored", reason="too many nodes announced", sightings_max=SIGHTINGS_MAX)
            return
        self._heard[name] = sighting
        self._wake()

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


def _close(zeroconf: Zeroconf, browser: ServiceBrowser) -> None:
    browser.cancel()
    zeroconf.unregister_all_services()
    zeroconf.close()
