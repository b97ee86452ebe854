"""How long to wait before the next try."""

from dataclasses import dataclass

FIRST_S = 0.2
LONGEST_S = 10.0


@dataclass(slots=True)
class Backoff:
    """Doubles with each fault, up to a limit; a success starts over. No dice: one node's reconcilers don't collide."""

    wait_s: float = FIRST_S

    def after_fault(self) -> float:
        """The seconds to wait now."""
        now = self.wait_s
        self.wait_s = min(self.wait_s * 2, LONGEST_S)
        return now

    def after_success(self) -> None:
        """Forget the faults so far."""
        self.wait_s = FIRST_S
