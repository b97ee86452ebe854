"""Who is this node? A key pair, made on the first start and kept for ever; the id follows from the key."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from consensus.authority import is_due_for_renewal, load_key, new_private_key, public_key_of, sign_self
from consensus.host.files import make_private_directory, write_durably
from consensus.host.tls import node_key_file, self_signed_file, tls_directory
from consensus.naming import fingerprint, node_id_of
from noded.core.ids import NodeId


@dataclass(frozen=True)
class NodeIdentity:
    """This node's key, its id, and the files that TLS reads them from."""

    node_id: NodeId
    public_key: bytes
    key_pem: bytes = field(repr=False)
    key_file: Path
    self_signed_file: Path

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key, 64 hex digits: what others see announced and bind a door to."""
        return fingerprint(self.public_key)

    @classmethod
    def load_or_create(cls, state_dir: Path) -> Self:
        """Read the identity below `state_dir`, or make one. Raises ValueError if the key file is not a P-256 key."""
        make_private_directory(tls_directory(state_dir))
        key_file = node_key_file(state_dir)
        if not key_file.exists():
            write_durably(key_file, new_private_key())
        key_pem = key_file.read_bytes()
        public_key = public_key_of(key_pem)
        _keep_self_signed(self_signed_file(state_dir), key_pem)
        return cls(node_id_of(public_key), public_key, key_pem, key_file, self_signed_file(state_dir))

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature (SHA-256) that only this node can make."""
        return load_key(self.key_pem).sign(message, ec.ECDSA(hashes.SHA256()))


def _keep_self_signed(path: Path, key_pem: bytes) -> None:
    now = datetime.now(UTC)
    if path.exists() and not is_due_for_renewal(path.read_bytes(), now):
        return
    write_durably(path, sign_self(key_pem, now))
