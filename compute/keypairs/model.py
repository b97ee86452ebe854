"""What a keypair is: a user's named public key. A private key that was made for the user is never kept."""

from enum import StrEnum
from typing import ClassVar

from noded.core.ids import UserId
from noded.core.record import Record

KEYPAIRS_MAX = 100  # a user


class KeyType(StrEnum):
    """What the public key is written as."""

    SSH = "ssh"
    X509 = "x509"


class Keypair(Record, frozen=True, kw_only=True, tag="keypair.1"):
    """One key. Its id joins user and name, since a name is unique for its user only."""

    INDEXED: ClassVar[tuple[str, ...]] = ("user_id",)
    NOUN: ClassVar[str] = "keypair"

    id: str
    user_id: UserId
    name: str
    type: KeyType = KeyType.SSH
    public_key: str
    fingerprint: str
    created_ms: int


def keypair_id(user_id: str, name: str) -> str:
    """The record's id."""
    return f"{user_id}:{name}"
