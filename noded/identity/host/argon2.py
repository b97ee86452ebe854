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
from noded.identity.links import MEMORY_KIB_MAX, PASSES_MAX, USUAL, HashCost

MEMORY_KIB: Final = 16 * 1024
PASSES: Final = 3  # about 25 ms on the machines that this was measured on
COSTS_KEPT: Final = 8
LANES_MAX: Final = 8
AT_ONCE_MAX: Final = max(1, (os.cpu_count() or 2) // 2)  # the others are for requests that hash nothing
WAITING_MAX: Final = 512
WAITING_MAX_OF_ONE: Final = 128  # of those who ask from one address: others must still come in


class Argon2Passwords:
    """Implements `noded.identity.links.Passwords`. Tests give cheaper parameters."""

    def __init__(self, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self._usual = HashCost(memory_kib, passes)
        self._hashers: dict[HashCost, PasswordHasher] = {}
        self._nobody: dict[HashCost, str] = {}
        self._turns = Turns(AT_ONCE_MAX, WAITING_MAX, WAITING_MAX_OF_ONE)

    async def hash(self, password: str, asker: str = "", cost: HashCost = USUAL) -> str:
        """A salted hash; see the protocol."""
        async with self._turns.turn(asker):
            return await trio.to_thread.run_sync(self._hasher(cost).hash, password)

    async def matches(self, password_hash: str | None, password: str, asker: str = "", cost: HashCost = USUAL) -> bool:
        """Whether the password is the hashed one; see the protocol."""
        if cost not in self._nobody:
            self._nobody[cost] = await self.hash("nobody has this password", asker, cost)
        async with self._turns.turn(asker):
            known = await trio.to_thread.run_sync(self._verify, password_hash or self._nobody[cost], password)
        return known and password_hash is not None

    def is_current(self, password_hash: str, cost: HashCost = USUAL) -> bool:
        """Whether it is as `hash` would make it now; see the protocol."""
        try:
            return not self._hasher(cost).check_needs_rehash(password_hash)
        except InvalidHashError:
            return False

    def understands(self, password_hash: str) -> bool:
        """Whether some password could fit it; see the protocol."""
        return is_foreign(password_hash) or _is_affordable(password_hash)

    def _hasher(self, cost: HashCost) -> PasswordHasher:
        if cost not in self._hashers:
            if len(self._hashers) >= COSTS_KEPT:
                self._hashers.clear()
                self._nobody.clear()
            passes, memory_kib = cost.passes or self._usual.passes, cost.memory_kib or self._usual.memory_kib
            self._hashers[cost] = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        return self._hashers[cost]

    def _verify(self, password_hash: str, password: str) -> bool:
        if is_foreign(password_hash):
            return fits(password_hash, password)
        if not _is_affordable(password_hash):
            return False
        try:
            return self._hasher(USUAL).verify(password_hash, password)  # by the cost that the hash itself tells
        except (VerificationError, InvalidHashError):
            return False


def _is_affordable(password_hash: str) -> bool:
    try:
        parameters = extract_parameters(password_hash)
    except InvalidHashError:
        return False
    is_cheap = parameters.memory_cost <= MEMORY_KIB_MAX and parameters.time_cost <= PASSES_MAX
    return is_cheap and parameters.parallelism <= LANES_MAX
