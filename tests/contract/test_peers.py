"""What a peer call does, over mutual TLS, over the daemon's own socket, and from a process without trio."""

import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import trio

from consensus.authority import Authority, found_authority, sign_node
from consensus.calls import PAYLOAD_BYTES_MAX, Unreachable
from consensus.host.files import write_durably
from consensus.host.identity import NodeIdentity
from consensus.host.peers import IDLE_PER_NODE_MAX, CallHandler, PeerClient, PeerServer
from consensus.host.peers_plain import call_daemon, call_node
from consensus.host.tls import TlsContexts, authority_file, member_contexts, node_certificate_file
from noded.core.errors import Conflict, Kind, NotFound, Refused
from noded.core.ids import NodeId

AUTHORITY = found_authority("town", datetime.now(UTC))
STRANGERS_AUTHORITY = found_authority("town", datetime.now(UTC))
Ask = Callable[[NodeId, str, bytes, float], Awaitable[bytes]]


class Member:
    """A node's identity and contexts."""

    def __init__(self, directory: Path, authority: Authority = AUTHORITY) -> None:
        self.identity = NodeIdentity.load_or_create(directory)
        write_durably(authority_file(directory), authority.certificate_pem)
        certificate = sign_node(authority, self.identity.public_key, datetime.now(UTC))
        write_durably(node_certificate_file(directory), certificate)
        self.tls: TlsContexts = member_contexts(directory)

    @property
    def node_id(self) -> NodeId:
        return self.identity.node_id


class Handlers:
    """What the asked node answers, and who asked."""

    def __init__(self) -> None:
        self.callers: list[NodeId] = []
        self.release = trio.Event()

    async def echo(self, caller: NodeId, payload: bytes) -> bytes:
        self.callers.append(caller)
        return payload

    async def refuse(self, _caller: NodeId, _payload: bytes) -> bytes:
        raise Conflict("It is in use.", code="InUse")

    async def break_down(self, _caller: NodeId, _payload: bytes) -> bytes:
        raise ZeroDivisionError

    async def wait(self, _caller: NodeId, _payload: bytes) -> bytes:
        await self.release.wait()
        return b"released"

    def table(self) -> dict[str, CallHandler]:
        return {"echo": self.echo, "refuse": self.refuse, "break": self.break_down, "wait": self.wait}


class Scene:
    """Two members and a stranger; the first serves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked, self.asking = Member(directory / "asked"), Member(directory / "asking")
        self.handlers = Handlers()
        self.port = 0
        self.socket_path = directory / "peers.sock"
        self.stop: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        server = PeerServer(self.asked.node_id, self.asked.tls, self.handlers.table())
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(server.serve, ["127.0.0.1"], self.port)
            self.port = listeners[0].socket.getsockname()[1]
            await nursery.start(server.serve_local, self.socket_path)
            self.stop = nursery.cancel_scope.cancel
            yield
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def client(self, member: Member | None = None) -> AsyncIterator[PeerClient]:
        client = PeerClient((member or self.asking).tls, lambda _node_id: ["127.0.0.1"], port=self.port)
        yield client
        await client.aclose()


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@asynccontextmanager
async def over_tls(scene: Scene) -> AsyncIterator[Ask]:
    async with scene.client() as client:
        yield client.call


@asynccontextmanager
async def without_trio(scene: Scene) -> AsyncIterator[Ask]:
    async def ask(node_id: NodeId, method: str, payload: bytes, deadline_s: float) -> bytes:
        return await trio.to_thread.run_sync(
            partial(
                call_node, scene.asking.tls.client, node_id, ["127.0.0.1"], method, payload, deadline_s, port=scene.port
            )
        )

    yield ask


@asynccontextmanager
async def over_the_socket(scene: Scene) -> AsyncIterator[Ask]:
    async def ask(node_id: NodeId, method: str, payload: bytes, deadline_s: float) -> bytes:
        return await trio.to_thread.run_sync(call_daemon, scene.socket_path, node_id, method, payload, deadline_s)

    yield ask


Way = Callable[[Scene], AbstractAsyncContextManager[Ask]]
ways = pytest.mark.parametrize("way", [over_tls, without_trio, over_the_socket])


@ways
async def test_a_call_is_answered(scene: Scene, way: Way) -> None:
    async with scene.serving(), way(scene) as ask:
        assert await ask(scene.asked.node_id, "echo", b"hello", 5.0) == b"hello"
        assert await ask(scene.asked.node_id, "echo", bytes(PAYLOAD_BYTES_MAX), 30.0) == bytes(PAYLOAD_BYTES_MAX)
    # A process of the host itself speaks for its node.
    speaker = scene.asked if way is over_the_socket else scene.asking
    assert set(scene.handlers.callers) == {speaker.node_id}


@ways
async def test_a_refusal_arrives_as_itself_and_a_bug_as_one(scene: Scene, way: Way) -> None:
    async with scene.serving(), way(scene) as ask:
        with pytest.raises(Conflict, match="in use") as refused:
            await ask(scene.asked.node_id, "refuse", b"", 5.0)
        assert refused.value.code == "InUse"
        with pytest.raises(Refused) as broken:
            await ask(scene.asked.node_id, "break", b"", 5.0)
        assert broken.value.kind is Kind.BUG
        assert "ZeroDivision" not in broken.value.message
        with pytest.raises(NotFound):
            await ask(scene.asked.node_id, "no such call", b"", 5.0)
        assert await ask(scene.asked.node_id, "echo", b"still here", 5.0) == b"still here"


@ways
async def test_a_node_that_is_down_is_unreachable_and_was_not_asked(scene: Scene, way: Way) -> None:
    async with scene.serving():
        pass
    async with way(scene) as ask:
        with pytest.raises(Unreachable) as unreachable:
            await ask(scene.asked.node_id, "echo", b"", 2.0)
        assert not unreachable.value.maybe_done


@ways
async def test_a_call_that_takes_too_long_may_have_been_carried_out(scene: Scene, way: Way) -> None:
    async with scene.serving(), way(scene) as ask:
        with pytest.raises(Unreachable) as unreachable:
            await ask(scene.asked.node_id, "wait", b"", 0.2)
        assert unreachable.value.maybe_done


async def test_another_node_at_that_address_is_not_asked(scene: Scene) -> None:
    async with scene.serving(), scene.client() as client:
        with pytest.raises(Unreachable, match="in its place"):
            await client.call(scene.asking.node_id, "echo", b"", 5.0)
    assert scene.handlers.callers == []


async def test_a_stranger_is_not_answered(scene: Scene) -> None:
    stranger = Member(scene.directory / "stranger", STRANGERS_AUTHORITY)
    async with scene.serving(), scene.client(stranger) as client:
        with pytest.raises(Unreachable):
            await client.call(scene.asked.node_id, "echo", b"", 5.0)
    assert scene.handlers.callers == []


async def test_a_kept_connection_that_the_server_closed_is_not_used_again(scene: Scene) -> None:
    async with scene.serving():
        port = scene.port
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(scene.client())
        async with scene.serving():
            assert await client.call(scene.asked.node_id, "echo", b"once", 5.0) == b"once"
        assert client._lines[scene.asked.node_id].idle
        async with scene.serving():
            assert scene.port == port
            assert await client.call(scene.asked.node_id, "echo", b"again", 5.0) == b"again"


async def test_calls_at_once_are_all_answered_and_few_connections_are_kept(scene: Scene) -> None:
    async with scene.serving(), scene.client() as client:
        answers: list[bytes] = []

        async def ask(number: int) -> None:
            answers.append(await client.call(scene.asked.node_id, "echo", b"%d" % number, 10.0))

        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(ask, number)
        assert sorted(map(int, answers)) == list(range(40))
        assert len(client._lines[scene.asked.node_id].idle) <= IDLE_PER_NODE_MAX


async def test_a_cancelled_call_does_not_leave_its_answer_to_the_next(scene: Scene) -> None:
    async with scene.serving(), scene.client() as client:
        with trio.move_on_after(0.1):
            await client.call(scene.asked.node_id, "wait", b"", 5.0)
        scene.handlers.release.set()
        assert await client.call(scene.asked.node_id, "echo", b"mine", 5.0) == b"mine"


async def test_noise_ends_only_its_own_connection(scene: Scene) -> None:
    async with scene.serving(), scene.client() as client:
        for noise in (b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"\x16\x03\x01\xff\xff" + bytes(100)):
            stream = await trio.open_tcp_stream("127.0.0.1", scene.port)
            await stream.send_all(noise)
            await stream.aclose()
        not_utf8, deep = b"\x93\xa1\xff\x00\xc0", b"\x94\xa1x\x00\xc4\x00" + b"\x91" * 9000
        frames = (len(each).to_bytes(4, "big") + each for each in (not_utf8, deep))
        for noise in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1", b"\x00", *frames):
            local = await trio.open_unix_socket(str(scene.socket_path))
            await local.send_all(noise)
            await local.send_eof()
            assert await local.receive_some(100) == b""
            await local.aclose()
        assert await client.call(scene.asked.node_id, "echo", b"fine", 5.0) == b"fine"


async def test_the_local_socket_is_its_owners_alone_and_replaces_a_dead_ones(scene: Scene) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(scene.socket_path))
    async with scene.serving():
        assert stat.S_IMODE(scene.socket_path.stat().st_mode) == 0o600


async def test_what_the_socket_alone_serves_no_member_may_ask(scene: Scene) -> None:
    table = scene.handlers.table()
    server = PeerServer(scene.asked.node_id, scene.asked.tls, {"refuse": table["refuse"]}, {"echo": table["echo"]})
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(server.serve, ["127.0.0.1"], 0)
        scene.port = listeners[0].socket.getsockname()[1]
        await nursery.start(server.serve_local, scene.socket_path)
        async with over_the_socket(scene) as ask:
            assert await ask(scene.asked.node_id, "echo", b"root", 5.0) == b"root"
        async with scene.client() as client:
            with pytest.raises(NotFound):
                await client.call(scene.asked.node_id, "echo", b"member", 5.0)
        nursery.cancel_scope.cancel()


async def test_a_former_member_is_told_so_at_every_call_also_on_the_connection_that_it_kept(scene: Scene) -> None:
    gone: set[NodeId] = set()

    def refuse_gone(caller: NodeId) -> None:
        if caller in gone:
            raise Conflict("You were forgotten.", code="NodeGone")

    server = PeerServer(scene.asked.node_id, scene.asked.tls, scene.handlers.table(), refuse_gone=refuse_gone)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(server.serve, ["127.0.0.1"], 0)
        scene.port = listeners[0].socket.getsockname()[1]
        async with scene.client() as client:
            assert await client.call(scene.asked.node_id, "echo", b"hello", 5) == b"hello"
            gone.add(scene.asking.node_id)
            for _ in range(2):
                with pytest.raises(Conflict, match="forgotten") as told:
                    await client.call(scene.asked.node_id, "echo", b"hello", 5)
                assert told.value.code == "NodeGone"
        assert scene.handlers.callers == [scene.asking.node_id]
        nursery.cancel_scope.cancel()
