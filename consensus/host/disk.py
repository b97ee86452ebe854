"""What does the log ask of the disk? The few calls that can fail, in one place, so that a test can let them fail."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consensus.room import Space


def _space(directory: Path) -> Space:
    found = os.statvfs(directory)
    return Space(total=found.f_blocks * found.f_frsize, free=found.f_bavail * found.f_frsize)


def _allocate(descriptor: int, length: int) -> None:
    os.posix_fallocate(descriptor, 0, length)


@dataclass(frozen=True)
class Disk:
    """The real calls. Each raises OSError."""

    write: Callable[[int, bytes | memoryview], int] = os.write
    fdatasync: Callable[[int], None] = os.fdatasync
    space: Callable[[Path], Space] = _space
    allocate: Callable[[int, int], None] = _allocate


DISK: Final = Disk()
