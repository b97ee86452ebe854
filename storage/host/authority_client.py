"""How does a volume server reach the log? Through its own node's daemon, and while that is down through another's.

One thread asks, one question at a time; the loop goes on meanwhile.
"""

import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from consensus.host.peers_plain import call_daemon, call_node
from noded.core.errors import Refused, Unavailable
from noded.core.ids import NodeId
from storage.extents.authority import METHODS, Request, VolumeMap
from storage.host.paths import peers_socket
from storage.host.tls import NodeTls

LOCAL_SECONDS_MAX: Final = 6.0
REMOTE_SECONDS_MAX: Final = 4.0

Told = Callable[[VolumeMap], None]
RefusedThen = Callable[[Refused], None]


class AuthorityClient:
    """Implements `VolumeAuthority`, and asks without blocking for who can't wait."""

    def __init__(self, run: Path, node_id: NodeId, tls: NodeTls) -> None:
        self._run = run
        self._node_id = node_id
        self._tls = tls
        # Where other daemons are, from the newest map.
        self.hosts: Mapping[NodeId, str] = {}
        self._questions: queue.SimpleQueue[tuple[Request, Told, RefusedThen]] = queue.SimpleQueue()
        threading.Thread(target=self._answer, name="authority", daemon=True).start()

    def ask(self, request: Request) -> VolumeMap:
        """Ask the own daemon, then the others. Raises the handler's `Refused`, or `Unavailable`."""
        method, payload = METHODS[type(request)], msgspec.msgpack.encode(request)
        try:
            answer = call_daemon(peers_socket(self._run), self._node_id, method, payload, LOCAL_SECONDS_MAX)
        except Unavailable as fault:
            answer = self._ask_others(method, payload, fault)
        found = msgspec.msgpack.decode(answer, type=VolumeMap)
        self.hosts = {disk.node_id: disk.host for disk in found.disks.values()}
        return found

    def ask_later(self, request: Request, told: Told, refused: RefusedThen) -> None:
        """Ask in the thread; it calls one of the two."""
        self._questions.put((request, told, refused))

    def _ask_others(self, method: str, payload: bytes, fault: Unavailable) -> bytes:
        for node_id, host in self.hosts.items():
            if node_id == self._node_id:
                continue
            try:
                return call_node(self._tls.client(), node_id, [host], method, payload, REMOTE_SECONDS_MAX)
            except Unavailable as other:
                fault = other
        raise fault

    def _answer(self) -> None:
        while True:
            request, told, refused = self._questions.get()
            try:
                found = self.ask(request)
            except Refused as refusal:
                refused(refusal)
            else:
                told(found)
