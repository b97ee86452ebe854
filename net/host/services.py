"""How DHCP and metadata are served on this machine's networks: to its own guests, each network apart."""

from collections import Counter
from collections.abc import Mapping

import structlog
import trio

from net.dataplane.dhcp import parse_request, reply
from net.dataplane.metadata import Document, document
from net.dataplane.model import Answers, Segment, cable_name, service_mac
from net.host.metadata_server import CONNECTIONS_PER_GUEST_MAX, serve_connection
from net.host.namespaces import ServiceSockets, open_services
from net.host.netlink import masters
from net.links import ServerFacts
from net.ports.model import Port
from noded.core.cluster import Cluster
from noded.core.ids import PortId
from noded.core.reconciler import Drivers

log = structlog.get_logger(__name__)

_DATAGRAM_BYTES_MAX = 2048


class GuestFacts:
    """What the services may tell: looked up when asked, so nothing of it can be stale."""

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._drivers = drivers

    def hostname(self, port_id: PortId, ip_address: str) -> str:
        """The server's name for itself; for a port without a server one made of its address, as Neutron does."""
        facts = self._drivers.get(ServerFacts).facts(port_id)
        return facts.hostname if facts is not None else f"host-{ip_address.replace('.', '-')}"

    def document(self, port_id: PortId, path: str) -> Document | None:
        """What is at a path for the server that has the port."""
        facts = self._drivers.get(ServerFacts).facts(port_id)
        view = self._cluster.view()
        port = view.get(Port, port_id)
        return document(path, facts, view, port) if facts is not None and port is not None else None


class NetworkServices:
    """DHCP and metadata of one network on this machine."""

    def __init__(self, vni: int, sockets: ServiceSockets, facts: GuestFacts) -> None:
        self.answers = Answers()  # replaced whole when the store changes
        self.ended = False
        self._vni = vni
        self._sockets = sockets
        self._facts = facts
        self._scope = trio.CancelScope()
        self._connections: Counter[str] = Counter()

    async def run(self) -> None:
        """Serve until `stop`. A fault ends this network's services alone, and the next pass starts them anew."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._serve_dhcp)
                    await self._serve_http(nursery)
        except Exception:
            log.exception("network services failed", vni=self._vni)
        finally:
            self.ended = True
            self._sockets.close()

    def stop(self) -> None:
        """End serving, and let the namespace go."""
        self._scope.cancel()

    async def _serve_dhcp(self) -> None:
        requests = trio.socket.from_stdlib_socket(self._sockets.dhcp)
        frames = trio.socket.from_stdlib_socket(self._sockets.frames)
        while True:
            payload, _ = await requests.recvfrom(_DATAGRAM_BYTES_MAX)
            try:
                frame = self._dhcp_answer(payload)
                if frame is not None:
                    await frames.send(frame)
            except OSError as fault:  # the cable is being taken away; the guest asks again
                log.warning("DHCP answer not sent", vni=self._vni, why=str(fault))
            except Exception:  # a bug in one answer must not end the service of all
                log.exception("DHCP request failed", vni=self._vni)

    def _dhcp_answer(self, payload: bytes) -> bytes | None:
        request = parse_request(payload)
        lease = None if request is None else self.answers.leases.get(request.mac)
        if request is None or lease is None:
            return None
        hostname = self._facts.hostname(lease.port_id, lease.ip_address)
        log.debug("DHCP asked", vni=self._vni, kind=request.kind.name, port=lease.port_id, address=lease.ip_address)
        return reply(request, lease, hostname, service_mac(self._vni))

    async def _serve_http(self, nursery: trio.Nursery) -> None:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._sockets.http))
        while True:
            stream = await listener.accept()
            nursery.start_soon(self._serve_guest, stream)

    async def _serve_guest(self, stream: trio.SocketStream) -> None:
        address = stream.socket.getpeername()[0]
        port_id = self.answers.ports.get(address)
        if port_id is None or self._connections[address] >= CONNECTIONS_PER_GUEST_MAX:
            await trio.aclose_forcefully(stream)
            return
        self._connections[address] += 1
        try:
            await serve_connection(stream, lambda path: self._facts.document(port_id, path))
        except Exception:  # a bug on one guest's connection must not end the service of all
            log.exception("metadata request failed", vni=self._vni, port=port_id)
        finally:
            self._connections[address] -= 1
            if not self._connections[address]:
                del self._connections[address]


class Services:
    """The services of all networks on this machine."""

    def __init__(self, facts: GuestFacts) -> None:
        self._facts = facts
        self._running: dict[int, NetworkServices] = {}
        self._nursery: trio.Nursery | None = None
        self._started = trio.Event()

    async def run(self) -> None:
        """Serve for ever. Runs beside the reconcilers, for as long as the daemon lives."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._started.set()
            await trio.sleep_forever()

    async def set(self, answers: Mapping[int, Answers], segments: Mapping[int, Segment]) -> None:
        """Serve exactly these networks with exactly these answers from now on."""
        await self._started.wait()
        assert self._nursery is not None, "it was set before the event"
        for vni in sorted(self._running.keys() - answers.keys()):
            self._running.pop(vni).stop()
        for vni in await self._broken():
            self._running.pop(vni).stop()
        for vni in sorted(answers):
            services = self._running.get(vni)
            if services is None:
                sockets = await trio.to_thread.run_sync(open_services, segments[vni])
                services = self._running[vni] = NetworkServices(vni, sockets, self._facts)
                self._nursery.start_soon(services.run)
            services.answers = answers[vni]

    async def _broken(self) -> list[int]:
        """Networks whose services failed, whose cable someone cut, or whose bridge was made anew."""
        names = {cable_name(vni): vni for vni in self._running}
        if not names:
            return []
        plugged = await trio.to_thread.run_sync(masters, list(names))
        return [vni for name, vni in names.items() if self._running[vni].ended or not plugged[name]]
