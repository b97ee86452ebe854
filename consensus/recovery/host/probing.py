"""Who of a cluster's members is alive, and in which life of its log? Asked from a node that takes no part in it.

A member is known by the key that it proves to hold in the TLS handshake, before it says whether it knows us.
"""

import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from consensus.discovery import NodeState, Sighting
from consensus.host.mdns import MdnsDiscovery
from consensus.host.messages import BadMessage, Hello, body_length, decode_hello, encode, frame
from consensus.host.tls import TlsContexts, door_client, peer_public_key
from consensus.incarnation import UNNAMED, Incarnation
from consensus.naming import node_id_of
from consensus.ports import RAFT_PORT
from noded.core.ids import NodeId

PROBE_S_MAX: Final = 1.5
BROWSE_S: Final = 2.0
AT_ONCE: Final = 16

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Asker:
    """As whom to ask for a life: `contexts` are those of a member."""

    node_id: NodeId
    contexts: TlsContexts


def who_answers(members: Mapping[NodeId, Sequence[str]], port: int = RAFT_PORT) -> dict[NodeId, str]:
    """Those that take part in the log at one of their addresses now, and which one that is."""

    def answering(node_id: NodeId) -> str | None:
        return next((address for address in members[node_id] if _proves(node_id, address, port)), None)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = zip(members, pool.map(answering, members), strict=True)
    return {node_id: address for node_id, address in found if address is not None}


def life_at(asker: Asker, address: str, port: int = RAFT_PORT) -> Incarnation | None:
    """Which life the member at that address follows; None if it does not say so to us."""
    # Whoever follows any life at all answers one that follows an older one with its own.
    hello = frame(encode(Hello(asker.node_id, port, incarnation=UNNAMED)))
    try:
        with (
            socket.create_connection((address, port), timeout=PROBE_S_MAX) as plain,
            asker.contexts.client.wrap_socket(plain) as secure,
        ):
            secure.sendall(hello)
            answer = _read_frame(secure)
            return decode_hello(answer).incarnation
    except (OSError, BadMessage) as error:
        log.info("a member does not say which life it follows", address=address, reason=str(error))
        return None


def members_announced(cluster: str, own_addresses: Sequence[str]) -> dict[NodeId, Sighting]:
    """Who announces itself on the network as a member of a cluster of that name."""

    async def browse() -> dict[NodeId, Sighting]:
        discovery = MdnsDiscovery(own_addresses)
        async with trio.open_nursery() as nursery:
            await nursery.start(discovery.run)
            await trio.sleep(BROWSE_S)
            heard = dict(discovery.sightings())
            nursery.cancel_scope.cancel()
        return heard

    heard = trio.run(browse)
    return {
        node_id: sighting
        for node_id, sighting in heard.items()
        if sighting.state is NodeState.MEMBER and sighting.cluster == cluster
    }


def _proves(node_id: NodeId, address: str, port: int) -> bool:
    try:
        with (
            socket.create_connection((address, port), timeout=PROBE_S_MAX) as plain,
            door_client().wrap_socket(plain) as secure,
        ):
            return node_id_of(peer_public_key(secure)) == node_id
    except OSError as error:
        log.debug("nobody there", node=node_id, address=address, reason=str(error))
        return False


def _read_frame(stream: socket.socket) -> bytes:
    return _read(stream, body_length(_read(stream, 4)))


def _read(stream: socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        piece = stream.recv(size - len(content))
        if not piece:
            raise ConnectionResetError("it closed the connection")
        content += piece
    return bytes(content)
