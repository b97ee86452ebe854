"""How do bytes get through a socket, plain or with TLS, in as few system calls as possible?

TLS runs in memory here, beside the socket and not in it. A socket of the `ssl` module makes two system calls for each
record that comes and one for each that goes, and tells of one record at a time: so a server would see one write of a
guest, bring it to the disk, and only then see the next. Here all that has come is taken at once, and all that is to go
goes at once.

Whatever is wrong is an OSError: ConnectionResetError at the end of the stream, ssl.SSLError if it is not what TLS says.
"""

import mmap
import socket
import ssl
from typing import Final, Protocol

from storage.extents.serving import Buffer

SENDMSG_BUFFERS_MAX: Final = 512
# What is sent under TLS is copied; larger pieces save calls, smaller ones memory.
TLS_SEND_BYTES: Final = 256 * 1024
# From this size on, joining a buffer with its neighbours costs more than a record of its own.
TLS_JOIN_BYTES_MAX: Final = 16 * 1024
TLS_RECEIVE_BYTES: Final = 512 * 1024

# What has come and is not deciphered yet. All connections of a process are served by one thread: it is shared.
_received: Final = memoryview(mmap.mmap(-1, TLS_RECEIVE_BYTES))


class Wire(Protocol):
    """A connected socket that does not block."""

    def fileno(self) -> int:
        """For epoll."""

    def receive_into(self, view: memoryview) -> int:
        """Put what has come into `view`: how many bytes, at least one. Raises BlockingIOError if there is nothing."""

    def send(self, out: list[Buffer]) -> None:
        """Take buffers off `out`, from the front, as far as they can be sent. Raises BlockingIOError if nothing can."""

    @property
    def has_unsent(self) -> bool:
        """Whether something that was taken off has not left yet: `send` again."""

    def close(self) -> None:
        """Give the socket back."""


class PlainWire:
    """A socket as it is."""

    has_unsent = False

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def fileno(self) -> int:
        """See `Wire`."""
        return self._sock.fileno()

    def receive_into(self, view: memoryview) -> int:
        """See `Wire`."""
        size = self._sock.recv_into(view)
        if size == 0:
            raise ConnectionResetError("the other side closed the connection")
        return size

    def send(self, out: list[Buffer]) -> None:
        """See `Wire`."""
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

    def close(self) -> None:
        """See `Wire`."""
        self._sock.close()


class TlsWire:
    """A socket with TLS. First call `shake_hands` until it says that it is done."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server_hostname: str | None = None) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_hostname is None, server_hostname=server_hostname
        )
        self._unsent = memoryview(b"")

    @property
    def certificate(self) -> bytes | None:
        """The certificate of the other side, DER; None before the handshake."""
        return self._tls.getpeercert(True)

    @property
    def has_unsent(self) -> bool:
        """See `Wire`."""
        return bool(self._unsent) or self._outgoing.pending > 0

    def fileno(self) -> int:
        """See `Wire`."""
        return self._sock.fileno()

    def shake_hands(self) -> bool:
        """Go on with the handshake; whether it is done. A socket that does not block raises BlockingIOError: wait until
        it can be read, or, if something is unsent, written."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._take_in(memoryview(bytearray(TLS_JOIN_BYTES_MAX)))
            except ssl.SSLError:
                self._say_why()
                raise
            else:
                self._flush()
                return True

    def receive_into(self, view: memoryview) -> int:
        """See `Wire`."""
        # Something may have come with the end of the handshake, or had no room in the last view.
        size = self._decipher(view) if self._incoming.pending or self._tls.pending() else 0
        if not size:
            self._take_in(_received)
            size = self._decipher(view)
        if not size:
            raise BlockingIOError("no whole record has come")
        return size

    def send(self, out: list[Buffer]) -> None:
        """See `Wire`."""
        self._flush()
        count = size = 0
        for buffer in out:
            if size >= TLS_SEND_BYTES:
                break
            count += 1
            size += len(buffer)
        small: list[Buffer] = []
        for buffer in out[:count]:
            if len(buffer) < TLS_JOIN_BYTES_MAX:
                small.append(buffer)
                continue
            if small:
                self._tls.write(b"".join(small))
                small.clear()
            self._tls.write(buffer)
        if small:
            self._tls.write(b"".join(small))
        del out[:count]
        self._flush()

    def close(self) -> None:
        """See `Wire`."""
        self._sock.close()

    def _take_in(self, room: memoryview) -> None:
        size = self._sock.recv_into(room)
        if size == 0:
            raise ConnectionResetError("the other side closed the connection")
        self._incoming.write(room[:size])

    def _decipher(self, view: memoryview) -> int:
        at = 0
        try:
            while at < len(view):
                # With a buffer it answers how many bytes it put there.
                size: int = self._tls.read(len(view) - at, view[at:])  # type: ignore[assignment]
                if not size:
                    raise ConnectionResetError("the other side closed the connection")
                at += size
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError as error:
            raise ConnectionResetError("the other side closed the connection") from error
        return at

    def _flush(self) -> None:
        while True:
            if not self._unsent:
                if not self._outgoing.pending:
                    return
                self._unsent = memoryview(self._outgoing.read())
            self._unsent = self._unsent[self._sock.send(self._unsent) :]

    def _say_why(self) -> None:
        """Let the other side know what was wrong with its handshake, if it can be told at once."""
        try:
            self._flush()
        except OSError:
            self._unsent = memoryview(b"")
