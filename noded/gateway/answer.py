"""How does an answer go out? One answer as ASGI's messages: whole, or in pieces until either side has enough."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
import trio

from noded.core.route import Response
from noded.gateway import faults
from noded.gateway.body import Body, Message

Send = Callable[[Message], Awaitable[None]]


@dataclass(slots=True)
class Answer:
    """A finished decision: status, headers by lower-case name, and a body in one piece or in many."""

    status: int
    headers: dict[str, str]
    content: bytes | AsyncIterator[bytes]


def answer_of(response: Response, status: int, headers: Mapping[str, str]) -> Answer:
    """What a handler answered, as it goes out."""
    content: bytes | AsyncIterator[bytes] = b""
    if response.content is not None:
        content = response.content
    elif response.body is not None:
        content = msgspec.json.encode(response.body)
    merged = {**headers, **{name.lower(): value for name, value in response.headers.items()}}
    if content != b"":
        merged.setdefault("content-type", response.content_type)
    if "vary" in headers and merged["vary"] != headers["vary"]:
        merged["vary"] = f"{headers['vary']}, {merged['vary']}"
    return Answer(status, merged, content)


async def send_answer(answer: Answer, verb: str, body: Body, send: Send) -> None:
    """Send it, then end the exchange: with the whole request read, the connection is ready for the next one.

    The client has its answer before it is drained: one that looks while it sends may stop. If it sends on past the
    limits, the exchange is left open, upon which anycorn closes the connection. Ended then, it would wait for ever
    for room in the queue of body pieces, which nobody reads any more.

    A stream ends early when the client goes away; if making it fails, the connection is cut short.
    """
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    content = answer.content
    if isinstance(content, bytes) and faults.has_body(answer.status):
        headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if verb != "HEAD" and faults.has_body(answer.status):
        if isinstance(content, bytes):
            await send(_part(content))
        else:
            await _send_pieces(content, body, send)
    if await body.drain():
        await send({"type": "http.response.body", "body": b""})


def _part(content: bytes) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": True}


async def _send_pieces(content: AsyncIterator[bytes], body: Body, send: Send) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when_gone, body, nursery.cancel_scope)
        async with aclosing(_closable(content)) as pieces:
            async for piece in pieces:
                await send(_part(piece))
        nursery.cancel_scope.cancel()


async def _cancel_when_gone(body: Body, scope: trio.CancelScope) -> None:
    await body.until_gone()
    scope.cancel()


def _closable(content: AsyncIterator[bytes]) -> Any:
    """The iterator itself if it can be closed (generators can), else one that can."""
    return content if hasattr(content, "aclose") else _relay(content)


async def _relay(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in content:
        yield piece
