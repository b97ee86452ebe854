"""Snapshots are made where their volumes are served, and nothing is left half made when nodes come and go."""

from pathlib import Path

import pytest

from noded.core.ids import NodeId, VolumeId
from storage.volumes.claims import ClaimVolume
from storage.volumes.commands import attach_volume, delete_volume
from storage.volumes.layers import ask_for_cut
from storage.volumes.model import Cut, CutPart, Volume
from tests.scenarios.storage.test_volumes import Pool

V1, V2 = VolumeId("v1"), VolumeId("v2")


@pytest.fixture
async def pool(tmp_path: Path) -> Pool:
    pool = Pool(tmp_path)
    await pool.settle()
    return pool


async def written(pool: Pool, *names: str) -> None:
    for name in names:
        volume_id = await pool.create(name)
        order = ClaimVolume(volume_id=volume_id, node_id=NodeId("node1"), claim_id="first")
        await pool.shared.cluster("node1").propose(order)


def ask(pool: Pool, *volumes: VolumeId) -> None:
    with pool.change() as change:
        parts = [CutPart(volume_id=each, frozen_id=VolumeId(f"snapshot of {each}")) for each in volumes]
        ask_for_cut(change, "cut", parts, hidden=False, now_ms=0)


def attach(pool: Pool, volume_id: VolumeId, node: str) -> None:
    with pool.change() as change:
        attach_volume(change, volume_id, server_id="s", node_id=NodeId(node))


def frozen(pool: Pool) -> dict[str, list[VolumeId]]:
    return {name: machine.frozen for name, machine in pool.machines.items() if machine.frozen}


def has_snapshot(pool: Pool, volume_id: VolumeId) -> bool:
    return pool.shared.machine.picture.get(Volume, f"snapshot of {volume_id}") is not None


async def test_a_volume_that_was_never_written_needs_no_server(pool: Pool) -> None:
    await pool.create("v1")
    ask(pool, V1)
    await pool.settle()
    assert has_snapshot(pool, V1)
    assert frozen(pool) == {}


async def test_a_volume_that_nobody_uses_is_served_for_its_snapshot_and_no_longer(pool: Pool) -> None:
    await written(pool, "v1")
    ask(pool, V1)
    await pool.settle()
    assert has_snapshot(pool, V1)
    assert len(frozen(pool)) == 1
    assert all(not machine.opened for machine in pool.machines.values())


async def test_attached_volumes_stand_still_where_they_are_served(pool: Pool) -> None:
    await written(pool, "v1", "v2")
    attach(pool, V1, "node2")
    attach(pool, V2, "node3")
    await pool.settle()
    ask(pool, V1, V2)
    await pool.settle()
    assert frozen(pool) == {"node2": [V1], "node3": [V2]}
    assert has_snapshot(pool, V1)
    assert has_snapshot(pool, V2)
    assert pool.served() == {"node2": {V1}, "node3": {V2}}


async def test_a_snapshot_waits_for_the_node_that_serves_the_volume(pool: Pool) -> None:
    await written(pool, "v1", "v2")
    attach(pool, V1, "node2")
    attach(pool, V2, "node3")
    await pool.settle()
    pool.shared.up.discard("node3")
    ask(pool, V1, V2)
    await pool.settle()
    # Neither, or both.
    assert not has_snapshot(pool, V1)
    assert not has_snapshot(pool, V2)
    pool.shared.up.add("node3")
    with pool.change() as change:
        ask_again = change.need(Cut, "cut") if change.get(Cut, "cut") is not None else None
    if ask_again is None:
        ask(pool, V1, V2)  # it had been given up
    await pool.settle()
    assert has_snapshot(pool, V1)
    assert has_snapshot(pool, V2)


async def test_a_snapshot_of_a_volume_that_goes_is_given_up(pool: Pool) -> None:
    await written(pool, "v1")
    ask(pool, V1)
    with pool.change() as change:
        delete_volume(change, V1)
    await pool.settle()
    assert pool.shared.machine.picture.count(Cut) == 0
    assert pool.shared.machine.picture.count(Volume) == 0
