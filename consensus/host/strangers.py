"""How many connections may there be of which nobody knows yet whose they are? Else a stranger who opens many and says
nothing keeps members out: who has shown a certificate is counted no more.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from consensus.refusals import RefusalKind, TurnedAway

STRANGERS_MAX: Final = 256
PER_ADDRESS_MAX: Final = 64  # a host has many processes, and all of them dial a peer that comes back


class Strangers:
    """Handshakes under way at one port."""

    def __init__(self) -> None:
        self._by_address: Counter[str] = Counter()

    @contextmanager
    def one(self, address: str) -> Iterator[None]:
        """Hold a place until it is known who is at `address`. Raises TurnedAway if too many are held."""
        if self._by_address[address] >= PER_ADDRESS_MAX or self._by_address.total() >= STRANGERS_MAX:
            raise TurnedAway(RefusalKind.TOO_MANY, "too many handshakes at once")
        self._by_address[address] += 1
        try:
            yield
        finally:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
