"""Whom did an extent server turn away? Counted here, and left in a file for the daemon.

<run>/extents/<disk id>.refused
"""

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from consensus.refusals import Refusal, RefusalKind, RefusalLines
from noded.core.unreadable import UNREADABLE
from storage.host.event_log import note

WRITE_S: Final = 0.5  # at most that often, however many connect
_ENDING: Final = ".refused"


def refused_file(run: Path, disk_id: str) -> Path:
    """Where the extent server of a disk leaves its counts."""
    return run / "extents" / f"{disk_id}{_ENDING}"


def refused_by_disks(run: Path) -> list[Refusal]:
    """What all extent servers of this node have counted."""
    found: list[Refusal] = []
    for file in sorted((run / "extents").glob(f"*{_ENDING}")):
        try:
            found += msgspec.msgpack.decode(file.read_bytes(), type=list[Refusal])
        except (OSError, *UNREADABLE) as fault:
            note("counts of refused connections not read", file=str(file), reason=str(fault))
    return found


class RefusedConnections:
    """The counts of one extent server. `call_later`: the loop's."""

    def __init__(self, path: Path, port: int, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self._path = path
        self._port = port
        self._call_later = call_later
        self._lines = RefusalLines()
        self._writing = False
        path.unlink(missing_ok=True)

    def note(self, kind: RefusalKind, address: str, detail: str) -> None:
        """A connection that came to nothing; a line in the log once a minute."""
        if self._lines.note(kind, self._port, address.removeprefix("::ffff:"), int(time.time() * 1000), detail):
            note("turned away", kind=kind.value, address=address, reason=detail)
        if not self._writing:
            self._writing = True
            self._call_later(WRITE_S, self._write)

    def _write(self) -> None:
        self._writing = False
        new = self._path.with_suffix(".refusing")
        try:
            new.touch(mode=0o600)
            new.write_bytes(msgspec.msgpack.encode(self._lines.lines()))
            new.replace(self._path)
        except OSError as fault:
            note("counts of refused connections not written", reason=str(fault))


def kind_of(fault: Exception | str) -> RefusalKind:
    """What kind of refusal it is when a handshake ends so."""
    if isinstance(fault, ssl.SSLError) and ("CERTIFICATE" in (fault.reason or "") or "certificate" in str(fault)):
        return RefusalKind.UNKNOWN_CERTIFICATE
    return RefusalKind.NO_TLS
