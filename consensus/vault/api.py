"""What root on a member may ask of the vault: who can open it, its key to keep elsewhere, and to give it back."""

from typing import Final

import msgspec

from consensus.members.model import Node
from consensus.vault.commands import ShareVault
from consensus.vault.links import VaultAccess
from consensus.vault.model import VAULT, Secret, Vault
from noded.core.errors import Invalid
from noded.core.service import PeerContext, PeerHandler

PREFIX: Final = "noded-vault-1:"  # what tells a kept key from other words


async def _show(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    view = context.cluster.view()
    vault = view.get(Vault, VAULT)
    holders = vault.envelopes if vault is not None else {}
    return msgspec.msgpack.encode(
        {
            "exists": vault is not None,
            "secrets": view.count(Secret),
            "opens_here": context.drivers.get(VaultAccess).can_open(view),
            "members": {node.name: node.id in holders for node in view.all(Node)},
        }
    )


async def _export(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    key = context.drivers.get(VaultAccess).key(context.cluster.view())
    return msgspec.msgpack.encode(PREFIX + key.hex())


async def _import(context: PeerContext, payload: bytes) -> bytes:
    words = msgspec.msgpack.decode(payload, type=str).strip()
    digits = words.removeprefix(PREFIX)
    if digits == words or len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise Invalid("This is no key of a vault: it is the one line that `noded vault export` printed.")
    envelopes = context.drivers.get(VaultAccess).taken_back(context.cluster.view(), bytes.fromhex(digits))
    await context.cluster.propose(ShareVault(envelopes=envelopes))
    return await _show(context, b"")


LOCAL_CALLS: dict[str, PeerHandler] = {"vault.show": _show, "vault.export": _export, "vault.import": _import}
