"""Who failed to sign in of late? Counted in memory: an attacker must not be able to fill the log."""

from collections import OrderedDict
from typing import Final

_REMEMBERED_MS: Final = 300_000
_USERS_MAX: Final = 10_000


class FailureCounter:
    """Implements `noded.identity.links.SignInFailures`. Knows the users who failed last, and no more."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, int]] = OrderedDict()  # how many, and when the last was

    def count(self, user_id: str, now_ms: int) -> int:
        """Note one more; how many there were of late."""
        number, last_ms = self._failures.pop(user_id, (0, 0))
        number = number + 1 if now_ms - last_ms < _REMEMBERED_MS else 1
        self._failures[user_id] = (number, now_ms)
        if len(self._failures) > _USERS_MAX:
            self._failures.popitem(last=False)
        return number

    def forget(self, user_id: str) -> None:
        """The user signed in, or was locked and starts anew."""
        self._failures.pop(user_id, None)
