"""How is a password hashed? Argon2id (RFC 9106) in worker threads, so few at a time that memory stays small."""

import os
from typing import Final

import trio
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from noded.core.errors import Unavailable
from noded.identity.host.foreign_hashes import fits, is_foreign

MEMORY_KIB: Final = 16 * 1024
PASSES: Final = 3  # about 25 ms on the machines that this was measured on
AT_ONCE_MAX: Final = max(1, (os.cpu_count() or 2) // 2)  # the others are for requests that hash nothing
WAITING_MAX: Final = 128


class Argon2Passwords:
    """Implements `noded.identity.links.Passwords`. Tests give cheaper parameters."""

    def __init__(self, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._places = trio.CapacityLimiter(AT_ONCE_MAX)
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """A salted hash; see the protocol."""
        self._expect_room()
        return await trio.to_thread.run_sync(self._hasher.hash, password, limiter=self._places)

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is the hashed one; see the protocol."""
        self._expect_room()
        if self._nobody is None:
            self._nobody = await self.hash("nobody has this password")
        known = await trio.to_thread.run_sync(
            self._verify, password_hash or self._nobody, password, limiter=self._places
        )
        return known and password_hash is not None

    def _expect_room(self) -> None:
        if self._places.statistics().tasks_waiting >= WAITING_MAX:
            raise Unavailable("Too many are signing in at this moment. Try again in a few seconds.")

    def is_current(self, password_hash: str) -> bool:
        """Whether it is as `hash` would make it now; see the protocol."""
        try:
            return not self._hasher.check_needs_rehash(password_hash)
        except InvalidHashError:
            return False

    def understands(self, password_hash: str) -> bool:
        """Whether some password could fit it; see the protocol."""
        if is_foreign(password_hash):
            return True
        try:
            extract_parameters(password_hash)
        except InvalidHashError:
            return False
        return True

    def _verify(self, password_hash: str, password: str) -> bool:
        if is_foreign(password_hash):
            return fits(password_hash, password)
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
