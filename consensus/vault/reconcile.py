"""What gives every member its way into the vault."""

import structlog

from consensus.members.model import Node
from consensus.vault.commands import AnnounceVaultMember, ShareVault
from consensus.vault.links import VaultAccess
from consensus.vault.model import Vault, VaultMember
from consensus.vault.plan import must_announce, sharing
from noded.core.cluster import Cluster
from noded.core.reconciler import Drivers

log = structlog.get_logger(__name__)


class VaultReconciler:
    """Each member has told its key; one that can open the vault seals the vault's key for those that can't."""

    name = "vault"
    watches = (Node, Vault, VaultMember)
    period_s = 10.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._access = drivers.get(VaultAccess)

    async def reconcile(self) -> None:
        """One pass."""
        node_id, public_key = self._cluster.node_id, self._access.public_key
        if must_announce(self._cluster.view(), node_id, public_key):
            await self._cluster.propose(AnnounceVaultMember(node_id=node_id, public_key=public_key))
        view = self._cluster.view()
        todo = sharing(view, node_id, self._cluster.reachable())
        if todo is not None and self._access.can_open(view):
            envelopes = self._access.envelopes(view, todo.for_whom)
            await self._cluster.propose(ShareVault(envelopes=envelopes, gone=todo.gone))
            log.info("vault shared", members=sorted(envelopes), gone=todo.gone)
