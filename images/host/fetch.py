"""How is an image fetched from a web server that a user named? With GET, from addresses that may be looked at.

A name is resolved here, every address that it leads to is judged, and the connection is made to a judged address: what
the name means a moment later makes no difference. Each redirect is a new URL and is judged as the first one was. The
far end of a connection must not be this machine, whatever address was used. Certificates are checked against the
host's authorities. No proxy, no cookies, no credentials, no compression.
"""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import cache
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urljoin

import h11
import trio

from images.contents.links import Download
from images.import_rules.model import Guard, Target
from noded.core.errors import Invalid, Unavailable
from noded.core.units import KIB

CONNECT_S_MAX: Final = 15.0
HEAD_S_MAX: Final = 60.0
IDLE_S_MAX: Final = 60.0  # a body of which nothing arrives for so long is given up
REDIRECTS_MAX: Final = 5
ADDRESSES_MAX: Final = 8
PIECE_BYTES: Final = 64 * KIB
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_FOUND: Final = 200


class HttpSource:
    """Implements `images.contents.links.WebSource`."""

    @asynccontextmanager
    async def open(self, url: str, guard: Guard) -> AsyncIterator[Download]:
        """See `WebSource.open`."""
        for _ in range(REDIRECTS_MAX + 1):
            target = guard.expect_url(url)
            stream = await _connected(url, target, guard)
            try:
                exchange = _Exchange(stream, target)
                answer = await exchange.ask()
                if answer.status_code in _REDIRECTS:
                    url = urljoin(url, _header(answer, b"location") or "")
                    continue
                if answer.status_code != _FOUND:
                    raise Invalid(f"The server {target.host} answered {answer.status_code} for {target.path[:255]}.")
                async with aclosing(exchange.body()) as pieces:
                    yield Download(size_bytes=_length(answer), pieces=pieces)
                return
            finally:
                await trio.aclose_forcefully(stream)
        raise Invalid(f"The server redirects more than {REDIRECTS_MAX} times.")


async def _connected(url: str, target: Target, guard: Guard) -> trio.abc.Stream:
    """A connection to the first address that answers, of those that may be looked at."""
    addresses = await _addresses(url, target, guard)
    for address in addresses:
        try:
            with trio.fail_after(CONNECT_S_MAX):
                stream = await trio.open_tcp_stream(address, target.port)
        except (OSError, trio.TooSlowError):
            continue
        try:
            _expect_elsewhere(url, stream, guard)
            return await _secured(stream, target) if target.scheme == "https" else stream
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
    raise Unavailable(f"The server {target.host} can't be reached at port {target.port}.")


async def _addresses(url: str, target: Target, guard: Guard) -> list[str]:
    try:
        with trio.fail_after(CONNECT_S_MAX):
            found = await trio.socket.getaddrinfo(target.host, target.port, type=trio.socket.SOCK_STREAM)
    except (OSError, UnicodeError, trio.TooSlowError):
        raise Invalid(f"The host {target.host} is not known here: its name can't be resolved.") from None
    addresses = list(dict.fromkeys(str(each[4][0]).split("%")[0] for each in found))[:ADDRESSES_MAX]
    for address in addresses:  # one that may not be looked at condemns the name: it is not there by mistake
        guard.expect_address(url, ip_address(address))
    return addresses


def _expect_elsewhere(url: str, stream: trio.SocketStream, guard: Guard) -> None:
    """A machine reaches itself by any of its addresses; then both ends have the same."""
    here, there = stream.socket.getsockname()[0], stream.socket.getpeername()[0]
    if here == there:
        guard.expect_named(url, ip_address(str(there).split("%")[0]))


async def _secured(stream: trio.SocketStream, target: Target) -> trio.abc.Stream:
    secured = trio.SSLStream(stream, _authorities(), server_hostname=target.host, https_compatible=True)
    try:
        with trio.fail_after(CONNECT_S_MAX):
            await secured.do_handshake()
    except trio.BrokenResourceError as broken:
        raise Invalid(f"The server {target.host} can't be trusted: {broken.__cause__ or 'it hung up'}.") from None
    except trio.TooSlowError:
        raise Unavailable(f"The server {target.host} did not answer in time.") from None
    return secured


@cache
def _authorities() -> ssl.SSLContext:
    """Whom the host trusts. Reading all of it takes tens of milliseconds, in which nothing else is answered."""
    return ssl.create_default_context()


class _Exchange:
    """One request on one connection."""

    def __init__(self, stream: trio.abc.Stream, target: Target) -> None:
        self._stream = stream
        self._target = target
        self._h11 = h11.Connection(our_role=h11.CLIENT)

    async def ask(self) -> h11.Response:
        """The head of the answer."""
        port = "" if self._target.port in (80, 443) else f":{self._target.port}"
        host = f"[{self._target.host}]" if ":" in self._target.host else self._target.host
        head = h11.Request(
            method="GET",
            target=self._target.path,
            headers=[
                ("Host", host + port),
                ("Accept-Encoding", "identity"),
                ("User-Agent", "noded"),
                ("Connection", "close"),
            ],
        )
        try:
            with trio.fail_after(HEAD_S_MAX):
                await self._stream.send_all((self._h11.send(head) or b"") + (self._h11.send(h11.EndOfMessage()) or b""))
                while True:
                    event = await self._next()
                    if isinstance(event, h11.Response):
                        return event
        except trio.TooSlowError:
            raise self._gone("did not answer in time") from None

    async def body(self) -> AsyncGenerator[bytes, None]:
        """What follows it, as it arrives."""
        while True:
            with trio.move_on_after(IDLE_S_MAX) as patience:
                event = await self._next()
            if patience.cancelled_caught:
                raise self._gone(f"sent nothing for {IDLE_S_MAX:.0f} s")
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return

    async def _next(self) -> Any:
        try:
            while (event := self._h11.next_event()) is h11.NEED_DATA:
                self._h11.receive_data(bytes(await self._stream.receive_some(PIECE_BYTES)))
        except h11.RemoteProtocolError as wrong:
            raise self._gone(f"broke off: {wrong}") from None
        except trio.BrokenResourceError:
            raise self._gone("broke off") from None
        return event

    def _gone(self, what: str) -> Unavailable:
        return Unavailable(f"The server {self._target.host} {what}.")


def _header(answer: h11.Response, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in answer.headers if key == name), None)


def _length(answer: h11.Response) -> int | None:
    text = _header(answer, b"content-length")
    return int(text) if text is not None and text.isdecimal() else None
