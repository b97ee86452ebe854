"""What the levels ask of this node's release."""

from dataclasses import dataclass
from typing import Protocol


class Understanding(Protocol):
    """What this node's release understands."""

    @property
    def level(self) -> int:
        """The highest level."""


@dataclass(frozen=True)
class ReleaseLevel:
    """A release, by its level alone."""

    level: int
