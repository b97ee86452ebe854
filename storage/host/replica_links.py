"""How are a volume's replicas connected? A stream to each disk's extent server, made anew whenever it ends.

Making a connection blocks (resolve, connect, handshake), so threads do it; what they made joins the loop.
"""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from noded.core.ids import DiskId, NodeId
from storage.extents.authority import DiskAddress
from storage.extents.frame import BadFrame
from storage.extents.replication import Owner
from storage.host.event_log import note
from storage.host.loop import WRITE, Loop
from storage.host.paths import extent_socket
from storage.host.stream import Stream, tune
from storage.host.tls import NodeTls, server_name
from storage.host.wire import PlainWire, TlsWire, Wire

CONNECT_SECONDS_MAX: Final = 3.0
AGAIN_SECONDS: Final = 0.3
AGAIN_SECONDS_MAX: Final = 3.0
# A replica that refuses something is not asked again at once; a full disk stays full for a while.
REFUSED_SECONDS: Final = 2.0
FULL_SECONDS: Final = 30.0
DIALERS: Final = 3


class ReplicaLinks:
    """The streams to all replicas of one volume."""

    def __init__(self, loop: Loop, node_id: NodeId, run: Path, tls: NodeTls) -> None:
        self._loop = loop
        self._node_id = node_id
        self._run = run
        self._tls = tls
        self._streams: dict[DiskId, Stream] = {}
        self._pauses: dict[DiskId, float] = {}
        self._dialers = ThreadPoolExecutor(DIALERS, thread_name_prefix="dial")
        self._owner: Owner | None = None

    def start(self, owner: Owner) -> None:
        """Connect to all of them, and keep connected."""
        self._owner = owner
        self._loop.after.append(self._send_all)
        for disk_id in owner.members:
            self._dial(disk_id)

    def drop(self, disk_id: DiskId) -> None:
        """End a connection of which the owner expects nothing more, and make a new one later."""
        stream = self._streams.pop(disk_id, None)
        if stream is not None:
            stream.close()
        member = self._owner.members.get(disk_id) if self._owner is not None else None
        is_full = member is not None and member.is_full
        self._loop.call_later(FULL_SECONDS if is_full else REFUSED_SECONDS, partial(self._dial, disk_id))

    def reach(self, disk_id: DiskId) -> None:
        """Connect to a replica that is new."""
        self._dial(disk_id)

    def close(self) -> None:
        """End all of them."""
        self._owner = None
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        self._dialers.shutdown(wait=False, cancel_futures=True)

    def _dial_later(self, disk_id: DiskId) -> None:
        pause = self._pauses.get(disk_id, AGAIN_SECONDS)
        self._pauses[disk_id] = min(2 * pause, AGAIN_SECONDS_MAX)
        self._loop.call_later(pause, partial(self._dial, disk_id))

    def _dial(self, disk_id: DiskId) -> None:
        if self._owner is None or disk_id in self._streams or disk_id not in self._owner.members:
            return
        # The newest map's: a node may have another address than when the volume was opened.
        address = self._owner.in_sync.volume.disks.get(disk_id)
        if address is None:
            self._dial_later(disk_id)
        else:
            self._dialers.submit(self._connect, disk_id, address)

    def _connect(self, disk_id: DiskId, address: DiskAddress) -> None:
        """In a thread: a connection, or the reason why there is none."""
        try:
            made: Wire | OSError = self._connected(disk_id, address)
        except OSError as error:
            made = error
        self._loop.call_from_thread(partial(self._joined, disk_id, made))

    def _connected(self, disk_id: DiskId, address: DiskAddress) -> Wire:
        if address.node_id == self._node_id:
            local = socket.socket(socket.AF_UNIX)
            try:
                local.settimeout(CONNECT_SECONDS_MAX)
                local.connect(str(extent_socket(self._run, disk_id)))
            except OSError:
                local.close()
                raise
            tune(local)
            return PlainWire(local)
        plain = socket.create_connection((address.host, address.port), timeout=CONNECT_SECONDS_MAX)
        try:
            # The certificate must name the node that the disk is said to be in.
            wire = TlsWire(plain, self._tls.client(), server_hostname=server_name(address.node_id))
            wire.shake_hands()
        except OSError:
            plain.close()
            raise
        tune(plain)
        return wire

    def _joined(self, disk_id: DiskId, made: Wire | OSError) -> None:
        owner = self._owner
        if isinstance(made, OSError):
            if owner is not None:
                self._dial_later(disk_id)
            return
        if owner is None or disk_id in self._streams or disk_id not in owner.members:
            made.close()
            return
        stream = Stream(self._loop, made, partial(self._handle, disk_id))
        self._streams[disk_id] = stream
        owner.members[disk_id].out = stream.out
        note("replica connected", disk=disk_id, at=time.monotonic())
        owner.connected(disk_id)

    def _handle(self, disk_id: DiskId, events: int) -> None:
        stream, owner = self._streams.get(disk_id), self._owner
        if stream is None or owner is None:
            return
        try:
            if events & WRITE:
                stream.send()
            if events & ~WRITE:
                self._receive(disk_id, stream, owner)
        except (OSError, BadFrame) as error:
            self._lost(disk_id, stream, str(error))

    def _receive(self, disk_id: DiskId, stream: Stream, owner: Owner) -> None:
        stream.fill()
        if stream.end > stream.start:
            stream.start = owner.received(disk_id, stream.view, stream.start, stream.end)
        self._pauses.pop(disk_id, None)

    def _lost(self, disk_id: DiskId, stream: Stream, reason: str) -> None:
        if self._streams.get(disk_id) is stream:
            del self._streams[disk_id]
            stream.close()
            if self._owner is not None:
                self._owner.disconnected(disk_id, reason)
                self._dial_later(disk_id)

    def _send_all(self) -> None:
        for disk_id, stream in list(self._streams.items()):
            if stream.out:
                try:
                    stream.send()
                except OSError as error:
                    self._lost(disk_id, stream, str(error))
