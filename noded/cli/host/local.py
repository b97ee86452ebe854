"""How does the command reach the daemon? Through its unix socket, which only root may open: no password is needed."""

from pathlib import Path

from consensus.host.left import may_join_again, read_left
from consensus.host.peers_plain import call_daemon
from noded.core.ids import NodeId

SOCKET_NAME = "peers.sock"
ANSWER_S_MAX = 15.0


def ask(run_dir: Path, method: str, payload: bytes = b"", limit_s: float = ANSWER_S_MAX) -> bytes:
    """The daemon's answer. Raises `Refused`, and `Unavailable` if no daemon runs here."""
    return call_daemon(run_dir / SOCKET_NAME, NodeId("of this host"), method, payload, limit_s)


def read_note(state_dir: Path) -> dict[str, str] | None:
    """Why this node stays away from its cluster, and where its old state lies; None if it does not."""
    left = read_left(state_dir)
    return None if left is None else {"why": left.why, "aside": left.aside}


def take_note_away(state_dir: Path) -> None:
    """Let it join again; its daemon sees that."""
    may_join_again(state_dir)
