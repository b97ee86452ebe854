"""Who is let in? Listens, limits connections, does the TLS handshake; anycorn speaks HTTP on what was let in.

anycorn's own accept loop is not used: it ends on the first error that `accept` gives (such as no free file
descriptor), has no limit of connections, and lets one connection's fault end all the others.
"""

import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from socket import IPPROTO_TCP, SHUT_WR, SO_KEEPALIVE, SOL_SOCKET, TCP_USER_TIMEOUT
from typing import Any, Final

import anyio
import structlog
import trio
from anycorn.config import Config
from anycorn.events import Event, Updated
from anycorn.tcp_server import TCPServer
from anycorn.typing import ConnectionState
from anycorn.utils import wrap_app
from anycorn.worker_context import WorkerContext
from anyio import TypedAttributeProvider
from anyio.abc import SocketAttribute, SocketListener, SocketStream
from anyio.streams.tls import TLSStream

from consensus.refusals import RefusalKind, TurnedAway
from noded.gateway.limits import ConnectionLimits

App = Callable[[Any, Any, Any], Awaitable[None]]
Refused = Callable[[str, Exception], None]
"""Hears from which address a connection came to nothing, and how."""

# How a connection may end on its own, whatever the other side does: nothing to report.
_ENDED = (OSError, ssl.SSLError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)

_LIMITS: Final = ConnectionLimits()

log = structlog.get_logger(__name__)


async def serve(
    app: App,
    tls: ssl.SSLContext,
    *,
    port: int,
    host: str | None = None,
    limits: ConnectionLimits = _LIMITS,
    refused: Refused = lambda _address, _fault: None,
    task_status: trio.TaskStatus[Sequence[int]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` by HTTPS until cancelled; answers under way then get a short grace. Started with the bound ports.

    `host` None is every address, IPv4 and IPv6. A certificate that is loaded into `tls` later is shown from the next
    handshake on. `refused` hears of connections that came to nothing. Raises OSError when the port can't be bound.
    """
    listeners = (await anyio.create_tcp_listener(local_host=host, local_port=port, backlog=limits.backlog)).listeners
    tls.set_alpn_protocols(["http/1.1"])
    door = _Door(wrap_app(app, 0, "asgi"), tls, limits, refused)
    async with trio.open_nursery() as nursery:
        connections = await nursery.start(door.hold_connections)
        try:
            task_status.started([_attribute(listener, SocketAttribute.local_port) for listener in listeners])
            async with trio.open_nursery() as accepting:
                for listener in listeners:
                    assert isinstance(listener, SocketListener), listener
                    accepting.start_soon(door.accept_from, listener, connections)
        finally:
            await door.close(connections.cancel_scope)


def _http_config(limits: ConnectionLimits) -> Config:
    config = Config()
    config.accesslog = config.errorlog = None  # the application logs, in the house's form
    config.include_server_header = False
    config.keep_alive_timeout = limits.idle_s
    config.keep_alive_max_requests = 1_000_000
    config.h11_max_incomplete_size = limits.head_bytes_max
    config.max_app_queue_size = limits.body_queue_max
    return config


class _Door:
    """One server's connections."""

    def __init__(self, app: Any, tls: ssl.SSLContext, limits: ConnectionLimits, refused: Refused) -> None:
        self.refused = refused
        self.app = app
        self.tls = tls
        self.limits = limits
        self.config = _http_config(limits)
        self.context = WorkerContext(None)
        self.places = trio.Semaphore(limits.connections_max)
        self.by_address: Counter[str] = Counter()
        self.closing = trio.Event()

    async def hold_connections(self, task_status: trio.TaskStatus[trio.Nursery] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep connections alive past the cancellation of the server, until `close` lets them go."""
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.shield = True
            task_status.started(nursery)
            await self.closing.wait()

    async def close(self, scope: trio.CancelScope) -> None:
        """No more requests; answers under way may finish within the grace. Does not block."""
        await self.context.terminated.set()
        scope.deadline = trio.current_time() + self.limits.grace_s
        self.closing.set()

    async def accept_from(self, listener: SocketListener, connections: trio.Nursery) -> None:
        """Let clients in, one by one, for ever. When all places are taken they wait in the kernel's queue."""
        async with listener:
            while True:
                await self.places.acquire()
                try:
                    stream = await listener.accept()
                except (OSError, anyio.BrokenResourceError) as fault:
                    self.places.release()
                    log.warning("connection not accepted", reason=repr(fault.__cause__ or fault))
                    await trio.sleep(self.limits.accept_pause_s)
                    continue
                except BaseException:
                    self.places.release()
                    raise
                connections.start_soon(self._serve_one, stream)

    async def _serve_one(self, stream: SocketStream) -> None:
        address = ""
        try:
            address = str(_attribute(stream, SocketAttribute.remote_address)[0])
            self.by_address[address] += 1
            if self.by_address[address] > self.limits.per_address_max:
                self.refused(
                    address, TurnedAway(RefusalKind.TOO_MANY, f"more than {self.limits.per_address_max} at once")
                )
                return
            await self._speak(stream, address)
        except _ENDED as ended:
            log.debug("connection ended", client=address, reason=repr(ended))
        except trio.TooSlowError:
            log.debug("handshake took too long", client=address)
        except Exception:  # one connection's fault must not end the others
            log.exception("connection failed", client=address)
        finally:
            self.by_address[address] -= 1
            if self.by_address[address] <= 0:
                del self.by_address[address]
            self.places.release()
            with suppress(*_ENDED):
                await anyio.aclose_forcefully(stream)

    async def _speak(self, stream: SocketStream, address: str) -> None:
        raw = _attribute(stream, SocketAttribute.raw_socket)
        raw.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
        raw.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, int(self.limits.unsent_s * 1000))
        try:
            with trio.fail_after(self.limits.handshake_s):
                secure = await TLSStream.wrap(stream, server_side=True, ssl_context=self.tls, standard_compatible=False)
        except (*_ENDED, trio.TooSlowError) as fault:
            self.refused(address, fault)
            raise
        await _Connection(self.app, self.config, self.context, ConnectionState({}), secure).run()


class _Connection(TCPServer):  # type: ignore[misc]  # anycorn ships no types that mypy may follow
    """anycorn's connection; without this it stays for the whole idle time after its client has gone.

    It also ends in order: who only sends would see a reset, and may throw the answer away with it.
    """

    gone = False

    async def _close(self) -> None:
        with suppress(OSError):  # it has ended already
            _attribute(self.stream, SocketAttribute.raw_socket).shutdown(SHUT_WR)
        await super()._close()

    async def _read_data(self) -> None:
        await super()._read_data()
        self.gone = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        """Send what the protocol gives, but wait no more for requests of a client that has gone."""
        if not (self.gone and isinstance(event, Updated)):
            await super().protocol_send(event)


def _attribute(source: TypedAttributeProvider, attribute: Any) -> Any:
    return source.extra(attribute)  # noqa: S610  # typed attributes of anyio; no SQL is near
