"""Where do a backup's objects lie? In a directory, or one behind the other in a hidden volume. Plain, blocking calls.

directory   <path>/<container>/<location>/<index>          written beside, then renamed: whole or not there
volume      slot `index` begins at `index` * SLOT_BYTES    the volume is thin: unused slots take nothing
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from noded.core.errors import Invalid, Unavailable
from noded.core.units import KIB
from storage.backups.chunks import SLOT_BYTES, manifest_bytes, object_bytes
from storage.backups.links import DirectoryPlace

MARK: Final = ".noded-backup-target"
_BLOCK_BYTES: Final = 4 * KIB


class Objects(Protocol):
    """One backup's objects, by number; 0 is the manifest."""

    def put(self, index: int, content: bytes) -> None:
        """Durable when it returns."""

    def get(self, index: int) -> bytes | None:
        """The object; None where there is none."""

    def clear(self) -> None:
        """Remove them all."""


class DirectoryObjects:
    """Objects as files."""

    def __init__(self, place: DirectoryPlace, location: str) -> None:
        with _faults(place.path):
            _check_mark(place)
        self._root = place.path
        self._directory = place.path / place.container / location

    def put(self, index: int, content: bytes) -> None:
        """See `Objects.put`."""
        name = self._name(index)
        beside = name.with_suffix(f".{os.getpid()}.part")
        with _faults(self._root):
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.rename(name)
            _sync_directory(self._directory)

    def get(self, index: int) -> bytes | None:
        """See `Objects.get`."""
        with _faults(self._root):
            try:
                return self._name(index).read_bytes()
            except FileNotFoundError:
                return None

    def clear(self) -> None:
        """See `Objects.clear`."""
        with _faults(self._root), suppress(FileNotFoundError):
            shutil.rmtree(self._directory)
        with suppress(OSError):  # other backups are in the container
            self._directory.parent.rmdir()

    def _name(self, index: int) -> Path:
        return self._directory / f"{index:08d}"


class VolumeObjects:
    """Objects in slots of a volume that is open as a file."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        with _faults(path):
            self._file = os.open(path, os.O_RDWR if writable else os.O_RDONLY)

    def put(self, index: int, content: bytes) -> None:
        """See `Objects.put`."""
        whole = content + bytes(-len(content) % _BLOCK_BYTES)
        with _faults(None):
            written = 0
            while written < len(whole):
                written += os.pwrite(self._file, memoryview(whole)[written:], index * SLOT_BYTES + written)
            os.fsync(self._file)

    def get(self, index: int) -> bytes | None:
        """See `Objects.get`."""
        with _faults(None):
            start = os.pread(self._file, _BLOCK_BYTES, index * SLOT_BYTES)
            length = (manifest_bytes if index == 0 else object_bytes)(start)
            if length is None or length > SLOT_BYTES:
                return None
            content = bytearray(start[:length])
            while len(content) < length:
                piece = os.pread(self._file, length - len(content), index * SLOT_BYTES + len(content))
                if not piece:
                    return None
                content += piece
            return bytes(content)

    def clear(self) -> None:
        """Nothing: the volume itself is deleted."""

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)


def mark_directory(place: DirectoryPlace) -> None:
    """Make a directory a target. It may hold other things; its mark tells it from a mount that is missing."""
    if not place.path.is_dir():
        raise Invalid(
            f"{place.path} is no directory of this node. Make it, or mount what shall hold the backups there."
        )
    mark = place.path / MARK
    with _faults(place.path):
        if mark.exists():
            _check_mark(place)
            return
        mark.write_text(place.target_id + "\n")
        _sync_directory(place.path)


def locations_in(place: DirectoryPlace) -> list[str]:
    """Every CONTAINER/LOCATION that has an object, or a part of one, in it."""
    with _faults(place.path):
        _check_mark(place)
        names = {file.parent.relative_to(place.path) for file in place.path.glob("*/*/[0-9]*") if file.is_file()}
    return sorted(str(name) for name in names)


def _check_mark(place: DirectoryPlace) -> None:
    try:
        found = (place.path / MARK).read_text().strip()
    except FileNotFoundError:
        raise Unavailable(f"{place.path} is not mounted on this node: it has no {MARK}.") from None
    if found != place.target_id:
        raise Invalid(f"{place.path} is backup target {found[:64]}, not {place.target_id}.")


@contextmanager
def _faults(path: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = str(path) if path is not None else "the volume"
        raise Unavailable(f"{where} can't be used: {error.strerror}.") from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
