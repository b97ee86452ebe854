"""A simulated host's disks: sparse files with ext4, attached to loop devices only while the host runs."""

import fcntl
import os
import struct
from pathlib import Path

from tests.lab.commands import call

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2


def create(image: Path, size_bytes: int) -> None:
    """Make the disk unless it exists."""
    if image.exists():
        return
    unfinished = image.with_suffix(".new")
    with unfinished.open("wb") as file:
        file.truncate(size_bytes)
    call("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", str(unfinished))
    unfinished.rename(image)


def attached(directory: Path) -> list[str]:
    """The loop devices of this machine whose file is a disk below `directory`.

    Asked by inode: the kernel tells a file's path as the host saw it, which is the same in every host.
    """
    found = []
    for image in sorted(directory.rglob("*.img")):
        listed = call("losetup", "--list", "--noheadings", "--output", "NAME", "--associated", str(image))
        found += listed.split()
    return found


def lose_unsynced(mount_point: Path) -> None:
    """What power loss does to a disk without a battery: only what was synced is there at the next mount."""
    directory = os.open(mount_point, os.O_RDONLY)
    try:
        fcntl.ioctl(directory, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
    finally:
        os.close(directory)
