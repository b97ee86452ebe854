"""Who speaks NBD with QEMU? A unix socket that root and one group may open; any number of connections, one volume.

QEMU is often a user of its own. The group is that of the run directory: whoever may pass through it is let in.
"""

import grp
import os
import socket
from pathlib import Path
from typing import Final

from storage.extents.nbd import Backend, BadRequest, NbdSession
from storage.host.event_log import note
from storage.host.loop import WRITE, Loop
from storage.host.stream import Stream, tune
from storage.host.wire import PlainWire

CONNECTIONS_MAX: Final = 64
GUESTS_GROUP: Final = "noded"


class NbdServer:
    """The listener and its clients."""

    def __init__(self, loop: Loop, path: Path, name: str, backend: Backend, group: int) -> None:
        self._loop = loop
        self._name = name
        self._backend = backend
        self._path = path
        self.clients: set[NbdClient] = set()
        self.written: set[NbdClient] = set()
        self._listener = private_listener(path)
        os.chown(path, -1, group)
        path.chmod(0o660)
        loop.add(self._listener.fileno(), self._accept)
        loop.after.append(self._send_all)

    def close(self) -> None:
        """End all of it."""
        self._loop.remove(self._listener.fileno())
        self._listener.close()
        self._path.unlink(missing_ok=True)
        for client in list(self.clients):
            client.end("the volume server stops")

    def _accept(self, _events: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            note("no NBD client taken", reason=str(error))
            return
        if len(self.clients) >= CONNECTIONS_MAX:
            note("NBD client refused", reason=f"{CONNECTIONS_MAX} are connected")
            sock.close()
            return
        self.clients.add(NbdClient(self, self._loop, sock, self._name, self._backend))

    def _send_all(self) -> None:
        while self.written:
            written, self.written = self.written, set()
            for client in written:
                client.send()


class NbdClient:
    """One connection."""

    def __init__(self, server: NbdServer, loop: Loop, sock: socket.socket, name: str, backend: Backend) -> None:
        self._server = server
        tune(sock)
        self._stream = Stream(loop, PlainWire(sock), self._handle)
        self._session = NbdSession(name, backend, self._stream.out, self._wrote)
        server.written.add(self)

    def send(self) -> None:
        """Send what is owed."""
        if self._stream.closed:
            return
        try:
            self._stream.send()
        except OSError as error:
            self.end(str(error))

    def end(self, reason: str) -> None:
        """Close the connection; requests under way are carried out, and answered to nobody."""
        if not self._stream.closed:
            note("NBD client gone", reason=reason)
            self._stream.close()
            self._server.clients.discard(self)

    def _wrote(self) -> None:
        self._server.written.add(self)

    def _handle(self, events: int) -> None:
        stream = self._stream
        try:
            if events & WRITE:
                stream.send()
            if events & ~WRITE:
                stream.fill()
                stream.start = self._session.receive(stream.view, stream.start, stream.end)
        except (OSError, BadRequest) as error:
            self.end(str(error))
            return
        if self._session.ended:
            self.end("it said goodbye")


def let_guests_in(path: Path) -> None:
    """On an installed node QEMU is no root: whoever is in the group `noded` may open the socket, and pass to it."""
    try:
        group = grp.getgrnam(GUESTS_GROUP).gr_gid
    except KeyError:
        return  # QEMU runs as root here, or can't be let in: its guests then say that they can't open their disk
    for directory in (path.parent.parent, path.parent):
        os.chown(directory, -1, group)
        directory.chmod(0o710)
    os.chown(path, -1, group)
    path.chmod(0o660)


def private_listener(path: Path) -> socket.socket:
    """A listening unix socket that only root can open, from its first moment on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    previous = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(previous)
    listener.listen(64)
    listener.setblocking(False)
    return listener
