"""What consensus asks of the machine beside the log (`consensus/log.py`)."""

from collections.abc import Mapping
from typing import Protocol

from consensus.discovery import Sighting
from noded.core.ids import NodeId


class Discovery(Protocol):
    """Announces this node and hears of the others. `host/mdns.py` does."""

    async def announce(self, sighting: Sighting) -> None:
        """Say what this node is, now and whenever someone asks; a later call replaces it."""

    def sightings(self) -> Mapping[NodeId, Sighting]:
        """Every other node heard of and not said goodbye, one sighting each."""

    async def changed(self) -> None:
        """Wait until `sightings()` is not what it was when this was called."""
