"""Who may read the metrics: whoever has the key, of which only a hash is kept."""

from typing import ClassVar, Final

from noded.core.record import Record

SCRAPE: Final = "scrape"  # the id of the one key


class ScrapeKey(Record, frozen=True, kw_only=True, tag="scrape_key.1"):
    """The key. It is drawn, 256 bits of it, so a plain hash tells nobody what it is."""

    NOUN: ClassVar[str] = "metrics key"

    id: str = SCRAPE
    sha256: str
    made_at_ms: int
