"""When a step that failed is tried again. A new wish of the owner starts the count anew: it is tried at once."""

from collections.abc import Container, Iterator
from dataclasses import dataclass

from noded.core.ids import ServerId

FIRST_S = 0.2
LONGEST_S = 15.0


@dataclass(slots=True)
class _Try:
    generation: int
    count: int
    due_at: float


class Tries:
    """The failures of each server since its last success or its owner's last wish."""

    def __init__(self) -> None:
        self._tries: dict[ServerId, _Try] = {}

    def due(self, server_id: ServerId, generation: int, now: float) -> bool:
        """Whether a step for the server may be taken now."""
        known = self._tries.get(server_id)
        return known is None or known.generation != generation or now >= known.due_at

    def failed(self, server_id: ServerId, generation: int, now: float) -> int:
        """One more failure; how many that makes."""
        known = self._tries.get(server_id)
        count = known.count + 1 if known is not None and known.generation == generation else 1
        wait_s = min(FIRST_S * 2 ** min(count - 1, 10), LONGEST_S)
        self._tries[server_id] = _Try(generation, count, now + wait_s)
        return count

    def succeeded(self, server_id: ServerId) -> None:
        """Forget the failures."""
        self._tries.pop(server_id, None)

    def settle(self, unfinished: Container[ServerId], now: float) -> None:
        """Forget whoever has no step left to take, once their wait is over: until then it may need it again at once."""
        for server_id, known in list(self._tries.items()):
            if server_id not in unfinished and now >= known.due_at:
                del self._tries[server_id]

    def waits(self, now: float) -> Iterator[float]:
        """The seconds until each server's next try."""
        return (each.due_at - now for each in self._tries.values())
