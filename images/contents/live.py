"""Which uploads is this daemon receiving right now, and what does it remember of those that come in parts?

An upload of this node that is not among them has died, or waits to be carried on.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from images.contents.links import Taken
from images.formats.inspection import Inspection

SESSIONS_MAX: Final = 16  # what is forgotten is read again


@dataclass(frozen=True, slots=True)
class Session:
    """What was seen of a file so far."""

    inspection: Inspection
    taken: Taken


class LiveUploads:
    """Kept in memory on purpose: after a restart of the daemon it is empty, and that is the truth."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    @contextmanager
    def receiving(self, upload_id: str) -> Iterator[None]:
        """The upload lives while the context lasts. Entered before the upload is in the log."""
        self._ids.add(upload_id)
        try:
            yield
        finally:
            self._ids.discard(upload_id)

    def __contains__(self, upload_id: str) -> bool:
        return upload_id in self._ids

    def keep(self, upload_id: str, session: Session) -> None:
        """Remember it until its next part."""
        self._sessions[upload_id] = session
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)

    def take(self, upload_id: str) -> Session | None:
        """What is remembered; the next part changes it."""
        return self._sessions.pop(upload_id, None)
