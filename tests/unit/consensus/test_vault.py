"""Every member opens the vault, whoever comes later too; nobody else does, and a key that was kept opens it again."""

from pathlib import Path

import msgspec
import pytest

from consensus.host.identity import NodeIdentity
from consensus.host.vault import NodeVault
from consensus.members import SERVICE as MEMBERS
from consensus.members.commands import AdmitNode
from consensus.members.model import Node
from consensus.vault import SERVICE as VAULT_SERVICE
from consensus.vault.api import LOCAL_CALLS
from consensus.vault.commands import put_secret
from consensus.vault.links import VaultAccess
from consensus.vault.model import VAULT, Vault, VaultMember
from noded.core.errors import Invalid, Unavailable
from noded.core.ids import NodeId, Revision
from noded.core.reconciler import Drivers
from noded.core.service import PeerContext
from tests.twins.cluster import SharedCluster


async def admitted(*nodes: str) -> SharedCluster:
    shared = SharedCluster((MEMBERS, VAULT_SERVICE), nodes)
    for node in nodes:
        await admit(shared, node)
    return shared


async def admit(shared: SharedCluster, node: str) -> None:
    order = AdmitNode(node_id=NodeId(node), name=node, addresses=(), fingerprint=node, release="1", now_ms=1)
    await shared.cluster().propose(order)


async def settle(shared: SharedCluster) -> None:
    each = [(shared.cluster(node), shared.drivers[node]) for node in sorted(shared.up)]
    await shared.settle(*(make(*one) for one in each for make in VAULT_SERVICE.reconcilers))


async def keep(shared: SharedCluster, plain: bytes) -> None:
    secret = await shared.drivers["node1"].get(VaultAccess).seal(shared.cluster(), "s", plain)
    change = shared.machine.picture.begin(Revision(shared.machine.picture.revision + 1))
    put_secret(change, secret, purpose="test", now_ms=1)
    shared.machine._picture = change.commit()


def opened(shared: SharedCluster, node: str) -> bytes:
    return shared.drivers[node].get(VaultAccess).open(shared.cluster(node).view(), "s")


async def test_members_of_today_and_of_tomorrow_open_what_is_kept() -> None:
    shared = await admitted("node1", "node2", "node3")
    with pytest.raises(Unavailable, match="have not told"):
        await keep(shared, b"words")
    await settle(shared)
    await keep(shared, b"words")
    assert [opened(shared, node) for node in ("node1", "node2", "node3")] == [b"words"] * 3
    change = shared.machine.picture.begin(Revision(shared.machine.picture.revision + 1))
    change.delete(VaultMember, "node3")  # as if it had only come now
    vault = change.need(Vault, VAULT)
    change.put(msgspec.structs.replace(vault, envelopes={k: v for k, v in vault.envelopes.items() if k != "node3"}))
    shared.machine._picture = change.commit()
    with pytest.raises(Unavailable):
        opened(shared, "node3")
    await settle(shared)
    assert opened(shared, "node3") == b"words"


async def test_who_is_no_member_any_more_is_named_no_more() -> None:
    shared = await admitted("node1", "node2")
    await settle(shared)
    await keep(shared, b"words")
    change = shared.machine.picture.begin(Revision(shared.machine.picture.revision + 1))
    change.delete(Node, "node2")
    shared.machine._picture = change.commit()
    shared.up.discard("node2")
    await settle(shared)
    assert set(shared.machine.picture.need(Vault, VAULT).envelopes) == {"node1"}
    assert shared.machine.picture.get(VaultMember, "node2") is None


async def test_a_key_that_was_kept_opens_the_vault_on_other_machines() -> None:
    shared = await admitted("node1", "node2")
    await settle(shared)
    await keep(shared, b"words")
    context = PeerContext(cluster=shared.cluster(), drivers=shared.drivers["node1"])
    kept = await LOCAL_CALLS["vault.export"](context, b"")
    for node in ("node1", "node2"):  # other machines, with other keys
        drivers = shared.drivers[node] = Drivers()
        drivers.add(VaultAccess, NodeVault(NodeId(node), node.encode().ljust(32, b"x")))
    await settle(shared)
    context = PeerContext(cluster=shared.cluster(), drivers=shared.drivers["node1"])
    with pytest.raises(Unavailable):
        opened(shared, "node1")
    for wrong in ("words", "noded-vault-1:" + "0" * 64, msgspec.msgpack.decode(kept)[:-1]):
        with pytest.raises(Invalid):
            await LOCAL_CALLS["vault.import"](context, msgspec.msgpack.encode(wrong))
    shown = msgspec.msgpack.decode(await LOCAL_CALLS["vault.import"](context, kept))
    assert (shown["opens_here"], shown["secrets"]) == (True, 1)
    await settle(shared)
    assert [opened(shared, node) for node in ("node1", "node2")] == [b"words"] * 2


def test_a_nodes_key_follows_from_its_identity(tmp_path: Path) -> None:
    identity, again = NodeIdentity.load_or_create(tmp_path), NodeIdentity.load_or_create(tmp_path)
    assert NodeVault.of(identity).public_key == NodeVault.of(again).public_key
