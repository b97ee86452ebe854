"""How tokens come to be, are used and end. A use is counted in the entry that admits, so it is counted exactly once."""

from typing import ClassVar

import msgspec

from consensus.doors.model import (
    KEPT_AFTERWARDS_MS,
    TOKEN_LIFE_MS_MAX,
    TOKENS_MAX,
    USES_MAX,
    JoinToken,
    TokenState,
)
from consensus.members.model import Node
from noded.core.command import Command
from noded.core.errors import Conflict, Forbidden, Invalid, OverQuota
from noded.core.ids import NodeId
from noded.core.store import Transaction
from noded.core.times import zulu


class CreateToken(Command, frozen=True, kw_only=True, tag="join_token.create.1"):
    """A new token. Tokens that have long been of no use are forgotten on the way."""

    TOLD: ClassVar[str] = "made a join token for {uses} nodes"

    token_id: str
    secret_hash: str
    uses: int
    expires_at_ms: int
    addresses: tuple[str, ...]
    created_by: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        if not 1 <= self.uses <= USES_MAX:
            raise Invalid(f"A token has 1 to {USES_MAX} uses, not {self.uses}.")
        if not 0 < self.expires_at_ms - self.now_ms <= TOKEN_LIFE_MS_MAX:
            raise Invalid("A token lives longer than nothing and at most 366 days.")
        tokens = tx.all(JoinToken)
        for token in tokens:
            if max(token.expires_at_ms, token.revoked_at_ms or 0) + KEPT_AFTERWARDS_MS < self.now_ms:
                tx.delete(JoinToken, token.id)
        if sum(token.state_at(self.now_ms) is TokenState.VALID for token in tokens) >= TOKENS_MAX:
            raise OverQuota(f"There are {TOKENS_MAX} tokens that can still be used; revoke one first.")
        tx.put(
            JoinToken(
                id=self.token_id,
                secret_hash=self.secret_hash,
                uses=self.uses,
                used_by=(),
                created_at_ms=self.now_ms,
                created_by=self.created_by,
                expires_at_ms=self.expires_at_ms,
                addresses=self.addresses,
            )
        )


class RevokeToken(Command, frozen=True, kw_only=True, tag="join_token.revoke.1"):
    """The token opens nothing any more. Who has joined by it stays."""

    TOLD: ClassVar[str] = "revoked the join token {token_id}"

    token_id: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        token = tx.need(JoinToken, self.token_id)
        if token.revoked_at_ms is None:
            tx.put(msgspec.structs.replace(token, revoked_at_ms=self.now_ms))


class UseToken(Command, frozen=True, kw_only=True, tag="join_token.use.1"):
    """One use is gone: proposed in one entry with the admission of the node. A node that asks again, because it did not
    get the answer, and is a member, uses nothing more."""

    TOLD: ClassVar[str] = "used the join token {token_id} to admit node {node_id}"

    token_id: str
    node_id: NodeId
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        token = tx.need(JoinToken, self.token_id)
        if self.node_id in token.used_by and tx.get(Node, self.node_id) is not None:
            return
        state = token.state_at(self.now_ms)
        if state is TokenState.VALID:
            tx.put(msgspec.structs.replace(token, used_by=(*token.used_by, self.node_id)))
            return
        raise (Conflict if state is TokenState.USED_UP else Forbidden)(why_not(token, state))


def why_not(token: JoinToken, state: TokenState) -> str:
    """Why a token that is not valid lets nobody in."""
    reasons = {
        TokenState.USED_UP: f"has been used {len(token.used_by)} of {token.uses} times",
        TokenState.EXPIRED: f"expired at {zulu(token.expires_at_ms)}",
        TokenState.REVOKED: "was revoked",
    }
    return f"Token {token.id} {reasons[state]}. Ask for a new one: `noded token create` on a member."
