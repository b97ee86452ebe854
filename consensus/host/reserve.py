"""How much room has the log on its disk, and what is kept for bad times? A file of real blocks beside the journal."""

import os
from pathlib import Path
from threading import Lock
from typing import Final

import structlog

from consensus.host.disk import Disk
from consensus.host.files import PRIVATE
from consensus.room import Limits, Shortage, Standing, standing
from noded.core.units import MIB

RESERVE_NAME: Final = "reserve"
_STEP_BYTES: Final = 1 * MIB

log = structlog.get_logger(__name__)


class Reserve:
    """The log's room on one node. `look` and `give` are for worker threads; the rest may be read at any time."""

    def __init__(self, directory: Path, disk: Disk, limits: Limits) -> None:
        self._directory = directory
        self._path = directory / RESERVE_NAME
        self._disk = disk
        self._limits = limits
        self._lock = Lock()
        self.low_bytes = limits.low
        self.free_bytes = 0
        self.held_bytes = self._path.stat().st_size if self._path.exists() else 0
        self.standing = Standing.ENOUGH
        self.look()

    @property
    def shortage(self) -> Shortage | None:
        """What is there and what is needed, if that is not enough."""
        return None if self.standing is Standing.ENOUGH else Shortage(self.free_bytes, self.low_bytes)

    def look(self) -> None:
        """Measure, and fill the reserve up where there is room for it."""
        with self._lock:
            space = self._disk.space(self._directory)
            limits = self._limits.within(space.total)
            missing = limits.reserve - self.held_bytes
            if missing > 0 and space.free - missing >= 2 * limits.low:
                self._resize(limits.reserve)
                space = self._disk.space(self._directory)
            self.low_bytes, self.free_bytes = limits.low, space.free
            self.standing = standing(space.free, limits.low, self.standing)

    def give(self, needed: int) -> bool:
        """Free at least so many bytes of the reserve, or what is left of it. False if nothing is."""
        with self._lock:
            if self.held_bytes == 0:
                return False
            # In steps: whoever else fills this disk would take all that is given at once.
            self._resize(max(0, self.held_bytes - max(needed, _STEP_BYTES)))
            log.warning("reserve used: the log's disk is full", needed_bytes=needed, left_bytes=self.held_bytes)
            return True

    def _resize(self, length: int) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        try:
            if length > self.held_bytes:
                self._disk.allocate(descriptor, length)
            else:
                os.ftruncate(descriptor, length)
        except OSError as error:
            # A file system that can't allocate ahead keeps no reserve; the limits still hold.
            log.warning("reserve can't be kept", reason=str(error))
        finally:
            self.held_bytes = os.fstat(descriptor).st_size
            os.close(descriptor)
