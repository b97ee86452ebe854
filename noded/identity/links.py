"""What identity asks of the machine: to hash passwords, and to remember who failed to sign in."""

from typing import Final, NamedTuple, Protocol

MEMORY_KIB_MAX: Final = 256 * 1024  # of a hash, also of one that was imported
PASSES_MAX: Final = 32


class HashCost(NamedTuple):
    """How much memory and time a hash shall cost; 0: as much as this release finds right."""

    memory_kib: int = 0
    passes: int = 0


USUAL: Final = HashCost()


class Passwords(Protocol):
    """Hashes and checks passwords, off the event loop and a few at a time.

    `asker`: from which address it is asked; they take turns.
    """

    async def hash(self, password: str, asker: str = "", cost: HashCost = USUAL) -> str:
        """A salted hash that says its own parameters. Raises `Unavailable` when too many are waiting."""

    async def matches(self, password_hash: str | None, password: str, asker: str = "", cost: HashCost = USUAL) -> bool:
        """Whether the password is the hashed one. Without a hash it takes as long as with one of that cost."""

    def is_current(self, password_hash: str, cost: HashCost = USUAL) -> bool:
        """Whether `hash` would make it as it is; one that was made elsewhere, or cheaper, is better replaced."""

    def understands(self, password_hash: str) -> bool:
        """Whether it is of a kind that passwords can be compared with."""


class SignInFailures(Protocol):
    """Counts wrong passwords by user: of this node, and where it leads of all nodes. Used by `guesses`."""

    def count(self, user_id: str, now_ms: int) -> int:
        """Note one more; how many there were of late."""

    def forget(self, user_id: str) -> None:
        """The user signed in."""
