"""How are length-prefixed frames read from a stream, whole or not at all?"""

from collections.abc import Callable
from typing import Final

import trio

RECEIVE_BYTES: Final = 256 * 1024


class StreamEnded(Exception):  # noqa: N818  # it names what happened
    """The other side closed the stream. `clean`: between two frames, as it may."""

    def __init__(self, *, clean: bool) -> None:
        super().__init__("the other side closed the connection" + ("" if clean else " in the middle of a message"))
        self.clean = clean


class FrameReader:
    """Frames of one stream, one after another. `body_length` reads a header and says how long the body is."""

    def __init__(self, stream: trio.abc.ReceiveStream, body_length: Callable[[bytes], int]) -> None:
        self._stream = stream
        self._body_length = body_length
        self._buffer = bytearray()

    async def next(self) -> bytes:
        """The body of the next frame. Raises StreamEnded, and whatever `body_length` raises."""
        length = self._body_length(await self._take(4, first=True))
        return await self._take(length, first=False)

    async def _take(self, size: int, *, first: bool) -> bytes:
        while len(self._buffer) < size:
            piece = await self._stream.receive_some(RECEIVE_BYTES)
            if not piece:
                raise StreamEnded(clean=first and not self._buffer)
            self._buffer += piece
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken
