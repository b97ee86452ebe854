"""Which logs of the past are kept beside the log, and how often may one be set aside?

`log.aside.N` are logs that a newer life, a restore or a departure replaced; `log.before.N` are copies from before a
recovery. Any certificate of the cluster's authority can announce a newer life, so what that sets aside must not be able
to push out what was there before: nothing younger than a week goes, unless the disk is short of room.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from consensus.host.disk import DISK, Disk
from consensus.host.files import sync_directory
from consensus.room import Limits
from noded.core.clock import now_ms

NEWEST_MAX: Final = 3  # so many are kept, however old
KEPT_MS: Final = 7 * 24 * 3600 * 1000
OFTEN: Final = 3  # so often within `OFTEN_MS` a node sets its log aside by itself: a recovery and a restore are two
OFTEN_MS: Final = 3600 * 1000


def keepsakes(directory: Path, kind: str) -> list[Path]:
    """The logs of the past beside the log in `directory`, the oldest first. `kind`: `aside` or `before`."""
    found = directory.parent.glob(f"{directory.name}.{kind}.*")
    return sorted((path for path in found if path.suffix[1:].isdigit()), key=lambda path: int(path.suffix[1:]))


def next_keepsake(directory: Path, kind: str) -> Path:
    """What the next one is called."""
    earlier = keepsakes(directory, kind)
    return directory.with_name(f"{directory.name}.{kind}.{int(earlier[-1].suffix[1:]) + 1 if earlier else 1}")


def stamp(keepsake: Path) -> None:
    """Say on disk that it is of now: the time of a directory outlives its renaming."""
    os.utime(keepsake)
    sync_directory(keepsake)


def drop_old(directory: Path, kind: str, disk: Disk = DISK) -> None:
    """Remove those that are neither among the newest nor young; young ones too, the oldest first, on a low disk."""
    for old in keepsakes(directory, kind)[:-NEWEST_MAX]:
        if _age_ms(old) > KEPT_MS or _is_low(directory.parent, disk):
            shutil.rmtree(old)  # the history within it is a directory of its own


def wait_ms(directory: Path) -> int:
    """How long a node must leave its log alone before it may set it aside by itself once more."""
    ages = sorted(age for path in keepsakes(directory, "aside") if 0 <= (age := _age_ms(path)) < OFTEN_MS)
    return OFTEN_MS - ages[OFTEN - 1] if len(ages) >= OFTEN else 0


def _age_ms(path: Path) -> int:
    return now_ms() - path.stat().st_mtime_ns // 1_000_000


def _is_low(directory: Path, disk: Disk) -> bool:
    space = disk.space(directory)
    return space.free < Limits().within(space.total).low
