"""Who is to be given the vault's key, who is gone, and which node sees to it? Decides; touches nothing."""

from collections.abc import Collection
from dataclasses import dataclass

from consensus.members.model import Node, NodeRole
from consensus.vault.model import VAULT, Vault, VaultMember
from noded.core.ids import NodeId
from noded.core.store import View


@dataclass(frozen=True, slots=True)
class Sharing:
    """Whom the key is to be sealed for, by their public keys, and who is gone."""

    for_whom: dict[NodeId, bytes]
    gone: tuple[NodeId, ...]


def must_announce(view: View, node_id: NodeId, public_key: bytes) -> bool:
    """Whether this node has still to say by which key it opens the vault. Witnesses need no secrets."""
    node, known = view.get(Node, node_id), view.get(VaultMember, node_id)
    return node is not None and node.role is NodeRole.MEMBER and (known is None or known.public_key != public_key)


def sharing(view: View, node_id: NodeId, reachable: Collection[NodeId]) -> Sharing | None:
    """What this node is to do; None: nothing, or it is for the least of those that hold the key and are up."""
    vault = view.get(Vault, VAULT)
    if vault is None or min((each for each in vault.envelopes if each in reachable), default=None) != node_id:
        return None
    nodes = {node.id for node in view.all(Node)}
    members = {member.id: member.public_key for member in view.all(VaultMember)}
    for_whom = {id: key for id, key in members.items() if id in nodes and id not in vault.envelopes}
    gone = tuple(sorted({*vault.envelopes, *members} - nodes))
    return Sharing(for_whom, gone) if for_whom or gone else None
