"""The real fetcher of images against real servers: what it follows, what it refuses, when it gives up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest
import trio
from trio.testing import open_stream_to_socket_listener

from images.host import fetch
from images.host.fetch import HttpSource
from images.import_rules.model import Guard, ImportRules
from noded.core.errors import Invalid, Refused, Unavailable
from tests.twins.cloud import api_certificate
from tests.twins.loopback import own_address

OPEN = Guard(ImportRules(allowed_ports=(), allowed_networks=("127.0.0.0/8",)))
BODY = bytes(range(256)) * 1000
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


@asynccontextmanager
async def server(answer: bytes, number: int = 1) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answers every request with `answer`, and hangs up; its address and the requests."""
    asked: list[bytes] = []

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            asked.append(bytes(await stream.receive_some(65536)))
            await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        serving = partial(trio.serve_tcp, handle, 0, host=own_address(number))
        [listener] = await nursery.start(serving)
        host, port = listener.socket.getsockname()
        yield f"http://{host}:{port}", asked
        nursery.cancel_scope.cancel()


async def fetched(url: str, guard: Guard = OPEN) -> tuple[int | None, bytes]:
    async with HttpSource().open(url, guard) as download:
        return download.size_bytes, b"".join([piece async for piece in download.pieces])


async def refused(url: str, guard: Guard = OPEN) -> Refused:
    with pytest.raises(Refused) as caught:
        await fetched(url, guard)
    return caught.value


async def test_a_body_comes_whole_with_its_size_and_no_more_is_said_than_needed() -> None:
    async with server(WHOLE) as (url, asked):
        assert await fetched(f"{url}/disk?a=b") == (len(BODY), BODY)
    assert asked[0].startswith(b"GET /disk?a=b HTTP/1.1\r\n")
    assert {line.split(b":")[0] for line in asked[0].split(b"\r\n")[1:] if line} == {
        b"Host", b"Accept-Encoding", b"User-Agent", b"Connection",
    }  # fmt: skip


async def test_a_body_in_chunks_has_no_size_before_its_end() -> None:
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndisk\r\n0\r\n\r\n"
    async with server(chunks) as (url, _):
        assert await fetched(url) == (None, b"disk")


async def test_a_redirect_is_followed_to_where_one_may_look_and_no_further() -> None:
    async with server(WHOLE, 2) as (target, asked):
        redirect = f"HTTP/1.1 302 Found\r\nLocation: {target}/there\r\nContent-Length: 0\r\n\r\n".encode()
        async with server(redirect) as (url, _):
            assert (await fetched(url))[1] == BODY
            assert asked[0].startswith(b"GET /there ")
            here = str(ip_address(url.split("//")[1].split(":")[0]))
            narrow = Guard(ImportRules(allowed_ports=(), allowed_networks=(f"{here}/32",)))
            assert isinstance(await refused(url, narrow), Invalid)
            assert len(asked) == 1


@pytest.mark.parametrize("place", ["file:///etc/passwd", "http://169.254.169.254/", "", "//[::1]:1/"])
async def test_a_redirect_to_where_nobody_may_look_is_refused(place: str) -> None:
    answer = f"HTTP/1.1 301 Moved\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
    async with server(answer) as (url, _):
        assert isinstance(await refused(url), Invalid)


async def test_a_name_that_leads_to_this_machine_is_refused_after_it_was_resolved() -> None:
    async with server(WHOLE) as (url, asked):
        port = url.rsplit(":", 1)[1]
        by_default = Guard(ImportRules(allowed_ports=()))
        for host in ("localhost", "2130706433", "0x7f.1"):
            assert "filtering" in (await refused(f"http://{host}:{port}/", by_default)).message
    assert asked == []


async def test_a_machine_reached_by_any_of_its_own_addresses_is_refused() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, await open_stream_to_socket_listener(listener) as stream:
        # Which address it was is not asked: both ends have the same.
        with pytest.raises(Invalid, match="filtering"):
            fetch._expect_elsewhere("http://any.example/", stream, Guard(ImportRules()))
        fetch._expect_elsewhere("http://any.example/", stream, OPEN)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Invalid),
        (WHOLE[:-1], Unavailable),
        (b"", Unavailable),
        (b"SSH-2.0-OpenSSH\r\n\r\n", Unavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\ndisk!", Unavailable),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, Unavailable),
    ],
)
async def test_an_answer_that_is_no_image_is_refused(answer: bytes, kind: type[Refused]) -> None:
    async with server(answer) as (url, _):
        assert isinstance(await refused(url), kind)


async def test_a_server_that_leads_in_circles_is_left() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
    async with server(answer) as (url, asked):
        assert "redirects" in (await refused(url)).message
        assert len(asked) == 6


async def test_a_server_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    context, _ = api_certificate(tmp_path)

    async def handle(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.do_handshake()

    async with trio.open_nursery() as nursery:
        serving = partial(trio.serve_ssl_over_tcp, handle, 0, context, host="127.0.0.1")
        [listener] = await nursery.start(serving)
        port = listener.transport_listener.socket.getsockname()[1]
        assert "can't be trusted" in (await refused(f"https://127.0.0.1:{port}/")).message
        nursery.cancel_scope.cancel()


async def test_a_name_that_nobody_has_is_told() -> None:
    assert "does-not.exist.invalid" in (await refused("http://does-not.exist.invalid/")).message
