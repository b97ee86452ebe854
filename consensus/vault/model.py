"""What the cluster keeps of its secrets: each sealed under the vault's key, and that key sealed for each member.

    secret ──sealed under──► the vault's key ──sealed for──► each member's key, which follows from its own private key

No private key of a member is in the log, so neither log nor checkpoint, history or backup tell a secret to anybody.
"""

from typing import ClassVar, Final

import msgspec

from noded.core.ids import NodeId
from noded.core.record import Record

VAULT: Final = "vault"  # there is one in a store, so its id is a word


class VaultMember(Record, frozen=True, kw_only=True, tag="vault_member.1"):
    """Whom the vault's key is to be sealed for: a member, under its id."""

    NOUN: ClassVar[str] = "vault member"

    id: NodeId
    public_key: bytes  # X25519


class Vault(Record, frozen=True, kw_only=True, tag="vault.1"):
    """The key under which secrets are sealed, as each member can open it."""

    NOUN: ClassVar[str] = "vault"

    id: str = VAULT
    envelopes: dict[NodeId, bytes]
    check: str  # what the opened key must come to
    created_at_ms: int = 0


class Secret(Record, frozen=True, kw_only=True, tag="vault_secret.1"):
    """One secret; its seal is bound to its id."""

    NOUN: ClassVar[str] = "secret"

    sealed: bytes
    purpose: str = ""
    created_at_ms: int = 0


class NewSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that a command of another service brings along."""

    id: str
    sealed: bytes
