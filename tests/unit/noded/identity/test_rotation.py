"""Keys rotate once a day, by the leader alone."""

from cryptography.fernet import Fernet

from noded.core.clock import now_ms
from noded.identity import tokens
from noded.identity.model import TokenKey
from noded.identity.tokens.commands import AddTokenKey
from noded.identity.tokens.reconcile import ROTATION_MS, TokenKeysReconciler
from tests.twins.cluster import SharedCluster


async def cluster_with_key_of(created_ms: int) -> SharedCluster:
    shared = SharedCluster([tokens.SERVICE])
    key = AddTokenKey(key_id="first", secret=Fernet.generate_key(), now_ms=created_ms, after_number=0)
    await shared.cluster().propose(key)
    return shared


def reconcilers(shared: SharedCluster) -> list[TokenKeysReconciler]:
    return [TokenKeysReconciler(shared.cluster(node), shared.drivers[node]) for node in sorted(shared.up)]


def keys(shared: SharedCluster) -> int:
    return shared.cluster().view().count(TokenKey)


async def test_an_old_key_is_followed_by_one_new_one() -> None:
    shared = await cluster_with_key_of(now_ms() - ROTATION_MS)
    await shared.settle(*reconcilers(shared))
    assert keys(shared) == 2


async def test_a_young_key_stays_alone() -> None:
    shared = await cluster_with_key_of(now_ms())
    await shared.settle(*reconcilers(shared))
    assert keys(shared) == 1


async def test_only_the_leader_rotates() -> None:
    shared = await cluster_with_key_of(now_ms() - ROTATION_MS)
    leader = shared.cluster().leader_id
    for reconciler in reconcilers(shared):
        if reconciler._cluster.node_id != leader:
            await reconciler.reconcile()
    assert keys(shared) == 1
