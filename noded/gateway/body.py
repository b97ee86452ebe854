"""What did the client send after its headers? Read piece by piece, never past the route's limit, never for ever."""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

import trio

from noded.core.errors import Invalid, TooLarge
from noded.gateway.limits import BODY_IDLE_S, DRAIN_BYTES_MAX, DRAIN_S

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class ClientGone(Exception):  # noqa: N818  # it names what happened
    """The client closed the connection before its request was whole: nobody waits for an answer."""


class Body:
    """One request's body. Each byte is read once."""

    def __init__(self, receive: Receive, bytes_max: int, drain_bytes_max: int = DRAIN_BYTES_MAX) -> None:
        self._receive = receive
        self._bytes_max = bytes_max
        self._drain_bytes_max = drain_bytes_max
        self._bytes = 0
        self._finished = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises `TooLarge`, `Invalid` when the client stalls, and `ClientGone`."""
        while not self._finished:
            with trio.move_on_after(BODY_IDLE_S) as patience:
                piece = await self._next()
            if patience.cancelled_caught:
                raise Invalid(f"Nothing of the body arrived for {BODY_IDLE_S:.0f} seconds.")
            if self._bytes > self._bytes_max:
                raise TooLarge(f"The body is larger than the {self._bytes_max} bytes that are read here.")
            if piece:
                yield piece

    async def whole(self) -> bytes:
        """All of it."""
        return b"".join([piece async for piece in self.pieces()])

    async def drain(self) -> bool:
        """Throw away what was not read, within limits: closing on a client that still sends may lose it the answer.

        Whether all has been read. Raises `ClientGone`.
        """
        stop_at = self._bytes + self._drain_bytes_max
        with trio.move_on_after(DRAIN_S):
            while not self._finished and self._bytes < stop_at:
                await self._next()
        return self._finished

    async def until_gone(self) -> None:
        """Throw away what was not read, and return when the client closes the connection."""
        with suppress(ClientGone):
            while True:
                await self._next()

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._finished = True
            raise ClientGone
        piece: bytes = message.get("body", b"")
        self._finished = not message.get("more_body", False)
        self._bytes += len(piece)
        return piece
