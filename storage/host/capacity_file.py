"""Where are a node's samples of the pool's capacity kept? In one small file, written anew each time."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog
import trio

from noded.core.unreadable import UNREADABLE
from storage.disks.forecast import Sample, thinned

log = structlog.get_logger(__name__)


class CapacityFile:
    """Implements `CapacityBook`: at most a sample an hour. A file that is lost costs the forecast, and nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._samples: list[Sample] = []
        try:
            self._samples = msgspec.json.decode(path.read_bytes(), type=list[Sample])
        except FileNotFoundError:
            pass  # a new node
        except (OSError, *UNREADABLE) as error:
            log.warning("samples of capacity lost", path=str(path), why=str(error))

    def samples(self) -> Sequence[Sample]:
        """See `CapacityBook.samples`."""
        return tuple(self._samples)

    async def add(self, sample: Sample) -> None:
        """See `CapacityBook.add`."""
        self._samples = thinned(self._samples, sample)
        await trio.to_thread.run_sync(self._write, msgspec.json.encode(self._samples))

    def _write(self, content: bytes) -> None:
        beside = self._path.with_suffix(".new")
        try:
            beside.write_bytes(content)
            beside.rename(self._path)
        except OSError as error:
            log.warning("samples of capacity not kept", path=str(self._path), why=str(error))
