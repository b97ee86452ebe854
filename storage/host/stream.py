"""How are bytes moved between a socket and the protocols, without copying more than once? Plain sockets and TLS alike.

Received bytes stay where `recv_into` put them, in one buffer that protocols read through a memoryview; what is to be
sent is a list of buffers, sent together. The socket is non-blocking.
"""

import mmap
import socket
import ssl
from typing import Final

from storage.extents.serving import Buffer
from storage.host.loop import READ, WRITE, Handler, Loop

BUFFER_BYTES: Final = 3 << 20
# A whole frame must always fit behind the bytes that are already taken.
FREE_BYTES_MIN: Final = (1 << 20) + 4096
# A peer that does not read its answers is not listened to beyond this.
UNSENT_BUFFERS_MAX: Final = 4096
SENDMSG_BUFFERS_MAX: Final = 512
# TLS copies what it sends; larger pieces save calls, smaller ones memory.
TLS_SEND_BYTES: Final = 256 * 1024
SOCKET_BUFFER_BYTES: Final = 1 << 20
# A buffer that was filled further than this is given back to the system when the connection has been quiet for a while.
KEPT_BYTES: Final = 256 * 1024
QUIET_SECONDS: Final = 5.0


class Stream:
    """One connection. `view[start:end]` is what has come and was not taken yet; `out` is what is to be sent.

    Every method may raise OSError (ConnectionError at the end of the stream): then call `close`.
    """

    __slots__ = ("_buffer", "_loop", "_sock", "_sweeping", "_tls", "_watched", "closed", "end", "out", "start", "view")

    def __init__(self, loop: Loop, sock: socket.socket, handler: Handler, events: int = READ) -> None:
        self._loop = loop
        self._sock = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._buffer = mmap.mmap(-1, BUFFER_BYTES)
        self._sweeping = False
        self.view = memoryview(self._buffer)
        self.start = self.end = 0
        self.out: list[Buffer] = []
        self.closed = False
        self._watched = events
        tune(sock)
        loop.add(sock.fileno(), handler, events)

    def fill(self, *, keep: bool = False) -> bool:
        """Take in what has come. Whether to call again at once: TLS may hold bytes of which epoll knows nothing.

        With `keep` nothing is moved or overwritten that was taken before; there must be room.
        """
        if keep:
            assert self.has_room
        elif self.start == self.end:
            self.start = self.end = 0
        elif BUFFER_BYTES - self.end < FREE_BYTES_MIN:
            rest = bytes(self.view[self.start : self.end])
            self.view[: len(rest)] = rest
            self.start, self.end = 0, len(rest)
        try:
            size = self._sock.recv_into(self.view[self.end :])
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        if size == 0:
            raise ConnectionResetError("the other side closed the connection")
        self.end += size
        if self.end > KEPT_BYTES and not self._sweeping:
            self._sweeping = True
            self._loop.call_later(QUIET_SECONDS, self._sweep)
        return self._tls and self._sock.pending() > 0  # type: ignore[attr-defined]

    @property
    def has_room(self) -> bool:
        """Whether a large frame fits behind all that has come so far."""
        return BUFFER_BYTES - self.end >= FREE_BYTES_MIN

    def send(self) -> None:
        """Send what can be sent now; the loop calls the handler with WRITE when more can be."""
        out = self.out
        try:
            while out:
                self._send_some(out)
        except (BlockingIOError, ssl.SSLWantWriteError):
            pass
        self._watch((READ if len(out) < UNSENT_BUFFERS_MAX else 0) | (WRITE if out else 0))

    def close(self) -> None:
        """End the connection. Nothing happens if that was done."""
        if not self.closed:
            self.closed = True
            self._loop.remove(self._sock.fileno())
            self._sock.close()
            self.out.clear()

    def _sweep(self) -> None:
        """Give the buffer's memory back, if all that came was taken."""
        self._sweeping = False
        if not self.closed and self.start == self.end:
            self._buffer.madvise(mmap.MADV_DONTNEED)

    def _send_some(self, out: list[Buffer]) -> None:
        if self._tls:
            if len(out) > 1 and len(out[0]) < TLS_SEND_BYTES:
                _join_first(out)
            sent = self._sock.send(out[0])
        else:
            sent = self._sock.sendmsg(out[:SENDMSG_BUFFERS_MAX])
        done = 0
        for buffer in out:
            if sent < len(buffer):
                break
            sent -= len(buffer)
            done += 1
        del out[:done]
        if sent:
            out[0] = memoryview(out[0])[sent:]

    def _watch(self, events: int) -> None:
        if events != self._watched:
            self._watched = events
            self._loop.watch(self._sock.fileno(), events)


def _join_first(out: list[Buffer]) -> None:
    """Join the first buffers to one of about TLS_SEND_BYTES. A retried send of TLS must then show the same bytes."""
    size = count = 0
    for buffer in out:
        if size >= TLS_SEND_BYTES:
            break
        size += len(buffer)
        count += 1
    out[:count] = [b"".join(out[:count])]


def tune(sock: socket.socket) -> None:
    """Set what every data socket needs: no waiting, no delay, room for a large request."""
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
