"""How fast does a user ask, and when may they again? A bucket for each, in memory: each node counts for itself."""

import math
from collections import OrderedDict
from typing import Final

from noded.core.errors import TooMany
from noded.gateway_rules.model import GatewayRules

USERS_MAX: Final = 10_000  # whose buckets are kept; who has not asked for longest begins anew
BURST_S: Final = 10


class Rates:
    """What each user has left. Each request takes one, and each second brings `requests_s` back."""

    def __init__(self, users_max: int = USERS_MAX) -> None:
        self._users_max = users_max
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # by user: what was left, and when

    def take(self, rules: GatewayRules | None, user_id: str, now_s: float) -> None:
        """Count a request. Raises `TooMany`, which says when to come again."""
        if rules is None or not rules.requests_s:
            return
        full = float(rules.burst or BURST_S * rules.requests_s)
        left, at_s = self._left.pop(user_id, (full, now_s))
        left = min(full, left + (now_s - at_s) * rules.requests_s)
        may = left >= 1
        self._left[user_id] = (left - 1 if may else left, now_s)
        if len(self._left) > self._users_max:
            self._left.popitem(last=False)
        if not may:
            wait_s = max(1, math.ceil((1 - left) / rules.requests_s))
            raise TooMany(
                f"You ask too fast: {rules.requests_s} requests a second are served to one user here. Try again in"
                f" {wait_s} s.",
                retry_after_s=wait_s,
            )
