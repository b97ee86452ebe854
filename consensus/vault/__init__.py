"""What the log must carry and nobody may read in it: secrets, sealed under a key that only members can open."""

from consensus.vault.api import LOCAL_CALLS
from consensus.vault.commands import AnnounceVaultMember, CreateVault, ShareVault
from consensus.vault.model import Secret, Vault, VaultMember
from consensus.vault.reconcile import VaultReconciler
from noded.core.service import Service

SERVICE = Service(
    name="consensus.vault",
    records=(Secret, Vault, VaultMember),
    commands=(AnnounceVaultMember, CreateVault, ShareVault),
    reconcilers=(VaultReconciler,),
    local_calls=LOCAL_CALLS,
)
