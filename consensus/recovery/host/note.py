"""What must the first command of a new life say? A small file, `<state>/beginning.json`, keeps it until it is said."""

from pathlib import Path
from typing import Final

import msgspec

from consensus.host.files import make_private_directory, remove_durably, sync_directory, write_durably
from consensus.host.keepsakes import drop_old, next_keepsake, stamp
from consensus.recovery.model import Life

BEFORE: Final = "before"  # the kind of a copy of the log as it was before a recovery


def write_beginning(state_dir: Path, life: Life) -> None:
    """Keep it over a power cut."""
    write_durably(_file(state_dir), msgspec.json.encode(life))


def read_beginning(state_dir: Path) -> Life | None:
    """The life that began here and has not been told to its own log yet."""
    path = _file(state_dir)
    return msgspec.json.decode(path.read_bytes(), type=Life) if path.exists() else None


def settle_beginning(state_dir: Path) -> None:
    """The log knows."""
    remove_durably(_file(state_dir))


def copy_log(directory: Path) -> Path:
    """Copy the log beside itself, durably; where it is now. Earlier copies are kept (`consensus/host/keepsakes.py`).

    No daemon runs. Its history stays where it is and goes on: it is only ever added to.
    """
    copy = next_keepsake(directory, BEFORE)
    make_private_directory(copy)
    for path in directory.iterdir():
        if path.is_file():
            write_durably(copy / path.name, path.read_bytes())
    stamp(copy)
    sync_directory(copy.parent)
    drop_old(directory, BEFORE)
    return copy


def _file(state_dir: Path) -> Path:
    return state_dir / "beginning.json"
