"""May a directory or a device be used as a disk of the pool? Only an empty one, or one that is a disk already."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

# What a new file system, and an extent server that was stopped before it began, leave in an otherwise empty directory.
_HARMLESS: Final = frozenset({"lost+found", "lock"})
_NAMES_SHOWN: Final = 5


def why_not_empty(path: str, names: Collection[str]) -> str:
    """Why a directory with these names in it is not made a disk; empty if it can be. Nothing is ever wiped."""
    strangers = sorted(set(names) - _HARMLESS)
    if not strangers:
        return ""
    shown = ", ".join(strangers[:_NAMES_SHOWN]) + (" …" if len(strangers) > _NAMES_SHOWN else "")
    return f"{path} is not empty ({shown}) and is no disk of noded. Empty it by hand, or configure another directory."


POOL_LABEL: Final = "noded-pool"  # of the file systems that were made for the pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A block device, as lsblk(8) describes it."""

    path: str
    kind: str  # "disk", "part", "loop", …
    size_bytes: int
    read_only: bool
    content: str  # the file system, partition table, RAID or LVM member that is on it; empty: nothing is known of it
    label: str
    uuid: str
    mounted_at: tuple[str, ...]
    parts: tuple[str, ...]  # what is made of it: partitions, volumes
    model: str = ""
    serial: str = ""


DEVICE_BYTES_MIN: Final = 1 << 30


def why_not_device(device: Device) -> str:
    """Why a block device is not made a disk of the pool; empty if it can be. Nothing is ever wiped."""
    if device.mounted_at:
        return f"{device.path} is in use: it is mounted at {', '.join(device.mounted_at)}."
    if device.parts:
        return f"{device.path} is in use: {', '.join(device.parts)} are made of it. Remove them by hand first."
    if device.content and device.label != POOL_LABEL:
        return (
            f"{device.path} is not blank: {device.content} is on it. If nobody needs it, `wipefs --all {device.path}`"
            " makes it blank."
        )
    if device.read_only:
        return f"{device.path} is read-only."
    if device.size_bytes < DEVICE_BYTES_MIN:
        return f"{device.path} has {device.size_bytes} bytes; a disk of the pool has at least {DEVICE_BYTES_MIN}."
    return ""
