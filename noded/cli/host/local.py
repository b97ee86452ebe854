"""How does the command reach the daemon? Through its unix socket, which only root may open: no password is needed."""

from pathlib import Path

from consensus.host.peers_plain import call_daemon
from noded.core.ids import NodeId

SOCKET_NAME = "peers.sock"
ANSWER_S_MAX = 15.0


def ask(run_dir: Path, method: str, payload: bytes = b"") -> bytes:
    """The daemon's answer. Raises `Refused`, and `Unavailable` if no daemon runs here."""
    return call_daemon(run_dir / SOCKET_NAME, NodeId("of this host"), method, payload, ANSWER_S_MAX)
