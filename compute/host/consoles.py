"""Where guests' serial consoles are logged, and how the logs stay small. QEMU appends; nobody else writes."""

from pathlib import Path

from noded.core.ids import ServerId
from noded.core.units import KIB, MIB

LOG_BYTES_MAX = 4 * MIB  # then the older part is thrown away
LOG_BYTES_KEPT = 512 * KIB


class Consoles:
    """The console logs in one directory. All calls are short and block: they belong in a worker thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self) -> None:
        """Make the directory, closed to all but the hypervisor's daemon."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o711)

    def path(self, server_id: ServerId) -> Path:
        """The guest's log."""
        return self._directory / f"{server_id}.log"

    def tail(self, server_id: ServerId, length_max: int) -> bytes:
        """The log's last `length_max` bytes, also what was written before it was last cut."""
        newest = _tail(self.path(server_id), length_max)
        if len(newest) < length_max:
            newest = _tail(self._older(server_id), length_max - len(newest)) + newest
        return newest

    def trim(self) -> None:
        """Cut every log that has grown too long. QEMU opened it to append, so it goes on at the new end."""
        for log in self._directory.glob("*.log"):
            if log.stat().st_size > LOG_BYTES_MAX:
                log.with_suffix(".log.0").write_bytes(_tail(log, LOG_BYTES_KEPT))
                with log.open("r+b") as file:
                    file.truncate(0)

    def servers(self) -> frozenset[ServerId]:
        """Those of which there is a log."""
        return frozenset(ServerId(log.name.split(".")[0]) for log in self._directory.glob("*.log*"))

    def remove(self, server_id: ServerId) -> None:
        """Forget the guest's log."""
        self.path(server_id).unlink(missing_ok=True)
        self._older(server_id).unlink(missing_ok=True)

    def _older(self, server_id: ServerId) -> Path:
        # libvirt's own log daemon, where it rotates the logs itself, gives the older part the same name.
        return self._directory / f"{server_id}.log.0"


def _tail(path: Path, length_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - length_max))
            return file.read(length_max)
    except FileNotFoundError:
        return b""
