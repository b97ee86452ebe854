"""The web as a node sees it, in memory: what is at a URL, or how asking for it fails."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from images.contents.links import Download
from images.import_rules.model import Guard
from noded.core.errors import Refused, Unavailable


class SimulatedWeb:
    """Implements `images.contents.links.WebSource`."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.faults: list[Refused] = []  # met in turn, each by one request
        self.asked: list[str] = []
        self.while_sending: Callable[[], object] = lambda: None

    @asynccontextmanager
    async def open(self, url: str, guard: Guard) -> AsyncIterator[Download]:
        """See `WebSource.open`."""
        self.asked.append(url)
        guard.expect_url(url)
        if self.faults:
            raise self.faults.pop(0)
        if url not in self.pages:
            raise Unavailable(f"Nothing answers at {url}.")
        content = self.pages[url]
        yield Download(size_bytes=len(content), pieces=self._pieces(content))

    async def _pieces(self, content: bytes) -> AsyncIterator[bytes]:
        half = len(content) // 2
        yield content[:half]
        self.while_sending()
        yield content[half:]
