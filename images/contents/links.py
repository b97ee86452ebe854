"""What the image service asks of this machine: bytes into a file and out of it, and one format made into another."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from images.formats.inspection import Inspection


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What was written."""

    size_bytes: int
    md5: str
    sha512: str


class ImageBytes(Protocol):
    """Moves images' bytes without stopping anything else that the daemon does."""

    async def receive(self, pieces: AsyncIterator[bytes], path: Path, inspection: Inspection) -> Received:
        """Write all pieces to the start of the file at `path`, which is empty, while hashing and inspecting them.

        Raises `Invalid` as soon as the inspection does, and `TooLarge` when the file's end is reached before theirs.
        """

    def send(self, path: Path, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` to before `end`, in pieces."""

    async def digest(self, path: Path, size_bytes: int) -> Received:
        """What `receive` would have said of the first `size_bytes` of the file."""

    async def convert(self, path: Path, disk_format: str, socket: Path) -> None:
        """Write the disk inside the file at `path` to the empty NBD export at `socket`. Raises `Invalid` if the file
        is broken inside."""
