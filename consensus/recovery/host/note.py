"""What must the first command of a new life say? A small file, `<state>/beginning.json`, keeps it until it is said."""

import shutil
from pathlib import Path
from typing import Final

import msgspec

from consensus.host.files import make_private_directory, remove_durably, sync_directory, write_durably
from consensus.recovery.model import Life

COPIES_MAX: Final = 3  # of logs as they were before a recovery


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
    """Copy the log beside itself, durably; where it is now. The newest copies are kept.

    No daemon runs. Its history stays where it is and goes on: it is only ever added to.
    """
    earlier = sorted(_copies(directory), key=lambda path: int(path.suffix[1:]))
    number = int(earlier[-1].suffix[1:]) + 1 if earlier else 1
    copy = directory.with_name(f"{directory.name}.before.{number}")
    make_private_directory(copy)
    for path in directory.iterdir():
        if path.is_file():
            write_durably(copy / path.name, path.read_bytes())
    sync_directory(copy.parent)
    for old in [*earlier, copy][:-COPIES_MAX]:
        shutil.rmtree(old)
    return copy


def _copies(directory: Path) -> list[Path]:
    found = directory.parent.glob(f"{directory.name}.before.*")
    return [path for path in found if path.suffix[1:].isdigit()]


def _file(state_dir: Path) -> Path:
    return state_dir / "beginning.json"
