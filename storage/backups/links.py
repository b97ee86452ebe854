"""What backups ask of this machine: to copy a volume's bytes to a target, and back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlace:
    """A hidden volume that is open here."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryPlace:
    """A directory of this machine that was made a target: it holds the target's mark."""

    path: Path
    target_id: str
    container: str

    @classmethod
    def of(cls, path: str, target_id: str) -> "DirectoryPlace":
        """The whole target, whatever containers are in it."""
        return cls(path=Path(path), target_id=target_id, container="")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Place:
    """A bucket of an object store that speaks S3."""

    url: str
    bucket: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    container: str


Place = PoolPlace | DirectoryPlace | S3Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Where one backup's bytes are."""

    place: Place
    location: str
    key: bytes | None = field(default=None, repr=False)  # what they are sealed with


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a finished backup amounts to."""

    object_count: int
    stored_bytes: int


class BackupBytes(Protocol):
    """Moves backups' bytes. Each call may be cut off anywhere and made again, also by another node.

    All raise `Invalid` for what trying again can't mend (damage, a target that refuses), `Unavailable` for the rest.
    `chain` is a backup and then those on which it builds, newest first.
    """

    async def copy(self, source: Path, size_bytes: int, volume_id: str, chain: Sequence[Stored]) -> Copied:
        """Write the bytes of the file at `source` to `chain[0]`: what is there already is not written again."""

    async def restore(self, chain: Sequence[Stored], size_bytes: int, volume: Path, *, blank: bool) -> None:
        """Make the first `size_bytes` of the file at `volume` what the backup says. `blank`: it shows only zeroes."""

    async def check(self, stored: Stored) -> Copied:
        """Whether a whole backup is there; what it amounts to."""

    async def remove(self, stored: Stored) -> None:
        """Leave nothing of the backup. Again: nothing."""

    async def locations(self, place: DirectoryPlace) -> Sequence[str]:
        """The backups of which anything lies in a directory, as CONTAINER/LOCATION; also those of others."""

    async def mark(self, place: Place) -> None:
        """Try a new target: write to it and read it back. A directory gets the mark by which it is known again."""
