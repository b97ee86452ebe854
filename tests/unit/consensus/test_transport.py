"""Links: who may speak, how a dead peer is noticed, and what a broken one can't do."""

import ssl
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio

from consensus.host.messages import FRAME_BYTES_MAX, Hello, encode, frame
from consensus.host.seams import Message
from consensus.host.tls import TlsContexts
from consensus.host.transport import CONNECT_S_MAX, CONNECTIONS_MAX, QUEUED_BYTES_MAX, Links
from consensus.incarnation import Incarnation
from tests.logs import Identity, make_identities, until

PONG = encode({"type": "barrier_pong", "number": 1, "term": 2})


class End:
    """One node's links, and what came over them."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.node_id = identity.node_id
        self.heard: list[tuple[str, Message]] = []
        self.up: set[str] = set()
        self.lost: list[str] = []
        self.wanted = True
        self.links = Links(
            identity.node_id,
            identity.tls,
            identity.address,
            wants=lambda _peer: self.wanted,
            receive=self._receive,
            link_up=self.up.add,
            link_down=self._lose,
        )

    def _lose(self, peer: str) -> None:
        self.up.discard(peer)
        self.lost.append(peer)

    async def _receive(self, peer: str, message: Message, _incarnation: Incarnation | None) -> None:
        self.heard.append((peer, message))
        await trio.lowlevel.checkpoint()


@pytest.fixture
async def ends(tmp_path: Path) -> AsyncIterator[list[End]]:
    made = [End(identity) for identity in make_identities(tmp_path, 2)]
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as running:
            for end in made:
                await running.start(end.links.run)
            yield made
            scope.cancel()


async def dial(to: End, tls: TlsContexts) -> trio.SSLStream[trio.SocketStream]:
    tcp = await trio.open_tcp_stream(*to.identity.address)
    return trio.SSLStream(tcp, tls.client)


async def is_closed(stream: trio.abc.ReceiveStream) -> bool:
    with trio.fail_after(10):
        try:
            return await stream.receive_some() == b""
        except (trio.BrokenResourceError, ssl.SSLError):
            return True


async def test_messages_pass_both_ways_once_one_side_knows_the_address(ends: list[End]) -> None:
    one, other = ends
    one.links.set_peer(other.node_id, other.identity.address)
    await until(lambda: one.up and other.up)
    one.links.post(other.node_id, PONG)
    other.links.post(one.node_id, PONG)
    await until(lambda: one.heard and other.heard)
    assert other.heard == [(one.node_id, {"type": "barrier_pong", "number": 1, "term": 2})]
    assert one.links.reachable() == {other.node_id}
    assert one.links.backlog(other.node_id) == 0


async def test_a_wrong_address_is_corrected_at_any_time(ends: list[End]) -> None:
    one, other = ends
    one.links.set_peer(other.node_id, ("127.0.0.1", 1))
    one.links.set_peer(other.node_id, other.identity.address)
    await until(lambda: one.up)


async def test_an_address_that_is_a_lie_cuts_no_link_and_keeps_nobody_from_finding_back(
    ends: list[End], tmp_path: Path
) -> None:
    one, other = ends
    liar = make_identities(tmp_path / "elsewhere", 1)[0]
    one.links.set_peer(other.node_id, other.identity.address)
    await until(lambda: one.up and other.up)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, partial(hang_up, liar.tls), 0, host="127.0.0.1"))
        lie = ("127.0.0.1", listeners[0].socket.getsockname()[1])
        one.links.set_peer(other.node_id, lie)
        one.links.post(other.node_id, PONG)
        await until(lambda: other.heard)
        assert one.lost == []
        # Both links break, and neither end knows any more where the other was seen: the former address is tried too.
        one.links._seen_at.clear()
        one.links._stop_dialing(other.node_id)
        one.links.refresh()
        await until(lambda: one.lost and one.up)
        nursery.cancel_scope.cancel()


async def test_however_many_lies_are_told_the_address_of_the_records_is_tried_too(ends: list[End]) -> None:
    one, other = ends
    one.links.record_peer(other.node_id, other.identity.address)
    for number in range(1, 200):
        one.links.set_peer(other.node_id, ("127.0.0.1", number))
        await trio.sleep(0.05)
        if one.up and other.up:
            return
    pytest.fail("the lies kept it away")


async def test_who_opens_many_connections_and_says_nothing_keeps_no_member_out(ends: list[End]) -> None:
    one, other = ends
    silent = [await trio.open_tcp_stream(*one.identity.address) for _ in range(CONNECTIONS_MAX + 10)]
    own = f"127.{other.identity.address[1] // 256}.{other.identity.address[1] % 256}.1"
    plain = await trio.open_tcp_stream(*one.identity.address, local_address=own)
    member = trio.SSLStream(plain, other.identity.tls.client)
    with trio.fail_after(CONNECT_S_MAX):
        await member.do_handshake()
        await member.send_all(frame(encode(Hello(other.node_id, other.identity.address[1]))) + frame(b""))
        assert await member.receive_some()  # a ping is answered
    for stream in (member, *silent):
        await trio.aclose_forcefully(stream)


async def hang_up(tls: TlsContexts, plain: trio.SocketStream) -> None:
    stream = trio.SSLStream(plain, tls.server, server_side=True)
    try:
        await stream.do_handshake()
    except (trio.BrokenResourceError, ssl.SSLError):
        return
    await trio.aclose_forcefully(stream)


async def test_at_the_wrong_address_nobody_passes_for_another(ends: list[End], tmp_path: Path) -> None:
    one, other = ends
    stranger = make_identities(tmp_path / "elsewhere", 1)[0]
    one.links.set_peer(stranger.node_id, other.identity.address)
    one.links.set_peer(other.node_id, other.identity.address)
    await until(lambda: one.up)
    assert one.up == {other.node_id}


async def test_a_stranger_is_not_heard(ends: list[End], tmp_path: Path) -> None:
    stranger = make_identities(tmp_path / "elsewhere", 1)[0]  # of another authority
    stranger.tls.client.verify_mode = ssl.CERT_NONE
    stream = await dial(ends[0], stranger.tls)
    await stream.send_all(frame(encode(Hello(stranger.node_id, 1))) + frame(PONG))
    assert await is_closed(stream)
    await trio.aclose_forcefully(stream)
    assert ends[0].heard == []


async def test_a_member_can_not_speak_for_another(ends: list[End]) -> None:
    one, other = ends
    stream = await dial(one, other.identity.tls)
    await stream.send_all(frame(encode(Hello(one.node_id, 1))) + frame(PONG))
    assert await is_closed(stream)
    await trio.aclose_forcefully(stream)
    assert one.heard == []


@pytest.mark.parametrize(
    "garbage",
    [
        frame(b"\xff\xff\xff"),
        frame(encode({"type": "unheard of"})),
        frame(encode({"type": "append", "term": "seven"})),
        (FRAME_BYTES_MAX + 1).to_bytes(4, "big"),
    ],
    ids=["no msgpack", "unknown type", "wrong field", "too long"],
)
async def test_garbage_ends_the_link_and_nothing_else(ends: list[End], garbage: bytes) -> None:
    one, other = ends
    stream = await dial(one, other.identity.tls)
    await stream.send_all(frame(encode(Hello(other.node_id, other.identity.address[1]))) + garbage)
    assert await is_closed(stream)
    await trio.aclose_forcefully(stream)
    assert one.heard == []
    one.links.set_peer(other.node_id, other.identity.address)
    await until(lambda: one.up)


async def test_a_peer_that_stops_answering_is_no_longer_reachable(tmp_path: Path) -> None:
    """As when its host froze or lost power: TCP itself would notice only after minutes."""
    one, frozen = (End(identity) for identity in make_identities(tmp_path, 2))
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(frozen.identity.address[1], host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, partial(answer_nothing, frozen.identity.tls), [listener])
        await nursery.start(one.links.run)
        one.links.set_peer(frozen.node_id, frozen.identity.address)
        await until(one.links.reachable)
        with trio.fail_after(5):
            await until(lambda: not one.links.reachable())
        nursery.cancel_scope.cancel()


async def answer_nothing(tls: TlsContexts, tcp: trio.SocketStream) -> None:
    async with trio.SSLStream(tcp, tls.server, server_side=True) as stream:
        await stream.do_handshake()
        await trio.sleep_forever()


async def test_a_peer_that_is_too_slow_loses_its_link_and_not_our_memory(tmp_path: Path) -> None:
    one, frozen = (End(identity) for identity in make_identities(tmp_path, 2))
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(frozen.identity.address[1], host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, partial(answer_nothing, frozen.identity.tls), [listener])
        await nursery.start(one.links.run)
        one.links.set_peer(frozen.node_id, frozen.identity.address)
        await until(lambda: one.up)
        piece = bytes(1024 * 1024)
        for _ in range(QUEUED_BYTES_MAX // len(piece) + 1):
            one.links.post(frozen.node_id, piece)
        assert one.links.backlog(frozen.node_id) <= QUEUED_BYTES_MAX
        await until(lambda: one.lost)
        assert one.links.backlog(frozen.node_id) == 0
        nursery.cancel_scope.cancel()


async def test_links_that_are_no_longer_wanted_are_closed(ends: list[End]) -> None:
    one, other = ends
    one.links.set_peer(other.node_id, other.identity.address)
    await until(lambda: one.up and other.up)
    one.wanted = False
    one.links.refresh()
    await until(lambda: not one.up)
    assert other.up == {one.node_id}
