"""How does a small file reach the disk whole, private and for good?"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o600
PRIVATE_DIRECTORY = 0o700


class StateInUse(Exception):  # noqa: N818
    """Another process works with this state directory."""


def make_private_directory(path: Path) -> None:
    """Make `path` and its parents, readable by this user alone, and keep the new names over a power cut."""
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        sync_directory(directory.parent)


def write_durably(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Replace `path` by `content`. Whenever the power is cut, it holds the old or the new, whole."""
    temporary = path.with_name(f".{path.name}.new")
    # A left-over of an earlier crash may be a file of any mode, so it is not reused.
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def remove_durably(path: Path) -> None:
    """Remove `path` if it is there; a power cut does not bring it back."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make names created, replaced or removed in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def state_held(state_dir: Path) -> Iterator[None]:
    """Work with a state directory alone: the daemon, or whoever changes its files. Raises StateInUse, OSError."""
    descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateInUse(f"{state_dir} is in use by another process: noded runs on it already") from None
        yield
    finally:
        os.close(descriptor)
