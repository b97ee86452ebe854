"""Who serves the replicas on a disk? One process a disk, apart from the daemon's life.

    python -m storage.host.extent_server --disk DIR --disk-id ID --listen HOST:PORT --tls DIR --run DIR

It listens on TCP with mutual TLS for the volume servers of other nodes, and without on `<run>/extents/<disk id>.sock`
(mode 0600) for those of this node and for the daemon. One turn of the loop reads all that has come on all connections,
commits it with one write to the journal, and answers: the waiting for the disk is what makes the next batch.

When the disk fails the process ends, and acknowledges nothing any more.
"""

import argparse
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from consensus.refusals import RefusalKind
from noded.core.ids import DiskId
from storage.extents.frame import BadFrame
from storage.extents.serving import Session
from storage.host.direct_files import SealCount
from storage.host.event_log import note
from storage.host.extent import DiskReplica
from storage.host.extent_store import ExtentStore, segment_bytes_for
from storage.host.lock import ProcessLock
from storage.host.loop import READ, WRITE, Loop
from storage.host.open_files import allow_many_files
from storage.host.paths import extent_lock, extent_socket, seals_file
from storage.host.refused import RefusedConnections, kind_of, refused_file
from storage.host.stream import Stream, tune
from storage.host.tls import NodeTls
from storage.host.wire import PlainWire, TlsWire

CONNECTIONS_MAX: Final = 512
HANDSHAKE_SECONDS_MAX: Final = 10.0
IDLE_SECONDS: Final = 30.0
GONE_LOOK_SECONDS: Final = 0.5


class Connection:
    """A volume server, or the daemon, at the other end."""

    def __init__(self, server: "ExtentServer", wire: PlainWire | TlsWire, address: str = "") -> None:
        self._server = server
        self._wire = wire
        self._address = address
        self._handshaking = isinstance(wire, TlsWire)
        self.stream = Stream(server.loop, wire, self.handle)
        self.session: Session[DiskReplica] = Session(server.store, self.stream.out)

    def handle(self, events: int) -> None:
        """What the loop calls."""
        try:
            if self._handshaking:
                self._shake_hands()
                return
            if events & WRITE:
                self.stream.send()
            if events & ~WRITE:
                self._receive()
        except (OSError, BadFrame) as error:
            self.end(error)

    def answer(self) -> None:
        """Send what is owed, after a commit."""
        self.session.acknowledge()
        try:
            self.stream.send()
        except OSError as error:
            self.end(error)

    def end(self, reason: Exception | str) -> None:
        """Close it."""
        if not self.stream.closed:
            if self._handshaking:
                self._server.refuse(kind_of(reason), self._address, str(reason))
            # The daemon asks its few questions on a connection each: their ends would fill the log.
            elif self.session.volume_id or not isinstance(reason, ConnectionResetError):
                note("connection ended", reason=str(reason), volume=self.session.volume_id)
            self.stream.close()
            self._server.forget(self)

    def give_up_handshake(self) -> None:
        """Close it if it has not proved who it is in time."""
        if self._handshaking:
            self.end("no handshake in time")

    def end_if_gone(self) -> None:
        """Close it if its node is no member of the cluster any more."""
        tls = self._server.tls
        if (
            isinstance(self._wire, TlsWire)
            and not self._handshaking
            and tls is not None
            and tls.is_gone(self._wire.certificate)
        ):
            self._server.refuse(RefusalKind.REMOVED_NODE, self._address, "no member of the cluster any more")
            self.end("its node is no member of the cluster any more")

    def _receive(self) -> None:
        stream = self.stream
        stream.fill()
        # What has been taken stays in place until the commit: nothing more is taken in before it.
        stream.start = self.session.receive(stream.view, stream.start, stream.end)
        self._server.touched.add(self)

    def _shake_hands(self) -> None:
        assert isinstance(self._wire, TlsWire)
        try:
            self._wire.shake_hands()
        except BlockingIOError:
            self._server.loop.watch(self._wire.fileno(), READ | (WRITE if self._wire.has_unsent else 0))
            return
        self._server.loop.watch(self._wire.fileno(), READ)
        self._handshaking = False
        self.end_if_gone()
        if self.stream.closed:
            return
        # The first frames may have come with the end of the handshake, and epoll would not tell.
        self._receive()


class ExtentServer:
    """One disk, its listeners and its connections."""

    def __init__(
        self, loop: Loop, store: ExtentStore, tls: NodeTls | None, refused: RefusedConnections | None = None
    ) -> None:
        self.loop = loop
        self.store = store
        self.touched: set[Connection] = set()
        self.tls = tls
        self._refused = refused
        self._gone_seen: int | None = None
        self._connections: set[Connection] = set()
        loop.after.append(self._commit)
        self._look_for_idleness()
        self._look_for_gone()

    def listen(self, listener: socket.socket, *, secured: bool) -> None:
        """Take connections from a listening socket."""
        listener.setblocking(False)
        self.loop.add(listener.fileno(), lambda _events: self._accept(listener, secured=secured))

    def refuse(self, kind: RefusalKind, address: str, detail: str) -> None:
        """Count a connection that came to nothing."""
        if self._refused is not None:
            self._refused.note(kind, address, detail)

    def forget(self, connection: Connection) -> None:
        """A connection has ended."""
        self._connections.discard(connection)
        self.touched.discard(connection)

    def _accept(self, listener: socket.socket, *, secured: bool) -> None:
        try:
            sock, address = listener.accept()
        except OSError as error:
            note("no connection taken", reason=str(error))
            return
        if len(self._connections) >= CONNECTIONS_MAX:
            self.refuse(RefusalKind.TOO_MANY, _host(address), f"{CONNECTIONS_MAX} connections are open")
            sock.close()
            return
        if secured:
            assert self.tls is not None
            try:
                wire: PlainWire | TlsWire = TlsWire(sock, self.tls.server())
            except (OSError, ValueError) as error:
                note("connection refused", reason=str(error), peer=address)
                sock.close()
                return
        else:
            wire = PlainWire(sock)
        tune(sock)
        connection = Connection(self, wire, _host(address) if secured else "")
        self._connections.add(connection)
        if secured:
            self.loop.call_later(HANDSHAKE_SECONDS_MAX, connection.give_up_handshake)

    def _look_for_idleness(self) -> None:
        self.store.settle_if_idle()
        self.loop.call_later(IDLE_SECONDS, self._look_for_idleness)

    def _look_for_gone(self) -> None:
        """Hang up on nodes that have gone since the last look: they were let in when they were members."""
        if self.tls is not None and (seen := self.tls.gone_since()) != self._gone_seen:
            self._gone_seen = seen
            for connection in tuple(self._connections):
                connection.end_if_gone()
        self.loop.call_later(GONE_LOOK_SECONDS, self._look_for_gone)

    def _commit(self) -> None:
        while self.touched:
            self.store.commit()
            touched, self.touched = self.touched, set()
            for connection in touched:
                connection.answer()


def _host(address: object) -> str:
    """The peer's IP address; a unix socket has none."""
    return str(address[0]) if isinstance(address, tuple) else ""


def listening_address(text: str) -> tuple[str, int]:
    """HOST:PORT, taken apart."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="extent_server", description="Serve the replicas on one disk.")
    parser.add_argument("--disk", type=Path, required=True, metavar="DIR")
    parser.add_argument("--disk-id", required=True, metavar="ID")
    parser.add_argument("--listen", type=listening_address, metavar="HOST:PORT")
    parser.add_argument("--tls", type=Path, metavar="DIR", help="holds node.crt, node.key, ca.crt")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR")
    parser.add_argument("--segment-mib", type=int, metavar="N", help="of the journal, which has two")
    return parser.parse_args(words)


def main(words: Sequence[str]) -> None:
    """Serve until SIGTERM."""
    asked = arguments(words)
    disk_id = DiskId(asked.disk_id)
    lock = ProcessLock(extent_lock(asked.run, disk_id))
    lock.take()
    asked.disk.mkdir(parents=True, exist_ok=True)
    # The directory has a lock too: two run directories must not serve the same disk.
    disk_lock = ProcessLock(asked.disk / "lock")
    disk_lock.take()
    allow_many_files()
    loop = Loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: loop.call_from_thread(loop.stop))
    store: ExtentStore | None = None

    def settled() -> None:
        assert store is not None
        store.finish_settling()

    store = ExtentStore(
        asked.disk,
        disk_id,
        segment_bytes=asked.segment_mib << 20 if asked.segment_mib else segment_bytes_for(asked.disk),
        wake=lambda: loop.call_from_thread(settled),
        seals=SealCount(seals_file(asked.run, disk_id), writable=True),
    )
    port = asked.listen[1] if asked.listen else 0
    refused = RefusedConnections(refused_file(asked.run, disk_id), port, loop.call_later)
    server = ExtentServer(loop, store, NodeTls(asked.tls) if asked.tls else None, refused)
    if asked.listen:
        assert asked.tls, "a TCP listener needs certificates"
        family = socket.AF_INET6 if ":" in asked.listen[0] else socket.AF_INET
        server.listen(socket.create_server(asked.listen, family=family, backlog=128), secured=True)
    server.listen(_local_listener(extent_socket(asked.run, disk_id)), secured=False)
    note("extent server started", disk=disk_id, pid=os.getpid())
    # What lives now lives on: the collector need not look at it again, nor often at the rest.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sys.setswitchinterval(0.0005)
    loop.run()
    store.close()
    note("extent server stopped", disk=disk_id)


def _local_listener(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    previous = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(previous)
    listener.listen(128)
    return listener


if __name__ == "__main__":
    main(sys.argv[1:])
