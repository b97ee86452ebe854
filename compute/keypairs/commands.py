"""How keypairs come and go."""

from typing import ClassVar

from compute.keypairs.model import KEYPAIRS_MAX, Keypair, KeyType, keypair_id
from noded.core.command import Command
from noded.core.errors import Conflict, NotFound, OverQuota
from noded.core.ids import UserId
from noded.core.store import Transaction


class CreateKeypair(Command, frozen=True, kw_only=True, tag="keypair.create.1"):
    """Keep a user's public key."""

    TOLD: ClassVar[str] = "created the key pair {name} of user {user_id}"

    user_id: UserId
    name: str
    type: KeyType
    public_key: str
    fingerprint: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        id = keypair_id(self.user_id, self.name)
        if tx.get(Keypair, id) is not None:
            raise Conflict(f"Key pair '{self.name}' already exists.")
        if len(tx.find(Keypair, "user_id", self.user_id)) >= KEYPAIRS_MAX:
            raise OverQuota(f"A user has at most {KEYPAIRS_MAX} key pairs; delete one first.")
        tx.put(
            Keypair(
                id=id,
                user_id=self.user_id,
                name=self.name,
                type=self.type,
                public_key=self.public_key,
                fingerprint=self.fingerprint,
                created_ms=self.now_ms,
            )
        )


class DeleteKeypair(Command, frozen=True, kw_only=True, tag="keypair.delete.1"):
    """Forget a key; guests that have it keep it."""

    TOLD: ClassVar[str] = "deleted the key pair {name} of user {user_id}"

    FREES_ROOM: ClassVar[bool] = True

    user_id: UserId
    name: str

    def apply(self, tx: Transaction) -> None:
        id = keypair_id(self.user_id, self.name)
        if tx.get(Keypair, id) is None:
            raise NotFound(f"Keypair {self.name} not found for user {self.user_id}")
        tx.delete(Keypair, id)
