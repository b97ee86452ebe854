"""How the vault's key comes to the members, and secrets into the store and out of it."""

from typing import ClassVar

import msgspec
from msgspec.structs import replace

from consensus.members.model import Node, NodeRole
from consensus.vault.model import VAULT, NewSecret, Secret, Vault, VaultMember
from noded.core.command import Command
from noded.core.errors import Conflict
from noded.core.ids import NodeId
from noded.core.store import Transaction


class AnnounceVaultMember(Command, frozen=True, kw_only=True, tag="vault.announce.1"):
    """A member says whom the vault's key is to be sealed for. What was sealed for its former key is worth nothing."""

    TOLD: ClassVar[str] = "told the key by which node {node_id} opens the vault"

    node_id: NodeId
    public_key: bytes

    def apply(self, tx: Transaction) -> None:
        tx.put(VaultMember(id=self.node_id, public_key=self.public_key))
        vault = tx.get(Vault, VAULT)
        if vault is not None and self.node_id in vault.envelopes:
            envelopes = {node: each for node, each in vault.envelopes.items() if node != self.node_id}
            tx.put(replace(vault, envelopes=envelopes))


class CreateVault(Command, frozen=True, kw_only=True, tag="vault.create.1"):
    """The cluster has a vault from now on: its key, sealed for each member."""

    TOLD: ClassVar[str] = "made the cluster's vault"

    envelopes: dict[NodeId, bytes]
    check: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        if tx.get(Vault, VAULT) is not None:
            raise Conflict("The cluster has a vault already.")
        lacking = [node.id for node in tx.all(Node) if node.role is NodeRole.MEMBER and node.id not in self.envelopes]
        if lacking:
            raise Conflict(f"The vault's key is not sealed for these members: {', '.join(lacking)}. Try again.")
        tx.put(Vault(envelopes=self.envelopes, check=self.check, created_at_ms=self.now_ms))


class ShareVault(Command, frozen=True, kw_only=True, tag="vault.share.1"):
    """Other members can open the vault too; those that are gone are not named in it any more."""

    TOLD: ClassVar[str] = "gave the vault's key to members"

    envelopes: dict[NodeId, bytes] = msgspec.field(default_factory=dict)
    gone: tuple[NodeId, ...] = ()

    def apply(self, tx: Transaction) -> None:
        vault = tx.need(Vault, VAULT)
        kept = {node: each for node, each in vault.envelopes.items() if node not in self.gone}
        known = {node: each for node, each in self.envelopes.items() if tx.get(VaultMember, node) is not None}
        tx.put(replace(vault, envelopes=kept | known))
        for node in self.gone:
            if tx.get(Node, node) is None and tx.get(VaultMember, node) is not None:
                tx.delete(VaultMember, node)


def put_secret(tx: Transaction, secret: NewSecret, *, purpose: str, now_ms: int) -> None:
    """Keep a secret. Raises `Conflict` where there is one of that id."""
    if tx.get(Secret, secret.id) is not None:
        raise Conflict(f"A secret with id {secret.id} exists already.")
    tx.put(Secret(id=secret.id, sealed=secret.sealed, purpose=purpose, created_at_ms=now_ms))


def drop_secret(tx: Transaction, secret_id: str) -> None:
    """Forget a secret for good. Again: nothing."""
    if tx.get(Secret, secret_id) is not None:
        tx.delete(Secret, secret_id)
