"""What the image service asks of this machine: bytes into a file and out of it, and one format made into another."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from images.formats.inspection import Inspection
from images.import_rules.model import Guard


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What was written."""

    size_bytes: int
    md5: str
    sha512: str
    digest: str = ""  # of the algorithm that was asked for beside these


class Taken(Protocol):
    """What was seen so far of a file that comes in parts."""

    @property
    def size_bytes(self) -> int: ...
    @property
    def is_usable(self) -> bool:
        """Whether all that it counts was taken and written: not if that was cut off in the middle."""

    def received(self) -> Received:
        """What it adds up to."""


class ImageBytes(Protocol):
    """Moves images' bytes without stopping anything else that the daemon does."""

    async def receive(
        self, pieces: AsyncIterator[bytes], path: Path, inspection: Inspection, *, algorithm: str = ""
    ) -> Received:
        """Write all pieces to the start of the file at `path`, which is empty, while hashing and inspecting them.

        `algorithm` names one more digest that is wanted, as hashlib knows it. Raises `Invalid` as soon as the
        inspection does, and `TooLarge` when the file's end is reached before theirs.
        """

    def begin(self, inspection: Inspection) -> Taken:
        """Nothing was seen yet of a file that comes in parts."""

    async def append(self, pieces: AsyncIterator[bytes], path: Path, taken: Taken, *, last: bool) -> None:
        """Write all pieces behind what was taken, and take them.

        `last` false: bytes that do not fill a whole piece at the end are left out. When the sender fails, what came
        before is taken, and on the disk; only a cancellation leaves `taken` of no use.
        """

    async def catch_up(self, path: Path, taken: Taken, size_bytes: int) -> None:
        """Take what is in the file, up to `size_bytes`: it was received by somebody else."""

    def send(self, path: Path, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` to before `end`, in pieces."""

    async def digest(self, path: Path, size_bytes: int) -> Received:
        """What `receive` would have said of the first `size_bytes` of the file."""

    async def convert(self, path: Path, size_bytes: int, disk_format: str, socket: Path) -> None:
        """Write the disk inside a file, the first `size_bytes` at `path`, to the empty NBD export at `socket`.

        Raises `Invalid` if the file is broken inside.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What a server began to send."""

    size_bytes: int | None  # where the server says it
    pieces: AsyncIterator[bytes]


class WebSource(Protocol):
    """Fetches what users name, without being led to where they may not look."""

    def open(self, url: str, guard: Guard) -> AbstractAsyncContextManager[Download]:
        """The body of the answer to a GET of `url`, redirects followed.

        Every connection is to an address that `guard` lets pass. Raises `Invalid` where it does not, and where the
        server answers with anything else than what was asked for; `Unavailable` when it can't be reached, or goes.
        """
