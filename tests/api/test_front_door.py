"""The front door by real TLS on the loopback: what strangers send must hurt nobody else."""

import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from noded.core.errors import Conflict
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.service import Endpoint, FaultStyle, Microversions, Service
from noded.core.units import MIB
from noded.gateway.app import Gateway
from noded.gateway.limits import ConnectionLimits
from noded.gateway.server import serve
from tests.twins.cloud import IDENTITY_SERVICES, Cloud, api_certificate, found_cloud

PATIENCE_S = 10.0


@dataclass
class Stage:
    """What the handlers of this test did."""

    events_closed: trio.Event = field(default_factory=trio.Event)
    uploaded: int = 0
    calls: int = 0

    async def echo(self, request: Request) -> Response:
        return Response(body=await request.json(dict))

    async def upload(self, request: Request) -> Response:
        async for piece in request.stream():
            self.uploaded += len(piece)
        return Response()

    async def events(self, request: Request) -> Response:
        return Response(content=self._events(), content_type="text/event-stream")

    async def _events(self) -> AsyncIterator[bytes]:
        try:
            yield b"data: first\n\n"
            await trio.sleep_forever()
        finally:
            self.events_closed.set()

    async def finite(self, request: Request) -> Response:
        return Response(content=self._finite(), content_type="text/event-stream")

    async def _finite(self) -> AsyncIterator[bytes]:
        yield b"data: first\n\n"
        yield b"data: last\n\n"

    async def break_down(self, request: Request) -> Response:
        raise RuntimeError("inner secret 4711")

    async def break_late(self, request: Request) -> Response:
        return Response(content=self._breaking())

    async def _breaking(self) -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("inner secret 4711")

    async def refuse(self, request: Request) -> Response:
        self.calls += 1
        raise Conflict("The thing is busy.")

    async def refuse_inside(self, request: Request) -> Response:
        async with trio.open_nursery() as nursery, trio.open_nursery():
            nursery.start_soon(self.refuse, request)
        raise AssertionError("the nursery raised before")

    async def nothing(self, request: Request) -> Response:
        return Response()

    def service(self) -> Service:
        nova = Endpoint(
            name="nova",
            types=("compute",),
            prefix="/compute/v2.1",
            fault_style=FaultStyle.NOVA,
            microversions=Microversions(
                word="compute", legacy_header="X-OpenStack-Nova-API-Version", lowest=(2, 1), highest=(2, 5)
            ),
        )
        lines: list[tuple[str, str, Callable[[Request], Awaitable[Response]], Done]] = [
            ("POST", "/echo", self.echo, Done.OK),
            ("GET", "/events", self.events, Done.OK),
            ("GET", "/finite", self.finite, Done.OK),
            ("GET", "/broken", self.break_down, Done.OK),
            ("GET", "/broken-late", self.break_late, Done.OK),
            ("POST", "/busy", self.refuse, Done.OK),
            ("POST", "/busy-inside", self.refuse_inside, Done.OK),
            ("DELETE", "/thing", self.nothing, Done.EMPTY),
        ]
        routes = [
            Route(verb=verb, path=path, handler=handler, allow=Allow.ANYONE, done=done)
            for verb, path, handler, done in lines
        ]
        upload = Route(verb="PUT", path="/file", handler=self.upload, allow=Allow.ANYONE, body_max=64 * MIB)
        busy = Route(verb="PUT", path="/busy", handler=self.refuse, allow=Allow.ANYONE, body_max=64 * MIB)
        return Service(name="stage", endpoint=nova, routes=(*routes, upload, busy))


@dataclass
class House:
    """One served node and how to reach it."""

    cloud: Cloud
    stage: Stage
    base: str
    port: int
    trusted: ssl.SSLContext
    shown: ssl.SSLContext
    directory: Path

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.base, verify=self.trusted)

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[trio.SSLStream[trio.SocketStream]]:
        """A connection after its handshake, and nothing more."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        secure = trio.SSLStream(stream, self.trusted, server_hostname="127.0.0.1", https_compatible=True)
        try:
            await secure.do_handshake()
            yield secure
        finally:
            await trio.aclose_forcefully(secure)

    async def tell(self, request: bytes) -> bytes:
        """Send bytes; all that comes back until the server closes."""
        async with self.raw() as stream:
            await stream.send_all(request)
            return await read_to_end(stream)


async def read_to_end(stream: trio.abc.ReceiveStream) -> bytes:
    received = b""
    with trio.fail_after(PATIENCE_S):
        while piece := await stream.receive_some(65536):
            received += piece
    return received


@asynccontextmanager
async def open_house(directory: Path, limits: ConnectionLimits | None = None) -> AsyncIterator[House]:
    stage = Stage()
    services = (*IDENTITY_SERVICES, stage.service())
    cloud = await found_cloud(services)
    node = cloud.gateways["node1"]
    cloud.gateways["node1"] = Gateway(services, node.cluster, node.drivers, drain_bytes_max=16 * MIB)
    shown, authority = api_certificate(directory)
    async with trio.open_nursery() as nursery:
        start = partial(
            serve, cloud.gateways["node1"], shown, port=0, host="127.0.0.1", limits=limits or ConnectionLimits()
        )
        [port] = await nursery.start(start)
        trusted = ssl.create_default_context(cafile=str(authority))
        yield House(cloud, stage, f"https://127.0.0.1:{port}", port, trusted, shown, directory)
        nursery.cancel_scope.cancel()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as house:
        yield house


async def is_alive(house: House) -> bool:
    async with house.client() as client:
        return (await client.get("/healthz")).json() == {"status": "ready"}


async def test_the_chain_of_trust_holds(house: House) -> None:
    assert await is_alive(house)
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(base_url=house.base) as stranger:
            await stranger.get("/healthz")


async def test_a_renewed_certificate_is_shown_without_a_restart(house: House, tmp_path: Path) -> None:
    async with house.raw() as stream:
        before = stream.getpeercert(binary_form=True)
        (tmp_path / "new").mkdir()
        api_certificate(tmp_path / "new")
        house.shown.load_cert_chain(tmp_path / "new" / "api.crt", tmp_path / "new" / "api.key")
        house.trusted.load_verify_locations(tmp_path / "new" / "ca.crt")
        async with house.raw() as later:
            assert later.getpeercert(binary_form=True) != before
        await stream.send_all(b"GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        assert b"200" in (await read_to_end(stream)).split(b"\r\n")[0], "open connections go on"


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /healthz HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\r\n",
        (
            b"GET / HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: x\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-extensions: ;;;=,\r\nsec-websocket-protocol: \xff\r\n\r\n"
        ),
        (
            b"GET / HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: x\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ),
        (
            b"GET / HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ),
        b"GET / HTTP/1.1\r\nhost: h\r\nupgrade: h2c\r\nconnection: upgrade\r\nhttp2-settings: !!\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxx",
    ],
)
async def test_a_malformed_upgrade_hurts_nobody(house: House, request_head: bytes) -> None:
    async with house.raw() as stream:
        await stream.send_all(request_head)
        with trio.fail_after(PATIENCE_S), suppress(trio.BrokenResourceError):
            await stream.receive_some(65536)
    assert await is_alive(house)


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET /%zz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: h\r\nx: " + b"y" * 66_000, b"431"),
        (b"GET /" + b"a" * 66_000, b"431"),
        (b"BREW /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", b"405"),
        (b"GET /healthz HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n", b"200"),
    ],
)
async def test_bad_heads_are_refused(house: House, request_head: bytes, status: bytes) -> None:
    answer = await house.tell(request_head)
    assert answer.split(b" ", 2)[1] == status
    assert await is_alive(house)


async def test_bytes_that_are_no_tls_hurt_nobody(house: House) -> None:
    for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\x00" * 100, b""):
        async with await trio.open_tcp_stream("127.0.0.1", house.port) as stream:
            if nonsense:
                await stream.send_all(nonsense)
    assert await is_alive(house)


async def test_a_client_that_resets_in_the_middle_hurts_nobody(house: House) -> None:
    async with house.raw() as stream:
        await stream.send_all(b"PUT /compute/v2.1/file HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\nhalf")
        at_once = struct.pack("ii", 1, 0)
        stream.transport_stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    assert await is_alive(house)


async def test_ten_megabytes_are_refused_and_the_connection_lives_on(house: House) -> None:
    async with house.client() as client:
        answer = await client.post("/compute/v2.1/echo", content=b"x" * 10 * MIB)
        assert (answer.status_code, answer.json().keys()) == (413, {"overLimit"})
        token = await client.post("/identity/v3/auth/tokens", content=b"x" * 10 * MIB)
        assert (token.status_code, token.json()["error"]["code"]) == (413, 413)


async def test_ten_megabytes_in_unannounced_pieces_are_refused(house: House) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * MIB

    async with house.client() as client:
        answer = await client.post("/compute/v2.1/echo", content=pieces())
        assert answer.status_code == 413
        assert await is_alive(house)


@pytest.mark.parametrize("size_mib", [10, 64])
async def test_a_client_that_only_sends_hears_why_it_was_refused(house: House, size_mib: int) -> None:
    """As python-requests does: it looks at the answer when all is sent, or can't be sent."""

    def upload() -> tuple[int, bool]:
        client = HTTPSConnection("127.0.0.1", house.port, timeout=PATIENCE_S, context=house.trusted)
        with closing(client):
            with suppress(BrokenPipeError, ssl.SSLEOFError):
                client.request("PUT", "/compute/v2.1/busy", body=b"x" * size_mib * MIB)
            answer = client.getresponse()
            assert b"The thing is busy." in answer.read()
            client.auto_open = 0
            try:
                client.request("GET", "/healthz")
                return answer.status, client.getresponse().status == 200
            except OSError:
                return answer.status, False

    assert await trio.to_thread.run_sync(upload) == (409, size_mib == 10), "what was drained may be followed by more"
    assert await is_alive(house)


async def test_a_stream_is_not_held_up_by_a_client_that_sends_for_ever(house: House) -> None:
    head = b"GET /compute/v2.1/finite HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
    async with house.raw() as stream, trio.open_nursery() as nursery:
        await stream.send_all(head)

        async def send_for_ever() -> None:
            with suppress(trio.BrokenResourceError):
                while True:
                    await stream.send_all(b"100000\r\n" + b"x" * MIB + b"\r\n")

        nursery.start_soon(send_for_ever)
        with suppress(trio.BrokenResourceError):
            assert b"data: last" in await read_to_end(stream)
        nursery.cancel_scope.cancel()
    assert await is_alive(house)


async def test_an_upload_is_streamed(house: House) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * MIB

    async with house.client() as client:
        assert (await client.put("/compute/v2.1/file", content=pieces())).status_code == 200
    assert house.stage.uploaded == 40 * MIB


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000, b'"text"', b'{"a": "\\ud800"}', b"null"]
)
async def test_what_is_not_json_is_refused(house: House, content: bytes) -> None:
    async with house.client() as client:
        answer = await client.post("/compute/v2.1/echo", content=content)
    assert (answer.status_code, answer.json().keys()) == (400, {"badRequest"})


async def test_a_bug_tells_the_client_nothing_and_the_log_all(house: House) -> None:
    async with house.client() as client:
        with capture_logs() as lines:
            answer = await client.get("/compute/v2.1/broken")
    assert (answer.status_code, answer.json().keys()) == (500, {"computeFault"})
    assert "4711" not in answer.text
    assert "RuntimeError" not in answer.text
    assert answer.headers["x-compute-request-id"] == answer.headers["x-openstack-request-id"]
    assert [line["log_level"] for line in lines if line["event"] == "handler failed"] == ["error"]


async def test_an_answer_that_breaks_off_is_seen_to_break_off(house: House) -> None:
    async with house.client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/compute/v2.1/broken-late")
    assert await is_alive(house)


async def test_a_stream_ends_when_its_reader_goes(house: House) -> None:
    async with house.raw() as stream:
        await stream.send_all(b"GET /compute/v2.1/events HTTP/1.1\r\nhost: h\r\n\r\n")
        received = b""
        while b"data: first" not in received:
            received += await stream.receive_some(65536)
        assert b"content-type: text/event-stream" in received
    with trio.fail_after(PATIENCE_S):
        await house.stage.events_closed.wait()


async def test_microversions_are_told_back(house: House) -> None:
    async with house.client() as client:
        good = await client.delete("/compute/v2.1/thing", headers={"OpenStack-API-Version": "compute 2.3"})
        assert (good.status_code, good.content) == (204, b"")
        assert "content-length" not in good.headers
        assert good.headers["openstack-api-version"] == "compute 2.3"
        assert good.headers["x-openstack-nova-api-version"] == "2.3"
        assert "OpenStack-API-Version" in good.headers["vary"]
        bad = await client.delete("/compute/v2.1/thing", headers={"OpenStack-API-Version": "compute 2.9"})
        assert bad.status_code == 406
        assert (await client.get("/compute/v2.1/thing")).headers["allow"] == "DELETE"


@pytest.mark.parametrize("path", ["busy", "busy-inside"])
async def test_a_refusal_keeps_its_words(house: House, path: str) -> None:
    async with house.client() as client:
        answer = await client.post(f"/compute/v2.1/{path}", json={})
    assert (answer.status_code, answer.json()) == (
        409,
        {"conflictingRequest": {"code": 409, "message": "The thing is busy."}},
    )


async def test_neither_tokens_nor_passwords_reach_the_log(house: House) -> None:
    async with house.cloud.client() as client:
        with capture_logs() as lines:
            admin = await house.cloud.admin(client)
            await client.get("/identity/v3/users?secret=4711", headers=admin)
            user = {"user": {"name": "u", "password": "hidden 4711"}}
            await client.post("/identity/v3/users", json=user, headers=admin)
    assert [line["status"] for line in lines if line["event"] == "request"] == [201, 200, 201]
    assert all(word not in str(lines) for word in (admin["X-Auth-Token"], "4711", "correct horse"))


async def test_a_slow_head_is_cut_off(tmp_path: Path) -> None:
    async with open_house(tmp_path, ConnectionLimits(idle_s=0.05)) as house:
        assert await house.tell(b"GET /healthz HTTP/1.1\r\nhost") == b""
        assert await is_alive(house)


async def test_a_handshake_that_never_ends_is_cut_off(tmp_path: Path) -> None:
    async with (
        open_house(tmp_path, ConnectionLimits(handshake_s=0.05)) as house,
        await trio.open_tcp_stream("127.0.0.1", house.port) as stream,
    ):
        assert await read_to_end(stream) == b""


async def test_one_address_gets_only_so_many_connections(tmp_path: Path) -> None:
    async with open_house(tmp_path, ConnectionLimits(per_address_max=3)) as house, AsyncExitStack() as kept:
        for _ in range(3):
            await kept.enter_async_context(house.raw())
        with pytest.raises(trio.BrokenResourceError):
            async with house.raw():
                pass
        await kept.aclose()
        with trio.fail_after(PATIENCE_S):
            while not await is_let_in(house):
                await trio.lowlevel.checkpoint()


async def is_let_in(house: House) -> bool:
    try:
        return await is_alive(house)
    except httpx.ConnectError:
        return False


async def test_connections_beyond_the_places_wait_for_one(tmp_path: Path) -> None:
    async with (
        open_house(tmp_path, ConnectionLimits(connections_max=1)) as house,
        trio.open_nursery() as nursery,
        house.raw(),
    ):
        nursery.start_soon(is_alive, house)
        await trio.testing.wait_all_tasks_blocked(0.05)


async def test_answers_under_way_are_finished_when_the_server_stops(tmp_path: Path) -> None:
    waiting, go_on = trio.Event(), trio.Event()

    async def slow(request: Request) -> Response:
        waiting.set()
        await go_on.wait()
        return Response(body={"finished": True})

    endpoint = Endpoint(name="x", types=(), prefix="/slow", fault_style=FaultStyle.NODED)
    service = Service(
        name="slow", endpoint=endpoint, routes=(Route(verb="GET", path="", handler=slow, allow=Allow.ANYONE),)
    )
    cloud = await found_cloud((*IDENTITY_SERVICES, service))
    context, authority = api_certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=str(authority))
    answers = []

    async def ask(port: int) -> None:
        async with httpx.AsyncClient(verify=trusted) as client:
            answers.append(await client.get(f"https://127.0.0.1:{port}/slow"))

    async with trio.open_nursery() as clients, trio.open_nursery() as server:
        [port] = await server.start(partial(serve, cloud.gateways["node1"], context, port=0, host="127.0.0.1"))
        clients.start_soon(ask, port)
        await waiting.wait()
        server.cancel_scope.cancel()
        go_on.set()
    assert answers[0].json() == {"finished": True}
