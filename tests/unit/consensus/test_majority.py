"""When a node says at once that it can't change anything, and what it then says."""

import pytest
import trio

from consensus import members
from consensus.majority import LEADERLESS_S_MAX, MINORITY_S_MAX, Ballot, Patience, names_of, why_not
from consensus.members.model import Node
from noded.core.errors import Unavailable
from noded.core.ids import NodeId
from tests.twins.cluster import SharedCluster

A, B, C = NodeId("a" * 32), NodeId("b" * 32), NodeId("c" * 32)


def ballot(*heard: str, voters: str = "abc", me: NodeId = A, leader: str | None = None) -> Ballot:
    return Ballot(me, frozenset(each * 32 for each in voters), frozenset(each * 32 for each in heard), leader)


@pytest.mark.parametrize(
    ("seen", "enough"),
    [
        (ballot(), False),
        (ballot("b"), True),
        (ballot("d", "e"), False),
        (ballot("b", voters="bc", me=A), False),
        (ballot("b", "c", voters="bc", me=A), True),
        (ballot(voters="a"), True),
        (ballot(voters="ab"), False),
        (ballot("b", "c", voters="abcde"), True),
        (ballot("b", voters="abcde"), False),
        (ballot(voters=""), True),
        (ballot(voters="b", leader=B), True),
    ],
)
def test_a_majority_is_more_than_half_of_the_voters_or_a_leader_that_is_heard(seen: Ballot, enough: bool) -> None:
    assert seen.has_majority is enough


def test_lost_voters_are_waited_for_a_little_and_an_election_longer() -> None:
    for seen, limit_s in ((ballot(), MINORITY_S_MAX), (ballot("b"), LEADERLESS_S_MAX)):
        patience = Patience()
        assert not patience.is_over(seen, 10.0)
        assert not patience.is_over(seen, 10.0 + limit_s - 0.01)
        assert patience.is_over(seen, 10.0 + limit_s)
        assert not patience.is_over(ballot(leader=B), 30.0)
        assert not patience.is_over(seen, 31.0)


async def told() -> SharedCluster:
    shared = SharedCluster((members.SERVICE,), (A, B, C))
    change = shared.machine.picture.begin(shared.machine.picture.revision)
    for node_id, name in ((A, "one"), (B, "[/] two")):
        change.put(Node(id=node_id, name=name, addresses=(), fingerprint="", admitted_at_ms=0, release="1"))
    shared.machine._picture = change.commit()
    return shared


async def test_the_reason_names_who_is_missing_and_the_way_out() -> None:
    view = (await told()).machine.picture
    assert names_of(view, [C, B, A]) == f"[/] two, {C[:12]} and one"
    said = why_not(ballot(), view)
    assert "only 1 of 3 voting nodes, and 2 are needed" in said
    assert f"[/] two and {C[:12]} can't be reached" in said
    assert "none that leads" in why_not(ballot("b"), view)


async def test_a_node_alone_refuses_at_once_and_goes_on_by_itself(autojump_clock: trio.testing.MockClock) -> None:
    shared = await told()
    cluster = shared.cluster(A)
    assert cluster.has_majority
    shared.alone = {A}
    assert not cluster.has_majority
    started_s = trio.current_time()
    for limit_s in (MINORITY_S_MAX + 0.3, 0.3, 0.3):
        with pytest.raises(Unavailable, match="1 of 3 voting nodes"):
            await cluster.propose()
        with pytest.raises(Unavailable, match="1 of 3 voting nodes"):
            await cluster.fresh_view()
        assert trio.current_time() - started_s <= limit_s
        started_s = trio.current_time()
    assert shared.cluster(B).has_majority
    shared.alone = set()
    await cluster.propose()
    assert cluster.has_majority


async def test_whoever_asks_again_and_again_lets_the_others_go_on(autojump_clock: trio.testing.MockClock) -> None:
    shared = await told()
    shared.alone = {A}

    async def mend() -> None:
        await trio.sleep(10)
        shared.alone = set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(mend)
        while True:
            try:
                await shared.cluster(A).propose()
                break
            except Unavailable:
                continue


async def test_a_blink_is_waited_out(autojump_clock: trio.testing.MockClock) -> None:
    shared = await told()
    shared.alone = {A}

    async def mend() -> None:
        await trio.sleep(MINORITY_S_MAX / 2)
        shared.alone = set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(mend)
        await shared.cluster(A).propose()
