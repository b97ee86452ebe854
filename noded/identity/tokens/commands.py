"""Orders about tokens and the keys that seal them."""

from typing import ClassVar

from noded.core.command import Command
from noded.core.errors import Conflict
from noded.core.store import Transaction
from noded.identity.model import RevokedToken, TokenKey

KEYS_KEPT = 4  # one staged, one that seals, and those of tokens that are still alive


class AddTokenKey(Command, frozen=True, kw_only=True, tag="token_key.add.1"):
    """A new key is staged: the one staged so far seals from now on, and the oldest goes.

    A node that is one entry behind already holds the key that others now seal with. `after_number`: the newest key
    that the proposer saw (0: none), so two nodes that rotate at once add one key. Revocations of tokens that have
    ended by themselves are forgotten on the way.
    """

    TOLD: ClassVar[str] = "made a new key for tokens"

    key_id: str
    secret: bytes
    now_ms: int
    after_number: int

    def apply(self, tx: Transaction) -> None:
        keys = sorted(tx.all(TokenKey), key=lambda key: key.number)
        newest = keys[-1].number if keys else 0
        if newest != self.after_number:
            raise Conflict("The token keys have just been rotated by someone else.")
        tx.put(TokenKey(id=self.key_id, number=newest + 1, secret=self.secret, created_ms=self.now_ms))
        for old in keys[: max(0, len(keys) + 1 - KEYS_KEPT)]:
            tx.delete(TokenKey, old.id)
        for revoked in tx.all(RevokedToken):
            if revoked.expires_ms < self.now_ms:
                tx.delete(RevokedToken, revoked.id)


class RevokeToken(Command, frozen=True, kw_only=True, tag="token.revoke.1"):
    """The token ends now."""

    TOLD: ClassVar[str] = "revoked a token"

    FREES_ROOM: ClassVar[bool] = True

    audit_id: str
    expires_ms: int

    def apply(self, tx: Transaction) -> None:
        tx.put(RevokedToken(id=self.audit_id, expires_ms=self.expires_ms))
