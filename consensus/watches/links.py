"""What watching asks of the rest of the daemon."""

from collections.abc import Mapping
from typing import Protocol

from noded.core.record import Record


class Kinds(Protocol):
    """The records of all services."""

    @property
    def kinds(self) -> Mapping[str, type[Record]]:
        """By the name of their table, such as `server`."""
