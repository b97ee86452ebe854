"""A node is chosen by what is free and what is near; a share is claimed for certain, or refused with the reason."""

import pytest

from compute.placement import SERVICE
from compute.placement.commands import NODE_FULL, Terms, choose, claim, free
from compute.placement.model import Allocation, ComputeNode, Demand, use_of
from consensus.store import Change, Picture
from noded.core.errors import Conflict, NoRoom
from noded.core.ids import NodeId, Revision

SMALL = Demand(vcpus=1, memory_mib=256)
ALL = Terms(reachable={NodeId(f"id{number}") for number in range(1, 4)})


def node(number: int, memory_mib: int = 2048, cpus: int = 4) -> ComputeNode:
    return ComputeNode(
        id=NodeId(f"id{number}"),
        name=f"node{number}",
        address="10.77.0.1",
        cpus=cpus,
        memory_mib=memory_mib,
        kvm=False,
        hypervisor="QEMU",
        version=7_002_000,
        cpu_model="",
        reported_ms=1,
    )


def store(*nodes: ComputeNode) -> Change:
    change = Picture.empty().begin(Revision(1))
    for each in nodes:
        change.put(each)
    return change


def hold(tx: Change, number: int, memory_mib: int, vcpus: int = 1) -> None:
    consumer = f"c{tx.count(Allocation)}"
    tx.put(Allocation(id=consumer, node_id=NodeId(f"id{number}"), vcpus=vcpus, memory_mib=memory_mib))


def test_servers_spread_over_equal_nodes() -> None:
    tx = store(node(1), node(2), node(3))
    assert sorted(choose(tx, SMALL, 6, ALL)) == ["id1", "id1", "id2", "id2", "id3", "id3"]


def test_the_emptiest_node_comes_first() -> None:
    tx = store(node(1), node(2))
    hold(tx, 2, 1024)
    assert choose(tx, SMALL, 1, ALL) == ["id1"]


def test_a_node_near_the_image_beats_one_that_is_slightly_emptier() -> None:
    tx = store(node(1), node(2))
    hold(tx, 1, 256)
    near = Terms(reachable=ALL.reachable, image_near={NodeId("id1"): 1.0})
    assert choose(tx, SMALL, 1, near) == ["id1"]


def test_luck_decides_between_equals_and_never_against_a_clearly_emptier_node() -> None:
    tx = store(node(1), node(2))
    lucky = Terms(reachable=ALL.reachable, luck={NodeId("id1"): 0.9, NodeId("id2"): 0.1})
    assert choose(tx, SMALL, 1, lucky) == ["id1"]
    hold(tx, 1, 512)
    assert choose(tx, SMALL, 1, lucky) == ["id2"]


def test_the_refusal_names_every_node_and_why() -> None:
    tx = store(node(1, memory_mib=2048), node(2, cpus=1), node(3))
    hold(tx, 1, 1920)
    hold(tx, 2, 256, vcpus=16)
    away = Terms(reachable={NodeId("id1"), NodeId("id2")})
    with pytest.raises(NoRoom) as refused:
        choose(tx, SMALL, 1, away)
    message = refused.value.message
    assert "node1: 128 MiB of memory free of 2048, 256 needed" in message
    assert "node2: 0 virtual CPUs free of 16, 1 needed" in message
    assert "node3: not heard from within the last seconds" in message


def test_many_are_placed_all_or_none() -> None:
    with pytest.raises(NoRoom, match="Of 3 servers 2 would fit"):
        choose(store(node(1, memory_mib=600)), SMALL, 3, ALL)


def test_a_cluster_without_nodes_says_so() -> None:
    with pytest.raises(NoRoom, match="no node has reported"):
        choose(store(), SMALL, 1, ALL)


def test_a_named_node_is_the_only_one() -> None:
    tx = store(node(1), node(2))
    named = Terms(reachable=ALL.reachable, wanted=NodeId("id2"))
    assert choose(tx, SMALL, 2, named) == ["id2", "id2"]


def test_a_claim_is_refused_when_the_node_has_filled_up() -> None:
    tx = store(node(1, memory_mib=300))
    claim(tx, "a", NodeId("id1"), SMALL)
    with pytest.raises(Conflict, match="node1: 44 MiB") as refused:
        claim(tx, "b", NodeId("id1"), SMALL)
    assert refused.value.code == NODE_FULL
    free(tx, "a")
    free(tx, "a")
    claim(tx, "b", NodeId("id1"), SMALL)
    assert use_of(tx, NodeId("id1")).memory_mib == 256


def test_the_service_declares_its_records() -> None:
    assert SERVICE.records == (ComputeNode, Allocation)
