"""How does one node ask another something and get its answer? Peer calls: mutual TLS, kept-open connections.

The daemon also serves the same protocol on a unix socket for the processes of its own host, without TLS: the socket
is private to root, so whoever can open it speaks for this node.
"""

import os
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog
import trio

from consensus.calls import (
    BadFrame,
    Call,
    Unreachable,
    body_length,
    call_frame,
    denied_frame,
    done_frame,
    read_answer,
    read_call,
)
from consensus.host.frames import FrameReader, StreamEnded
from consensus.host.refusals import Refused as RefusedBy
from consensus.host.refusals import address_of, ignored
from consensus.host.strangers import Strangers
from consensus.host.tls import TlsContexts, expect_peer, peer_node_id
from consensus.ports import PEERS_PORT
from consensus.refusals import RefusalKind, TurnedAway
from noded.core.errors import Kind, NotFound, Refused
from noded.core.ids import NodeId

CallHandler = Callable[[NodeId, bytes], Awaitable[bytes]]
"""Answers a call: who asks, with which payload. What it raises as `Refused` is raised at the caller."""

CONNECTIONS_MAX: Final = 512
CALL_S_MAX: Final = 120.0
CALL_S_DEFAULT: Final = 30.0
CONNECT_S_MAX: Final = 3.0
IDLE_S_MAX: Final = 90.0
CALLS_PER_NODE_MAX: Final = 32
IDLE_PER_NODE_MAX: Final = 4

# How a connection breaks. A handshake or a read may fail in any of these ways, whatever the other side does.
BROKEN: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, StreamEnded, BadFrame, TurnedAway)

log = structlog.get_logger()


class PeerServer:
    """Answers the calls of other members, and of this host's own processes."""

    def __init__(
        self,
        node_id: NodeId,
        tls: TlsContexts | None,
        handlers: Mapping[str, CallHandler],
        local_handlers: Mapping[str, CallHandler] | None = None,
        *,
        refuse_gone: Callable[[NodeId], None] = lambda _caller: None,
        unknown: "Callable[[str], CallHandler] | None" = None,
        refused: RefusedBy = ignored,
    ) -> None:
        """`tls`: None for a node that has no members to serve yet. `handlers`: what members may ask; `local_handlers`:
        what this host's own processes may (the same if None); `unknown`: what answers every other method.

        `refuse_gone` raises the `Refused` that tells a node that it is no member any more; asked at each call.
        `refused` hears of connections from those who are none.
        """
        self._node_id = node_id
        self._tls = tls
        self._handlers = handlers
        self._local_handlers = handlers if local_handlers is None else local_handlers
        self._refuse_gone = refuse_gone
        self._unknown = unknown or _unknown
        self._refused = refused
        self._places = trio.CapacityLimiter(CONNECTIONS_MAX)
        self._strangers = Strangers()

    async def serve(
        self,
        addresses: Sequence[str],
        port: int = PEERS_PORT,
        *,
        task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve members on these addresses until cancelled."""
        listeners = []
        for address in addresses:
            listeners += await trio.open_tcp_listeners(port, host=address)
        await trio.serve_listeners(self._serve_member, listeners, task_status=task_status)

    async def serve_local(
        self, path: Path, *, task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve this host's own processes on a unix socket, root's alone, until cancelled."""
        listener = _private_unix_listener(path)
        await trio.serve_listeners(self._serve_local_process, [listener], task_status=task_status)

    async def _serve_member(self, stream: trio.SocketStream) -> None:
        assert self._tls is not None, "only members are served over the network"
        secure = trio.SSLStream(stream, self._tls.server, server_side=True, https_compatible=True)
        async with self._place(secure):
            try:
                with self._strangers.one(address_of(stream)), trio.fail_after(CONNECT_S_MAX):
                    await secure.do_handshake()
                caller = peer_node_id(secure)
            except (*BROKEN, trio.TooSlowError) as error:
                self._refused(address_of(stream), error)
                raise
            await self._converse(secure, caller, self._handlers)

    async def _serve_local_process(self, stream: trio.SocketStream) -> None:
        async with self._place(stream):
            await self._converse(stream, self._node_id, self._local_handlers)

    @asynccontextmanager
    async def _place(self, stream: trio.abc.Stream) -> AsyncIterator[None]:
        """Hold one of the bounded places; however the conversation ends, it ends only this connection."""
        token = object()
        try:
            self._places.acquire_on_behalf_of_nowait(token)
        except trio.WouldBlock:
            if isinstance(stream, trio.SSLStream):
                reason = f"{CONNECTIONS_MAX} connections are open"
                self._refused(address_of(stream.transport_stream), TurnedAway(RefusalKind.TOO_MANY, reason))
            await trio.aclose_forcefully(stream)
            return
        try:
            yield
        except (*BROKEN, trio.TooSlowError) as error:
            log.debug("peer connection ended", reason=str(error))
        finally:
            self._places.release_on_behalf_of(token)
            await trio.aclose_forcefully(stream)

    async def _converse(self, stream: trio.abc.Stream, caller: NodeId, handlers: Mapping[str, CallHandler]) -> None:
        frames = FrameReader(stream, body_length)
        while True:
            with trio.move_on_after(IDLE_S_MAX) as idle:
                body = await frames.next()
            if idle.cancelled_caught:
                return
            call = read_call(body)
            answer = await self._answer(caller, call, handlers.get(call.method, self._unknown(call.method)))
            with trio.fail_after(CALL_S_MAX):
                await stream.send_all(answer)

    async def _answer(self, caller: NodeId, call: Call, handler: CallHandler) -> bytes:
        try:
            self._refuse_gone(caller)
            with trio.fail_after(min(call.limit_ms / 1000, CALL_S_MAX)):
                return done_frame(await handler(caller, call.payload))
        except Refused as refusal:
            return denied_frame(refusal)
        except trio.TooSlowError:
            # The caller has stopped waiting too; it gets an ended connection and not a late answer.
            raise StreamEnded(clean=False) from None
        except Exception:
            # A bug in one handler must not end the server; the caller learns that it was a bug, the log learns which.
            log.exception("peer call failed", method=call.method, caller=caller)
            return denied_frame(Refused(f"{call.method} failed on node {self._node_id}.", kind=Kind.BUG))


@dataclass
class _Connection:
    stream: trio.SSLStream[trio.SocketStream]
    frames: FrameReader

    def is_stale(self) -> bool:
        """Whether the other side has closed it, or said something unasked: then it can carry no further call."""
        poll = select.poll()
        poll.register(self.stream.transport_stream.socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))


@dataclass
class _Line:
    """All that is kept about one node."""

    limiter: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(CALLS_PER_NODE_MAX))
    idle: list[_Connection] = field(default_factory=list)


class PeerClient:
    """Calls other members. `addresses_of` says where a node was last seen, best first; that may change at any time."""

    def __init__(
        self,
        tls: TlsContexts,
        addresses_of: Callable[[NodeId], Sequence[str]],
        *,
        port: int = PEERS_PORT,
    ) -> None:
        self._tls = tls
        self._addresses_of = addresses_of
        self._port = port
        self._lines: dict[NodeId, _Line] = {}

    async def call(self, node_id: NodeId, method: str, payload: bytes, deadline_s: float = CALL_S_DEFAULT) -> bytes:
        """Ask a node. Raises what it refused as `Refused`, and `Unreachable` if no answer came.

        Calls are made to be repeated: one that breaks on a kept connection is sent again on a new one, since the node
        may have been switched off and on in the meantime.
        """
        frame = call_frame(method, payload, deadline_s)
        line = self._lines.setdefault(node_id, _Line())
        sent = False
        try:
            with trio.fail_after(deadline_s):
                async with line.limiter:
                    kept = bool(line.idle)
                    connection = await self._connection(line, node_id)
                    sent = True
                    try:
                        body = await _exchange(connection, frame)
                    except BROKEN:
                        if not kept:
                            raise
                        await self._forget_idle(line)
                        connection = await self._connect(node_id)
                        body = await _exchange(connection, frame)
        except trio.TooSlowError:
            raise Unreachable(node_id, f"no answer to {method} within {deadline_s:g} s", maybe_done=sent) from None
        except BROKEN as error:
            raise Unreachable(node_id, str(error) or type(error).__name__, maybe_done=sent) from error
        await self._keep(line, connection)
        return read_answer(body)

    async def aclose(self) -> None:
        """Close every connection that is not in use."""
        for line in self._lines.values():
            await self._forget_idle(line)

    async def _forget_idle(self, line: _Line) -> None:
        while line.idle:
            await trio.aclose_forcefully(line.idle.pop().stream)

    async def _connection(self, line: _Line, node_id: NodeId) -> _Connection:
        while line.idle:
            connection = line.idle.pop()
            if not connection.is_stale():
                return connection
            await trio.aclose_forcefully(connection.stream)
        return await self._connect(node_id)

    async def _keep(self, line: _Line, connection: _Connection) -> None:
        if len(line.idle) < IDLE_PER_NODE_MAX:
            line.idle.append(connection)
        else:
            await trio.aclose_forcefully(connection.stream)

    async def _connect(self, node_id: NodeId) -> _Connection:
        failure: Exception | None = None
        for address in self._addresses_of(node_id):
            try:
                return await self._connect_to(node_id, address)
            except trio.TooSlowError:
                failure = OSError(f"{address} did not answer within {CONNECT_S_MAX:g} s")
            except BROKEN as error:
                failure = error
        raise Unreachable(node_id, str(failure) if failure else "no address of it is known")

    async def _connect_to(self, node_id: NodeId, address: str) -> _Connection:
        with trio.fail_after(CONNECT_S_MAX):
            plain = await trio.open_tcp_stream(address, self._port)
            stream = trio.SSLStream(plain, self._tls.client, https_compatible=True)
            try:
                await stream.do_handshake()
                expect_peer(stream, node_id)
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
        return _Connection(stream, FrameReader(stream, body_length))


async def _exchange(connection: _Connection, frame: bytes) -> bytes:
    """One call and its answer. A connection on which this does not finish is closed: its next answer would be ours."""
    try:
        await connection.stream.send_all(frame)
        return await connection.frames.next()
    except BaseException:
        await trio.aclose_forcefully(connection.stream)
        raise


def _unknown(method: str) -> CallHandler:
    async def refuse(_caller: NodeId, _payload: bytes) -> bytes:
        raise NotFound.of("peer call", method)

    return refuse


def _private_unix_listener(path: Path) -> trio.SocketListener:
    # The old socket of a daemon that was killed is in the way. The new one is private from its first moment.
    path.unlink(missing_ok=True)
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        plain.bind(str(path))
    finally:
        os.umask(before)
    plain.listen(128)
    return trio.SocketListener(trio.socket.from_stdlib_socket(plain))
