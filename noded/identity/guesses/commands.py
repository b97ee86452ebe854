"""The order that locks a user on whom passwords were tried."""

from typing import ClassVar

import msgspec

from noded.core.command import Command
from noded.core.ids import UserId
from noded.core.store import Transaction
from noded.identity.model import User


class LockUser(Command, frozen=True, kw_only=True, tag="user.lock.1"):
    """After too many wrong passwords nobody signs in as this user until then; tokens stay good."""

    TOLD: ClassVar[str] = "locked the user {user_id} after wrong passwords"

    user_id: UserId
    until_ms: int

    def apply(self, tx: Transaction) -> None:
        before = tx.need(User, self.user_id)
        tx.put(msgspec.structs.replace(before, locked_until_ms=max(before.locked_until_ms, self.until_ms)))
