"""Why does a node stay away from its cluster? A note, `<state>/left.json`, from its going until it may join again.

As long as the note is there, a node with a seed does not go through the hands-off door by itself: it would be back
before it has gone. The command line reads the note too, so this must not pull in the log.
"""

from pathlib import Path

import msgspec

from consensus.host.files import remove_durably, write_durably


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """The note: why the node is no member any more, and where its old state lies."""

    why: str
    at_ms: int
    aside: str
    finished: bool = False


def read_left(state_dir: Path) -> Left | None:
    """The note, if this node left or was forgotten and nobody has let it join again since."""
    try:
        return msgspec.json.decode(left_file(state_dir).read_bytes(), type=Left)
    except FileNotFoundError:
        return None


def may_join_again(state_dir: Path) -> None:
    """Take the note away: the node goes through its doors again."""
    remove_durably(left_file(state_dir))


def left_file(state_dir: Path) -> Path:
    """Where the note lies."""
    return state_dir / "left.json"


def write_left(state_dir: Path, left: Left) -> None:
    """Keep the note over a power cut."""
    write_durably(left_file(state_dir), msgspec.json.encode(left))
