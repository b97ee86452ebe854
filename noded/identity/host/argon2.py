"""How is a password hashed? Argon2id (RFC 9106) in worker threads, so few at a time that memory stays small.

Who asks from different addresses takes turns: a flood of sign-ins from one holds up nobody else for long.
"""

import os
from typing import Final

import trio
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from noded.identity.host.foreign_hashes import fits, is_foreign
from noded.identity.host.turns import Turns

MEMORY_KIB: Final = 16 * 1024
PASSES: Final = 3  # about 25 ms on the machines that this was measured on
AT_ONCE_MAX: Final = max(1, (os.cpu_count() or 2) // 2)  # the others are for requests that hash nothing
WAITING_MAX: Final = 512
WAITING_MAX_OF_ONE: Final = 128  # of those who ask from one address: others must still come in


class Argon2Passwords:
    """Implements `noded.identity.links.Passwords`. Tests give cheaper parameters."""

    def __init__(self, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._turns = Turns(AT_ONCE_MAX, WAITING_MAX, WAITING_MAX_OF_ONE)
        self._nobody: str | None = None

    async def hash(self, password: str, asker: str = "") -> str:
        """A salted hash; see the protocol."""
        async with self._turns.turn(asker):
            return await trio.to_thread.run_sync(self._hasher.hash, password)

    async def matches(self, password_hash: str | None, password: str, asker: str = "") -> bool:
        """Whether the password is the hashed one; see the protocol."""
        if self._nobody is None:
            self._nobody = await self.hash("nobody has this password", asker)
        async with self._turns.turn(asker):
            known = await trio.to_thread.run_sync(self._verify, password_hash or self._nobody, password)
        return known and password_hash is not None

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
