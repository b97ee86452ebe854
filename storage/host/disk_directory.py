"""Which disk is a directory, and which volumes does it hold? Found at start, and made when a volume first comes."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from noded.core.ids import DiskId
from storage.extents.messages import FILES_FORMAT, volume_key
from storage.host import disk_upgrade
from storage.host.extent import DiskReplica
from storage.host.extent_files import VolumeFacts, read_facts, write_facts
from storage.host.journal import read_head, sync_directory

FORMAT: Final = FILES_FORMAT
FORMATS: Final = (1, FORMAT)  # that can be taken: the older ones are upgraded when their extent server starts
_TRASH_PREFIX: Final = ".removed-"


class DiskIdentity(msgspec.Struct, frozen=True):
    """The content of `disk.json`."""

    disk_id: str
    format: int = FORMAT


class WrongDisk(Exception):  # noqa: N818  # it names what was found
    """The directory belongs to another disk, or to a format that this release does not know."""


def claim_directory(directory: Path, disk_id: DiskId) -> None:
    """Write on an empty directory which disk it is, or check it. Raises WrongDisk, UnknownJournal."""
    directory.mkdir(parents=True, exist_ok=True)
    volumes_of(directory).mkdir(exist_ok=True)
    path = directory / "disk.json"
    if path.exists():
        found = msgspec.json.decode(path.read_bytes(), type=DiskIdentity)
        if found.disk_id != disk_id:
            raise WrongDisk(f"{directory} is disk {found.disk_id}, not {disk_id}")
        if found.format not in FORMATS:
            raise WrongDisk(f"{directory} has format {found.format}; this release knows format {FORMAT}")
        if found.format != FORMAT:
            # Should this release not read the journal, an earlier one must still be able to.
            if (journal := directory / "journal").exists():
                read_head(journal)
            disk_upgrade.convert_tables(volumes_of(directory))
            _mark(directory, disk_id)
    else:
        _mark(directory, disk_id)
    disk_upgrade.remove_old_tables(volumes_of(directory))


def _mark(directory: Path, disk_id: DiskId) -> None:
    """Write down which disk it is, and its format, durably."""
    new = directory / "disk.new"
    with new.open("wb") as file:
        file.write(msgspec.json.encode(DiskIdentity(disk_id)))
        file.flush()
        os.fsync(file.fileno())
    new.rename(directory / "disk.json")
    sync_directory(directory)


def volumes_of(directory: Path) -> Path:
    """The directory with a directory for each volume."""
    return directory / "volumes"


def load_replicas(directory: Path) -> dict[int, DiskReplica]:
    """All volumes of a disk, by key, each with its parent. What a removal left behind is removed."""
    found: dict[str, tuple[Path, VolumeFacts, int]] = {}
    nameless: list[Path] = []
    for path in volumes_of(directory).iterdir():
        if path.name.startswith(_TRASH_PREFIX):
            remove_tree(path)
        elif (kept := read_facts(path)) is not None:
            found[kept[0].volume_id] = (path, *kept)
        else:
            nameless.append(path)
    known = [facts for _, facts, _ in found.values()]
    for path in nameless:
        facts = _facts_of_a_parent(path, known)
        if facts is not None:
            found[facts.volume_id] = (path, facts, 0)
    replicas: dict[int, DiskReplica] = {}

    for volume_id, (path, facts, sequence) in found.items():
        key = volume_key(volume_id)
        replicas[key] = DiskReplica(key, path, facts, sequence, None)
    for replica in replicas.values():
        if replica.parents:
            replica.rest_on(replicas.get(volume_key(replica.parents[0])))
    return replicas


def _facts_of_a_parent(path: Path, known: Sequence[VolumeFacts]) -> VolumeFacts | None:
    """What is still known of a volume whose facts have rotted, if another one reads through to it; else None.

    Its blocks have checksums of their own. Without it, those above it would show zeroes in the place of its blocks. One
    that nobody reads through to is made known again by its next writer, who compares all of it.
    """
    for facts in known:
        if path.name in facts.parents:
            above = facts.parents.index(path.name)
            return VolumeFacts(
                volume_id=path.name,
                size_bytes=facts.size_bytes,
                extent_bytes=facts.extent_bytes,
                parents=facts.parents[above + 1 :],
            )
    return None


def put_under(replica: DiskReplica, others: Iterable[DiskReplica]) -> bool:
    """Let those show its blocks that read through to it and have missed it so far; whether there are any."""
    missed = [other for other in others if other.parent is None and other.parents[:1] == (replica.volume_id,)]
    for other in missed:
        other.rest_on(replica)
    return bool(missed)


def create_replica(directory: Path, facts: VolumeFacts, parent: DiskReplica | None) -> DiskReplica:
    """Make a volume known to the disk, durably."""
    path = volumes_of(directory) / facts.volume_id
    path.mkdir(exist_ok=True)
    write_facts(path, facts, 1)
    sync_directory(path)
    sync_directory(path.parent)
    return DiskReplica(volume_key(facts.volume_id), path, facts, 1, parent)


def to_trash(replica: DiskReplica, number: int) -> Path:
    """Take a volume's name away, durably, so that a restart does not find it again. Where its files are now."""
    trash = replica.directory.with_name(f"{_TRASH_PREFIX}{replica.volume_id}-{number}")
    replica.directory.rename(trash)
    sync_directory(trash.parent)
    return trash


def extents_to_trash(replica: DiskReplica, extents: Sequence[int], number: int) -> Path | None:
    """Take the files of some extents out of a volume, durably. Where they are now; None if there were none."""
    files = [replica.directory / f"{extent}.{part}" for extent in extents for part in ("data", "lines")]
    files = [file for file in files if file.exists()]
    if not files:
        return None
    trash = replica.directory.with_name(f"{_TRASH_PREFIX}{replica.volume_id}-extents-{number}")
    trash.mkdir(exist_ok=True)
    for file in files:
        file.rename(trash / file.name)
    sync_directory(replica.directory)
    return trash


def remove_tree(directory: Path) -> None:
    """Give the space of a removed volume back."""
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
