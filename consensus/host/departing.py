"""How does a node stop being a member for good? What made it one is set aside, never destroyed; then it is unclaimed.

A note (`left.py`) is written first: whatever is interrupted after it is finished at the next start.
"""

from pathlib import Path
from typing import Final

import msgspec

from consensus.host.files import make_private_directory, sync_directory
from consensus.host.left import Left, read_left, write_left
from consensus.host.membership import membership_file, promise_file
from consensus.host.rebirth import set_log_aside
from consensus.host.tls import tls_directory

ASIDE: Final = "aside"
ADMIN_PASSWORD: Final = "admin-password"  # noqa: S105  # a file's name


def leave(state_dir: Path, why: str, now_ms: int) -> Left:
    """Stop being a member: identity, membership and log are moved below `<state>/aside`. Again: finishes the first."""
    left = read_left(state_dir)
    if left is None or left.finished:
        left = Left(why=why, at_ms=now_ms, aside=str(_free_place(state_dir / ASIDE)))
        write_left(state_dir, left)
    return finish_leaving(state_dir, left)


def finish_leaving(state_dir: Path, left: Left) -> Left:
    """Do what the note says and is not done yet."""
    if left.finished:
        return left
    place = Path(left.aside)
    make_private_directory(place.parent)
    make_private_directory(place)
    set_log_aside(state_dir / "log")
    # The membership goes last: as long as it is there this has to be finished.
    for path in (
        state_dir / ADMIN_PASSWORD,
        promise_file(state_dir),
        tls_directory(state_dir),
        membership_file(state_dir),
    ):
        if path.exists():
            path.rename(place / path.name)
    sync_directory(place)
    sync_directory(state_dir)
    left = msgspec.structs.replace(left, finished=True)
    write_left(state_dir, left)
    return left


def _free_place(directory: Path) -> Path:
    number = 1
    while (directory / str(number)).exists():
        number += 1
    return directory / str(number)
