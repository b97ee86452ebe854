"""What services ask of the vault, on the node where they run."""

from typing import Protocol

from consensus.vault.model import NewSecret
from noded.core.cluster import Cluster
from noded.core.ids import NodeId
from noded.core.store import View


class VaultAccess(Protocol):
    """This node's way into the vault."""

    @property
    def public_key(self) -> bytes:
        """Whom the vault's key is to be sealed for, so that this node can open it."""

    async def seal(self, cluster: Cluster, secret_id: str, plain: bytes) -> NewSecret:
        """A secret for a command to bring along. Makes the vault where there is none. Raises `Unavailable`."""

    def open(self, view: View, secret_id: str) -> bytes:
        """The secret. Raises `NotFound`, and `Unavailable` where this node can't open the vault (yet)."""

    def envelopes(self, view: View, for_whom: dict[NodeId, bytes]) -> dict[NodeId, bytes]:
        """The vault's key, sealed for others by their public keys. Raises `Unavailable` where it can't be opened."""

    def key(self, view: View) -> bytes:
        """The vault's key itself, for somebody to keep. Raises `Unavailable` where it can't be opened."""

    def taken_back(self, view: View, key: bytes) -> dict[NodeId, bytes]:
        """A key that somebody kept, sealed for this node. Raises `Invalid` if it is not this vault's."""

    def can_open(self, view: View) -> bool:
        """Whether there is a vault that this node can open."""
