"""How a key for the metrics comes to be, and goes."""

from typing import ClassVar

from noded.core.command import Command
from noded.core.store import Transaction
from noded.metrics.model import SCRAPE, ScrapeKey


class SetScrapeKey(Command, frozen=True, kw_only=True, tag="scrape_key.set.1"):
    """A new key; one that was there before counts no more."""

    TOLD: ClassVar[str] = "made a new key for the metrics"

    sha256: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        tx.put(ScrapeKey(sha256=self.sha256, made_at_ms=self.now_ms))


class DropScrapeKey(Command, frozen=True, kw_only=True, tag="scrape_key.drop.1"):
    """Nobody may read the metrics any more."""

    TOLD: ClassVar[str] = "took the key for the metrics back"
    FREES_ROOM: ClassVar[bool] = True

    def apply(self, tx: Transaction) -> None:
        if tx.get(ScrapeKey, SCRAPE) is not None:
            tx.delete(ScrapeKey, SCRAPE)
