"""How a guest's HTTP request for metadata is read and answered: HTTP/1.1 by h11, within limits, on one connection."""

from collections.abc import Callable

import h11
import structlog
import trio

from net.dataplane.metadata import Document

log = structlog.get_logger(__name__)

CONNECTIONS_PER_GUEST_MAX = 8
CONNECTION_S_MAX = 30.0
HEAD_BYTES_MAX = 16 * 1024
BODY_BYTES_MAX = 64 * 1024  # of requests, which have no use for one
_READ_BYTES = 8 * 1024

_FOUND, _NOT_FOUND, _NO_SUCH_VERB = 200, 404, 405
_REASONS = {_FOUND: b"OK", _NOT_FOUND: b"Not Found", _NO_SUCH_VERB: b"Method Not Allowed"}

Lookup = Callable[[str], Document | None]


async def serve_connection(stream: trio.SocketStream, lookup: Lookup) -> None:
    """Answer requests until the guest closes, misbehaves, or its time is up."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
    with trio.move_on_after(CONNECTION_S_MAX):
        try:
            while await _one_exchange(stream, connection, lookup):
                connection.start_next_cycle()
        except h11.RemoteProtocolError as fault:
            log.info("guest sent no HTTP", why=str(fault))
        except trio.BrokenResourceError:
            log.info("guest left before its answer")
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream) if connection.our_state is h11.ERROR else await stream.aclose()


async def _one_exchange(stream: trio.SocketStream, connection: h11.Connection, lookup: Lookup) -> bool:
    """One request and its answer; whether another may follow."""
    request = await _next_event(stream, connection)
    if not isinstance(request, h11.Request):
        return False
    body_bytes = 0
    while not isinstance(event := await _next_event(stream, connection), h11.EndOfMessage):
        if not isinstance(event, h11.Data) or (body_bytes := body_bytes + len(event.data)) > BODY_BYTES_MAX:
            return False
    if request.method not in (b"GET", b"HEAD"):
        await _answer(stream, connection, request, _NO_SUCH_VERB, Document(b"405 Method Not Allowed"))
    else:
        document = lookup(request.target.decode("ascii", "replace"))
        if document is None:
            await _answer(stream, connection, request, _NOT_FOUND, Document(b"404 Not Found"))
        else:
            await _answer(stream, connection, request, _FOUND, document)
    return connection.our_state is h11.DONE and connection.their_state is h11.DONE


async def _next_event(stream: trio.SocketStream, connection: h11.Connection) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await stream.receive_some(_READ_BYTES))
    return event


async def _answer(
    stream: trio.SocketStream, connection: h11.Connection, request: h11.Request, code: int, document: Document
) -> None:
    headers = [
        ("content-type", document.content_type),
        ("content-length", str(len(document.content))),
    ]
    data = connection.send(h11.Response(status_code=code, headers=headers, reason=_REASONS[code])) or b""
    if request.method != b"HEAD":
        data += connection.send(h11.Data(data=document.content)) or b""
    data += connection.send(h11.EndOfMessage()) or b""
    await stream.send_all(data)
