"""May this address try once more? Guesses are rationed, so that not even a poor secret can be found by trying."""

from collections import OrderedDict
from typing import Final

ADDRESSES_MAX: Final = 4096


class Throttle:
    """A bucket of failures for each address: `burst` at once, one more every `refill_s`. The caller has the clock."""

    def __init__(self, burst: int, refill_s: float) -> None:
        self._burst = burst
        self._refill_s = refill_s
        # When each address that has failed lately will be forgiven. Nothing is kept about the others.
        self._forgiven_at: OrderedDict[str, float] = OrderedDict()

    def allows(self, address: str, now: float) -> bool:
        """Whether `address` may try at `now` (seconds of a clock that never goes back)."""
        debt_s = self._forgiven_at.get(address, now) - now
        return debt_s <= (self._burst - 1) * self._refill_s

    def failed(self, address: str, now: float) -> None:
        """`address` tried at `now` and did not prove to know the secret."""
        forgiven_at = max(self._forgiven_at.pop(address, now), now)
        self._forgiven_at[address] = forgiven_at + self._refill_s
        if len(self._forgiven_at) > ADDRESSES_MAX:
            self._forgiven_at.popitem(last=False)
