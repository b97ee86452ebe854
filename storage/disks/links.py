"""What this node remembers of how the pool filled."""

from collections.abc import Sequence
from typing import Protocol

from storage.disks.forecast import Sample


class CapacityBook(Protocol):
    """The samples of the last days, on this node's own disk: no other node needs them."""

    def samples(self) -> Sequence[Sample]:
        """The oldest first."""

    async def add(self, sample: Sample) -> None:
        """Keep one more; it takes the place of an earlier one of the same hour."""
