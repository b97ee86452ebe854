"""What inspection asks of the machine and of the rest of the daemon."""

from typing import Protocol

from noded.core.service import Service
from noded.inspection.model import StoreDigest, Vitals


class VitalsReader(Protocol):
    """Reads this node's own figures. `host/proc.py` does."""

    def read(self) -> Vitals:
        """The figures of now; cheap enough to be asked each second."""


class Registry(Protocol):
    """The services of this daemon, and its store as a whole."""

    @property
    def services(self) -> tuple[Service, ...]:
        """All of them, in the registry's order."""

    def digest(self) -> StoreDigest:
        """A hash over every record; takes time in proportion to the store."""
