"""A node's disk: ext4 on a loop device, which can lose its power, be full, and refuse writes."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tests.lab import disks
from tests.lab.commands import LabError, call

SIZE_BYTES = 96 << 20
LOOP_MAJOR = 7
LOOP_GET_FREE = 0x4C82
ATTACH_S_MAX = 60.0


class Disk:
    """Mounted after construction."""

    def __init__(self, image: Path, mount_point: Path, size_bytes: int = SIZE_BYTES) -> None:
        self._image = image
        self.path = mount_point
        disks.create(image, size_bytes)
        mount_point.mkdir()
        self.mount()

    def mount(self) -> None:
        """Make it usable. Nothing holds the loop device but the mount, so both end together."""
        device = _attach(self._image)
        try:
            call("mount", device, str(self.path))
        finally:
            call("losetup", "--detach", device)

    def unmount(self) -> None:
        call("umount", str(self.path))

    def power_cycle(self) -> None:
        """Only what was synced is there afterwards. Whoever could tell others what is on it must be dead already."""
        disks.lose_unsynced(self.path)
        self.unmount()
        self.mount()

    def repair(self) -> None:
        """What an operator does when a file system has refused writes."""
        self.unmount()
        self.mount()

    def refuse_writes(self) -> None:
        """What ext4 does when it finds an error. Who syncs right now could be told that it worked: stop it first."""
        call("mount", "--options", "remount,abort", str(self.path))

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """No room for anybody else, for the length of the block."""
        ballast = self.path / "ballast"
        file = os.open(ballast, os.O_CREAT | os.O_WRONLY)
        try:
            # Several times, since the node goes on taking and giving blocks meanwhile.
            size = 0
            for step in (1 << 20, 1 << 16, 1 << 12):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(file, size, step)
                        size += step
            yield
        finally:
            os.close(file)
            ballast.unlink()


def _attach(image: Path) -> str:
    """A loop device on the image. Its node in /dev may be missing, and others may take it first."""
    deadline = time.monotonic() + ATTACH_S_MAX
    while True:
        control = os.open("/dev/loop-control", os.O_RDWR)
        try:
            number = fcntl.ioctl(control, LOOP_GET_FREE)
        finally:
            os.close(control)
        node = image.with_name(f"loop{number}")
        if not node.exists():
            os.mknod(node, 0o60600, os.makedev(LOOP_MAJOR, number))
        try:
            call("losetup", str(node), str(image))
        except LabError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return str(node)
