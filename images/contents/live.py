"""Which uploads is this daemon receiving right now? An upload of this node that is not among them has died."""

from collections.abc import Iterator
from contextlib import contextmanager


class LiveUploads:
    """Kept in memory on purpose: after a restart of the daemon it is empty, and that is the truth."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

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
