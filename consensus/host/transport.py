"""How do messages get from node to node? Mutual TLS over TCP, one link for each direction.

Each side dials the other and speaks on the link that it dialed. The first frame says who speaks, and must match the
certificate. An empty frame is a ping, answered by an empty frame, where nothing else shows that both are alive: a peer
of which nothing is heard for a while is dead, whatever TCP believes. Links exist between voters and everyone; learners
need none among themselves.
"""

import random
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from consensus.host.frames import FrameReader, StreamEnded
from consensus.host.messages import BadMessage, Hello, body_length, decode, decode_hello, encode, frame
from consensus.host.refusals import Refused, address_of, ignored
from consensus.host.seams import Message
from consensus.host.strangers import Strangers
from consensus.host.tls import TlsContexts, peer_node_id
from consensus.incarnation import Incarnation, agree
from consensus.refusals import RefusalKind, TurnedAway

Address = tuple[str, int]

PING_S: Final = 1.0
SILENCE_S_MAX: Final = 3.5  # with the ping's second, a dead peer is gone within about 4 s
CONNECT_S_MAX: Final = 3.0
SEND_S_MAX: Final = 4.0
REDIAL_S: Final = (0.2, 0.5)
MOVED_AGAIN_S: Final = 10.0
REDIAL_OTHER_LIFE_S: Final = 2.0  # to a node that follows another life of the log: it steps back, or we do
QUEUED_MESSAGES_MAX: Final = 20_000
QUEUED_BYTES_MAX: Final = 32 * 1024 * 1024
WRITE_BYTES: Final = 256 * 1024
CONNECTIONS_MAX: Final = 512

_PING: Final = frame(b"")
_BROKEN: Final = (
    OSError,
    ssl.SSLError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.TooSlowError,
    StreamEnded,
    BadMessage,
    TurnedAway,
)

log = structlog.get_logger(__name__)


class _Link:
    """What waits to be sent to one peer."""

    def __init__(self) -> None:
        self.queued_bytes = 0
        self._put, self._take = trio.open_memory_channel[bytes](QUEUED_MESSAGES_MAX)

    def put(self, body: bytes) -> bool:
        """False if the peer is too slow: the link must go."""
        piece = frame(body)
        if self.queued_bytes + len(piece) > QUEUED_BYTES_MAX:
            return False
        try:
            self._put.send_nowait(piece)
        except trio.WouldBlock:
            return False
        self.queued_bytes += len(piece)
        return True

    async def take(self) -> bytes:
        """As many frames as fit one write. They count as queued until `sent`."""
        batch = bytearray(await self._take.receive())
        while len(batch) < WRITE_BYTES:
            try:
                batch += self._take.receive_nowait()
            except trio.WouldBlock:
                break
        return bytes(batch)

    def sent(self, size: int) -> None:
        """That much has left."""
        self.queued_bytes -= size


class Links:
    """All links of one node. `wants` says with whom; `receive` takes what comes in and may make the peer wait."""

    def __init__(
        self,
        node_id: str,
        tls: TlsContexts,
        listen: Address,
        *,
        wants: Callable[[str], bool],
        receive: Callable[[str, Message, Incarnation | None], Awaitable[None]],
        link_up: Callable[[str], None],
        link_down: Callable[[str], None],
        incarnation: Callable[[], Incarnation | None] = lambda: None,
        superseded: Callable[[str, Incarnation], None] = lambda _peer, _newer: None,
        refused: Refused = ignored,
    ) -> None:
        self._node_id = node_id
        self._tls = tls
        self._listen = listen
        self._wants = wants
        self._receive = receive
        self._link_up = link_up
        self._link_down = link_down
        self._incarnation = incarnation
        self._superseded = superseded
        self._refused_one = refused
        self._lives: dict[str, Incarnation | None] = {}  # of which life of the log each peer was when it last spoke
        self._book: dict[str, Address] = {}
        self._before: dict[str, Address] = {}
        self._recorded: dict[str, Address] = {}
        self._moved_at: dict[str, float] = {}
        self._seen_at: dict[str, Address] = {}
        self._refused: set[str] = set()
        self._links: dict[str, _Link] = {}
        self._dialers: dict[str, trio.CancelScope] = {}
        self._heard_at: dict[str, float] = {}
        self._incoming: dict[str, set[trio.CancelScope]] = {}
        self._connections = 0
        self._strangers = Strangers()
        self._nursery: trio.Nursery | None = None

    # -- the address book

    def set_peer(self, node_id: str, address: Address) -> None:
        """Where to dial that peer from now on. What was believed before is still tried in turn, and a link on which it
        is heard stays: the new address may come from an announcement that lies."""
        self._refused.discard(node_id)
        known = self._book.get(node_id)
        if node_id != self._node_id and known != address:
            if known is not None:
                self._before[node_id] = known
            self._book[node_id] = address
            now = trio.current_time()
            # Who tells a new address every second must not keep the others from being tried in turn.
            if node_id not in self._links and now - self._moved_at.get(node_id, -MOVED_AGAIN_S) >= MOVED_AGAIN_S:
                if known is not None:
                    self._moved_at[node_id] = now
                self._stop_dialing(node_id)
            self.refresh()

    def record_peer(self, node_id: str, address: Address) -> None:
        """Where the records say that a peer is: tried in its turn, however many other addresses are announced."""
        self._recorded[node_id] = address

    def drop_peer(self, node_id: str) -> None:
        """Close the links with that peer and refuse it."""
        self._book.pop(node_id, None)
        self._recorded.pop(node_id, None)
        self._before.pop(node_id, None)
        self._seen_at.pop(node_id, None)
        self._refused.add(node_id)
        self._stop_dialing(node_id)
        self._cancel_incoming(node_id)

    def reachable(self) -> frozenset[str]:
        """Peers with a link on which something was heard lately."""
        oldest = trio.current_time() - SILENCE_S_MAX
        return frozenset(peer for peer in self._links if self._heard_at.get(peer, 0.0) >= oldest)

    def refresh(self) -> None:
        """Dial who is wanted now, and hang up on who is not, or has turned out to follow another life of the log."""
        if self._nursery is None:
            return
        for peer in [peer for peer in self._lives if self._is_other_life(peer)]:
            self._cancel_incoming(peer)
            if peer in self._links:
                self._stop_dialing(peer)
        known = self._book.keys() | self._seen_at.keys()
        for peer in sorted(known - self._dialers.keys()):
            if self._wants(peer):
                scope = self._dialers[peer] = trio.CancelScope()
                self._nursery.start_soon(self._keep_dialing, peer, scope)
        for peer in [peer for peer in self._dialers if not self._wants(peer)]:
            self._stop_dialing(peer)

    def _cancel_incoming(self, peer: str) -> None:
        for scope in self._incoming.pop(peer, set()):
            scope.cancel()

    def _is_other_life(self, peer: str) -> bool:
        return not agree(self._lives.get(peer), self._incarnation())

    # -- sending

    def post(self, node_id: str, body: bytes) -> None:
        """Queue a message. Without a link it is dropped; a peer that is too slow loses its link."""
        link = self._links.get(node_id)
        if link is not None and not link.put(body):
            log.warning("peer is too slow; dialing it again", peer=node_id)
            self._stop_dialing(node_id)
            self.refresh()

    def backlog(self, node_id: str) -> int:
        """How many bytes wait to be sent to that peer."""
        link = self._links.get(node_id)
        return 0 if link is None else link.queued_bytes

    # -- running

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and dial until cancelled. Raises OSError if the port can't be had."""
        host, port = self._listen
        listeners = await trio.open_tcp_listeners(port, host=host)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self.refresh()
                task_status.started()
                await trio.serve_listeners(self._serve, listeners)
        finally:
            self._nursery = None
            self._dialers.clear()

    def _stop_dialing(self, peer: str) -> None:
        if (scope := self._dialers.pop(peer, None)) is not None:
            scope.cancel()

    async def _keep_dialing(self, peer: str, scope: trio.CancelScope) -> None:
        attempt, complained = 0, False
        with scope:
            while True:
                try:
                    stream = await self._dial(peer, attempt)
                except _BROKEN as error:
                    if not complained:
                        log.info("peer can't be reached", peer=peer, reason=str(error) or type(error).__name__)
                    attempt, complained = attempt + 1, True
                else:
                    complained = False
                    await self._speak(peer, stream)
                pause_s = random.uniform(*REDIAL_S)  # noqa: S311  # spreads load, guards nothing
                await trio.sleep(REDIAL_OTHER_LIFE_S if self._is_other_life(peer) else pause_s)

    async def _dial(self, peer: str, attempt: int) -> trio.SSLStream[trio.SocketStream]:
        known = [where[peer] for where in self._where() if peer in where]
        addresses = list(dict.fromkeys(known))
        if not addresses:
            raise BadMessage("its address is not known")
        host, port = addresses[attempt % len(addresses)]
        with trio.fail_after(CONNECT_S_MAX):
            tcp = await trio.open_tcp_stream(host, port)
            stream = trio.SSLStream(tcp, self._tls.client, server_hostname=None)
            try:
                await stream.do_handshake()
                _expect(peer, peer_node_id(stream), "answers there")
                await stream.send_all(self._hello())
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
        return stream

    def _where(self) -> tuple[dict[str, Address], ...]:
        return self._book, self._seen_at, self._recorded, self._before

    def _hello(self) -> bytes:
        return frame(encode(Hello(self._node_id, self._listen[1], incarnation=self._incarnation())))

    async def _speak(self, peer: str, stream: trio.SSLStream[trio.SocketStream]) -> None:
        """Send what is queued until the link breaks."""
        link = self._links[peer] = _Link()
        self._heard_at[peer] = trio.current_time()
        self._link_up(peer)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, peer, stream, nursery.cancel_scope)
                await self._write(peer, link, stream)
                nursery.cancel_scope.cancel()
        finally:
            if self._links.get(peer) is link:
                del self._links[peer]
                self._link_down(peer)
            await trio.aclose_forcefully(stream)

    async def _write(self, peer: str, link: _Link, stream: trio.abc.SendStream) -> None:
        ping_at = trio.current_time() + PING_S
        try:
            while True:
                batch = b""
                with trio.move_on_at(ping_at):
                    batch = await link.take()
                now = trio.current_time()
                ping = _PING if now >= ping_at else b""
                with trio.fail_after(SEND_S_MAX):
                    await stream.send_all(batch + ping)
                link.sent(len(batch))
                # Who sends and hears all the time needs no pings.
                if ping or self._heard_at[peer] > now - PING_S:
                    ping_at = now + PING_S
        except _BROKEN:
            return

    async def _watch(self, peer: str, stream: trio.abc.ReceiveStream, link_scope: trio.CancelScope) -> None:
        """End the link when the peer closes it, or is silent on all links."""
        reader = FrameReader(stream, body_length)
        try:
            while (silent_at := self._heard_at[peer] + SILENCE_S_MAX) > trio.current_time():
                with trio.move_on_at(silent_at):
                    answer = await reader.next()
                    if answer:
                        self._compare_lives(peer, decode_hello(answer).incarnation)
                    self._heard_at[peer] = trio.current_time()
        except _BROKEN as error:
            log.debug("link to peer ended", peer=peer, reason=str(error) or type(error).__name__)
        link_scope.cancel()

    async def _serve(self, tcp: trio.SocketStream) -> None:
        stream = trio.SSLStream(tcp, self._tls.server, server_side=True)
        self._connections += 1
        try:
            if self._connections > CONNECTIONS_MAX:
                reason = f"{CONNECTIONS_MAX} connections are open"
                self._refused_one(address_of(tcp), TurnedAway(RefusalKind.TOO_MANY, reason))
            else:
                await self._listen_to(stream)
        except _BROKEN as error:
            log.debug("link from peer ended", reason=str(error) or type(error).__name__)
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)

    async def _listen_to(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        reader = FrameReader(stream, body_length)
        try:
            with self._strangers.one(address_of(stream.transport_stream)), trio.fail_after(CONNECT_S_MAX):
                await stream.do_handshake()
                peer = peer_node_id(stream)
        except _BROKEN as error:
            self._refused_one(address_of(stream.transport_stream), error)
            raise
        if peer in self._refused:
            reason = f"node {peer} is no member"
            self._refused_one(address_of(stream.transport_stream), TurnedAway(RefusalKind.REMOVED_NODE, reason))
            raise BadMessage(reason)
        with trio.fail_after(CONNECT_S_MAX):
            hello = decode_hello(await reader.next())
        _expect(hello.node_id, peer, "says so")
        self._seen_at[peer] = (stream.transport_stream.socket.getpeername()[0], hello.port)
        self.refresh()
        if not agree(hello.incarnation, self._incarnation()):
            with trio.move_on_after(CONNECT_S_MAX):
                await stream.send_all(self._hello())
        self._compare_lives(peer, hello.incarnation)
        with trio.CancelScope() as scope:
            self._incoming.setdefault(peer, set()).add(scope)
            try:
                await self._hear(peer, stream, reader, hello.incarnation)
            finally:
                self._incoming.get(peer, set()).discard(scope)

    def _compare_lives(self, peer: str, incarnation: Incarnation | None) -> None:
        """Raise BadMessage for a peer that follows another life of the log; if that one is newer, this node ends."""
        was_known = self._is_other_life(peer)
        self._lives[peer] = incarnation
        own = self._incarnation()
        if agree(incarnation, own):
            return
        assert incarnation is not None, "None agrees with all"
        assert own is not None, "None agrees with all"
        if incarnation > own:
            self._superseded(peer, incarnation)
        elif not was_known:
            log.warning("peer follows an older log of this cluster; it is refused", peer=peer, life=incarnation.count)
        raise BadMessage(f"node {peer} follows another life of the log, {incarnation.count}, and not {own.count}")

    async def _hear(
        self,
        peer: str,
        stream: trio.SSLStream[trio.SocketStream],
        reader: FrameReader,
        incarnation: Incarnation | None,
    ) -> None:
        while True:
            with trio.fail_after(SILENCE_S_MAX):
                body = await reader.next()
                if not body:
                    await stream.send_all(_PING)
            self._heard_at[peer] = trio.current_time()
            if body:
                await self._receive(peer, decode(body), incarnation)


def _expect(named: str, proven: str, how: str) -> None:
    if named != proven:
        raise BadMessage(f"node {proven} {how} instead of node {named}")
