"""How are bytes moved between a socket and the protocols, without copying more than once? Plain sockets and TLS alike.

Received bytes stay where `recv_into` put them, in one buffer that protocols read through a memoryview; what is to be
sent is a list of buffers, sent together. The socket is non-blocking.
"""

import mmap
import socket
from typing import Final

from storage.extents.serving import Buffer
from storage.host.loop import READ, WRITE, Handler, Loop
from storage.host.wire import Wire

BUFFER_BYTES: Final = 3 << 20
# A whole frame must always fit behind the bytes that are already taken.
FREE_BYTES_MIN: Final = (1 << 20) + 4096
# A peer that does not read its answers is not listened to beyond this.
UNSENT_BUFFERS_MAX: Final = 4096
SOCKET_BUFFER_BYTES: Final = 2 << 20
# Of <asm-generic/socket.h>: beyond the limits for ordinary users, in which not even one large request finds room.
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
# A buffer that was filled further than this is given back to the system when the connection has been quiet for a while.
KEPT_BYTES: Final = 256 * 1024
QUIET_SECONDS: Final = 5.0


class Stream:
    """One connection. `view[start:end]` is what has come and was not taken yet; `out` is what is to be sent.

    Every method may raise OSError (ConnectionError at the end of the stream): then call `close`.
    """

    __slots__ = ("_buffer", "_loop", "_sweeping", "_watched", "_wire", "closed", "end", "out", "start", "view")

    def __init__(self, loop: Loop, wire: Wire, handler: Handler, events: int = READ) -> None:
        self._loop = loop
        self._wire = wire
        self._buffer = mmap.mmap(-1, BUFFER_BYTES)
        self._sweeping = False
        self.view = memoryview(self._buffer)
        self.start = self.end = 0
        self.out: list[Buffer] = []
        self.closed = False
        self._watched = events
        loop.add(wire.fileno(), handler, events)

    def fill(self) -> None:
        """Take in what has come; there is always room for a large frame. What was taken before is overwritten."""
        if self.start == self.end:
            self.start = self.end = 0
        elif BUFFER_BYTES - self.end < FREE_BYTES_MIN:
            rest = bytes(self.view[self.start : self.end])
            self.view[: len(rest)] = rest
            self.start, self.end = 0, len(rest)
        try:
            self.end += self._wire.receive_into(self.view[self.end :])
        except BlockingIOError:
            return
        if self.end > KEPT_BYTES and not self._sweeping:
            self._sweeping = True
            self._loop.call_later(QUIET_SECONDS, self._sweep)

    def send(self) -> None:
        """Send what can be sent now; the loop calls the handler with WRITE when more can be."""
        out, wire = self.out, self._wire
        try:
            while out or wire.has_unsent:
                wire.send(out)
        except BlockingIOError:
            pass
        waiting = bool(out) or wire.has_unsent
        self._watch((READ if len(out) < UNSENT_BUFFERS_MAX else 0) | (WRITE if waiting else 0))

    def close(self) -> None:
        """End the connection. Nothing happens if that was done."""
        if not self.closed:
            self.closed = True
            self._loop.remove(self._wire.fileno())
            self._wire.close()
            self.out.clear()

    def _sweep(self) -> None:
        """Give the buffer's memory back, if all that came was taken."""
        self._sweeping = False
        if not self.closed and self.start == self.end:
            self._buffer.madvise(mmap.MADV_DONTNEED)

    def _watch(self, events: int) -> None:
        if events != self._watched:
            self._watched = events
            self._loop.watch(self._wire.fileno(), events)


def tune(sock: socket.socket) -> None:
    """Set what every data socket needs: no waiting, no delay, room for large requests.

    A sender that finds no room is woken for each piece that the other side has taken: 65 times for 1 MiB.
    """
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for forced, usual in ((_SO_SNDBUFFORCE, socket.SO_SNDBUF), (_SO_RCVBUFFORCE, socket.SO_RCVBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, SOCKET_BUFFER_BYTES)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, usual, SOCKET_BUFFER_BYTES)
