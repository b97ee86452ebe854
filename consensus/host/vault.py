"""How does this node open the vault? By a key that follows from its own private key, which never leaves its disk.

envelope = an ephemeral X25519 public key, and the vault's key under ChaCha20-Poly1305 by what the two agree on
sealed   = a nonce, and the secret under the vault's key, bound to the secret's id
"""

from hashlib import sha256
from secrets import token_bytes
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from consensus.authority import load_key
from consensus.host.identity import NodeIdentity
from consensus.members.model import Node, NodeRole
from consensus.vault.commands import CreateVault
from consensus.vault.model import VAULT, NewSecret, Secret, Vault, VaultMember
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Conflict, Invalid, Unavailable
from noded.core.ids import NodeId
from noded.core.store import View

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_ONCE: Final = bytes(NONCE_BYTES)  # an envelope's key is used once


class NodeVault:
    """Implements `VaultAccess`."""

    def __init__(self, node_id: NodeId, private_key: bytes) -> None:
        self._node_id = node_id
        self._private = X25519PrivateKey.from_private_bytes(private_key)
        self._opened: tuple[bytes, bytes] | None = None  # an envelope, and the key in it

    @classmethod
    def of(cls, identity: NodeIdentity) -> "NodeVault":
        """The way in that follows from a node's identity."""
        number = load_key(identity.key_pem).private_numbers().private_value
        seed = number.to_bytes(KEY_BYTES, "big")
        return cls(identity.node_id, HKDF(SHA256(), KEY_BYTES, None, b"noded vault member 1").derive(seed))

    @property
    def public_key(self) -> bytes:
        """See `VaultAccess.public_key`."""
        return self._private.public_key().public_bytes_raw()

    async def seal(self, cluster: Cluster, secret_id: str, plain: bytes) -> NewSecret:
        """See `VaultAccess.seal`."""
        if cluster.view().get(Vault, VAULT) is None:
            await self._create(cluster)
        key, nonce = self._key(cluster.view()), token_bytes(NONCE_BYTES)
        return NewSecret(id=secret_id, sealed=nonce + ChaCha20Poly1305(key).encrypt(nonce, plain, secret_id.encode()))

    def open(self, view: View, secret_id: str) -> bytes:
        """See `VaultAccess.open`."""
        sealed = view.need(Secret, secret_id).sealed
        try:
            cipher = ChaCha20Poly1305(self._key(view))
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], secret_id.encode())
        except InvalidTag:
            raise Unavailable(f"Secret {secret_id} was not sealed under this cluster's key.") from None

    def envelopes(self, view: View, for_whom: dict[NodeId, bytes]) -> dict[NodeId, bytes]:
        """See `VaultAccess.envelopes`."""
        key = self._key(view)
        return {node_id: _envelope(key, public_key) for node_id, public_key in for_whom.items()}

    def key(self, view: View) -> bytes:
        """See `VaultAccess.key`."""
        return self._key(view)

    def taken_back(self, view: View, key: bytes) -> dict[NodeId, bytes]:
        """See `VaultAccess.taken_back`."""
        vault = view.get(Vault, VAULT)
        if vault is None or check_of(key) != vault.check:
            raise Invalid("This is not the key of this cluster's vault.")
        return {self._node_id: _envelope(key, self.public_key)}

    def can_open(self, view: View) -> bool:
        """See `VaultAccess.can_open`."""
        try:
            self._key(view)
        except Unavailable:
            return False
        return True

    async def _create(self, cluster: Cluster) -> None:
        """Only when each member can open it from the start: what one alone can open goes with that one."""
        view, key = cluster.view(), token_bytes(KEY_BYTES)
        known = {member.id: member.public_key for member in view.all(VaultMember)} | {self._node_id: self.public_key}
        silent = [node.name for node in view.all(Node) if node.role is NodeRole.MEMBER and node.id not in known]
        if silent:
            raise Unavailable(
                f"Secrets can't be kept yet: these nodes have not told by which key they open them: "
                f"{', '.join(sorted(silent))}. They do so by themselves when they run."
            )
        envelopes = {node_id: _envelope(key, public_key) for node_id, public_key in known.items()}
        try:
            await cluster.propose(CreateVault(envelopes=envelopes, check=check_of(key), now_ms=now_ms()))
        except Conflict:
            if cluster.view().get(Vault, VAULT) is None:
                raise  # not because another node was quicker

    def _key(self, view: View) -> bytes:
        """The vault's key. Raises `Unavailable`."""
        vault = view.get(Vault, VAULT)
        envelope = vault.envelopes.get(self._node_id) if vault is not None else None
        if vault is None or envelope is None:
            raise Unavailable("This node can't open the cluster's vault yet: another member gives it the key.")
        if self._opened is None or self._opened[0] != envelope:
            key = self._unsealed(envelope)
            if check_of(key) != vault.check:
                raise Unavailable("What this node was given as the vault's key is another one.")
            self._opened = envelope, key
        return self._opened[1]

    def _unsealed(self, envelope: bytes) -> bytes:
        ephemeral, sealed = envelope[:KEY_BYTES], envelope[KEY_BYTES:]
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
            return ChaCha20Poly1305(_agreed(shared, ephemeral, self.public_key)).decrypt(_ONCE, sealed, None)
        except (InvalidTag, ValueError):
            raise Unavailable("The vault's key was not sealed for this node's key: was node.key replaced?") from None


def check_of(key: bytes) -> str:
    """What tells the vault's key from another, and nothing else of it."""
    return sha256(b"noded vault check 1" + key).hexdigest()[:16]


def _envelope(key: bytes, public_key: bytes) -> bytes:
    ephemeral = X25519PrivateKey.generate()
    opening = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public_key))
    return opening + ChaCha20Poly1305(_agreed(shared, opening, public_key)).encrypt(_ONCE, key, None)


def _agreed(shared: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, ephemeral + recipient, b"noded vault envelope 1").derive(shared)
