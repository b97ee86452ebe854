"""How does a small process without trio make a peer call? With one blocking connection a call.

Volume servers outlive the daemon; while it is down they reach the log through another node's daemon. Such calls are
rare, so nothing is kept open.
"""

import socket
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

from consensus.calls import BadFrame, Unreachable, body_length, call_frame, read_answer
from consensus.host.tls import expect_peer
from consensus.ports import PEERS_PORT
from noded.core.ids import NodeId


def call_daemon(path: Path, node_id: NodeId, method: str, payload: bytes, deadline_s: float) -> bytes:
    """Ask this host's own daemon, node `node_id`, through its unix socket. Raises `Refused` and `Unreachable`."""
    ends_at = time.monotonic() + deadline_s
    frame = call_frame(method, payload, deadline_s)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(_left(ends_at))
            connection.connect(str(path))
        except OSError as error:
            raise Unreachable(node_id, f"its daemon does not answer at {path} ({error})") from error
        return _exchange(connection, node_id, frame, ends_at)


def call_node(
    context: ssl.SSLContext,
    node_id: NodeId,
    addresses: Sequence[str],
    method: str,
    payload: bytes,
    deadline_s: float,
    *,
    port: int = PEERS_PORT,
) -> bytes:
    """Ask another member; `context` is `TlsContexts.client`. Raises `Refused` and `Unreachable`."""
    ends_at = time.monotonic() + deadline_s
    frame = call_frame(method, payload, deadline_s)
    failure: OSError | None = None
    for address in addresses:
        try:
            connection = _connect(context, node_id, address, port, ends_at)
        except OSError as error:
            failure = error
            continue
        with connection:
            return _exchange(connection, node_id, frame, ends_at)
    raise Unreachable(node_id, str(failure) if failure else "no address of it is known")


def _connect(context: ssl.SSLContext, node_id: NodeId, address: str, port: int, ends_at: float) -> ssl.SSLSocket:
    plain = socket.create_connection((address, port), timeout=_left(ends_at))
    with plain:
        secure = context.wrap_socket(plain)
    try:
        expect_peer(secure, node_id)
    except OSError:
        secure.close()
        raise
    return secure


def _exchange(connection: socket.socket, node_id: NodeId, frame: bytes, ends_at: float) -> bytes:
    try:
        connection.settimeout(_left(ends_at))
        connection.sendall(frame)
        body = _receive(connection, body_length(_receive(connection, 4, ends_at)), ends_at)
    except (OSError, BadFrame) as error:
        raise Unreachable(node_id, str(error) or "the connection broke", maybe_done=True) from error
    return read_answer(body)


def _receive(connection: socket.socket, size: int, ends_at: float) -> bytes:
    received = bytearray()
    while len(received) < size:
        connection.settimeout(_left(ends_at))
        piece = connection.recv(min(size - len(received), 256 * 1024))
        if not piece:
            raise ConnectionResetError("the other side closed the connection")
        received += piece
    return bytes(received)


def _left(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left
