"""What a token is in the store, and what is said of nodes that wait at a door. Who waits is never stored."""

from enum import StrEnum
from typing import ClassVar, Final

import msgspec

from consensus.refusals import Refusal
from noded.core.ids import NodeId
from noded.core.origin import Origin
from noded.core.record import Record

TOKENS_MAX: Final = 200  # that can still be used; used up, expired and revoked ones are kept for a week to be seen
USES_MAX: Final = 1000
TOKEN_LIFE_MS_MAX: Final = 366 * 24 * 3600 * 1000
KEPT_AFTERWARDS_MS: Final = 7 * 24 * 3600 * 1000


class TokenState(StrEnum):
    """What a token is good for now."""

    VALID = "valid"
    USED_UP = "used_up"
    EXPIRED = "expired"
    REVOKED = "revoked"


class JoinToken(Record, frozen=True, kw_only=True, tag="join_token.1"):
    """A right to join, so many times until then. The secret itself is in the token alone."""

    NOUN: ClassVar[str] = "token"

    id: str
    secret_hash: str  # SHA-256, hex
    uses: int
    used_by: tuple[NodeId, ...]  # one entry a use
    created_at_ms: int
    created_by: str  # a user's or node's name, for people
    expires_at_ms: int
    revoked_at_ms: int | None = None
    addresses: tuple[str, ...] = ()  # where it sends its bearer

    def state_at(self, now_ms: int) -> TokenState:
        """What it is good for at that time."""
        if self.revoked_at_ms is not None:
            return TokenState.REVOKED
        if len(self.used_by) >= self.uses:
            return TokenState.USED_UP
        return TokenState.EXPIRED if now_ms >= self.expires_at_ms else TokenState.VALID


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An unclaimed node that waits for somebody's yes, as the member at whose door it waits sees it."""

    node_id: NodeId
    fingerprint: str
    name: str
    addresses: tuple[str, ...]
    release: str
    words: str  # of this handshake: the node shows the same, unless someone stands between
    waits_at: NodeId
    since_ms: int
    approved: bool = False  # by a member's administrator
    agreed: bool = False  # on the node's own side
    misfit: str = ""  # why it could not be admitted as it is


class Unclaimed(msgspec.Struct, frozen=True, kw_only=True):
    """A node that announces itself as unclaimed: nothing of it is proved."""

    node_id: NodeId
    fingerprint: str
    name: str
    addresses: tuple[str, ...]
    release: str
    cluster: str  # the name in its seed, if it has one: such a node waits for the hands-off door


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Whom one member sees outside."""

    requests: tuple[JoinRequest, ...]
    unclaimed: tuple[Unclaimed, ...]


class LetIn(msgspec.Struct, frozen=True, kw_only=True):
    """The order to approve, or to turn away, a node that waits."""

    node: str  # its id or its name; may be left out where the words say who is meant
    words: str = ""
    claim_code: str = ""
    addresses: tuple[str, ...] = ()  # where to find it, if it can't be seen from here
    origin: Origin | None = None  # who gives the order

    def __repr__(self) -> str:
        return f"LetIn(node={self.node!r}, words={self.words!r})"  # never the claim code


class TokenWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a new token shall be good for."""

    uses: int = 1
    ttl: str = "1h"
    addresses: tuple[str, ...] = ()  # default: those of the present members


class RefusalsAt(msgspec.Struct, frozen=True, kw_only=True):
    """Whom one node turned away since its daemon started."""

    node_id: NodeId
    lines: tuple[Refusal, ...]
