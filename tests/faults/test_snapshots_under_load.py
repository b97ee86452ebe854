"""Snapshots of a volume that a guest writes all the time, while the processes behind it are killed.

A snapshot must show what the guest had written when it was asked for, and may show what it wrote until it was made.
"""

import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio

from noded.core.clock import now_ms
from noded.core.dice import new_uuid
from noded.core.ids import VolumeId
from storage.host.paths import nbd_socket
from storage.volumes.commands import clone_volume, delete_volume, detach_volume
from storage.volumes.layers import ask_for_cut, delete_snapshot
from storage.volumes.model import Cut, CutPart, Purpose, Volume
from tests.faults.nbd_guest import BLOCK_BYTES, NbdGuest, number_of
from tests.faults.storage_nodes import StorageNodes, storage_nodes
from tests.faults.test_volumes_under_load import BLOCKS, GUEST_CONNECTIONS, new_volume, replicas_are_equal
from tests.unit.images.builders import MINE

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[StorageNodes]:
    async with storage_nodes(tmp_path) as nodes:
        yield nodes


class Guest:
    """Several connections that write, and what their blocks may hold."""

    def __init__(self, nodes: StorageNodes, volume_id: VolumeId) -> None:
        socket = nbd_socket(nodes.node(1).run, volume_id)
        self.parts = [NbdGuest(socket, at, GUEST_CONNECTIONS, BLOCKS, at) for at in range(GUEST_CONNECTIONS)]

    def written(self) -> list[int]:
        """How many writes each connection has begun."""
        return [part.count for part in self.parts]

    def numbers(self) -> dict[int, int]:
        """What is surely in each block, trims left out."""
        return {block: number for part in self.parts for block, number in part.numbers.items()}


def ask(nodes: StorageNodes, volume_id: VolumeId) -> VolumeId:
    snapshot_id = VolumeId(new_uuid())
    with nodes.change() as change:
        parts = [CutPart(volume_id=volume_id, frozen_id=snapshot_id)]
        ask_for_cut(change, new_uuid(), parts, hidden=False, now_ms=now_ms())
    return snapshot_id


def is_settled(nodes: StorageNodes) -> Callable[[], bool]:
    return lambda: nodes.shared.machine.picture.count(Cut) == 0


async def content(nodes: StorageNodes, number: int, snapshot_id: VolumeId) -> list[int]:
    """What a snapshot shows in each block, read on one node."""
    async with nodes.files(number).open(snapshot_id, writable=False) as opened:
        data = await trio.Path(opened.path).read_bytes()
    return [number_of(data[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES]) for at in range(BLOCKS)]


@pytest.mark.parametrize("kind", ["nothing is killed", "extent servers are killed", "the volume server is killed"])
async def test_a_snapshot_under_load_is_of_one_moment(nodes: StorageNodes, kind: str) -> None:
    volume_id = new_volume(nodes, 1)
    await nodes.attachments(1).attach(volume_id)
    guest = Guest(nodes, volume_id)
    over = False
    made: list[tuple[VolumeId, list[int], list[int]]] = []
    dice = random.Random(kind)
    async with trio.open_nursery() as nursery:
        for part in guest.parts:
            nursery.start_soon(part.run, lambda: over)
        for _ in range(4):
            await trio.sleep(0.2)
            before = guest.written()
            snapshot_id = ask(nodes, volume_id)
            await trio.sleep(dice.uniform(0, 0.1))
            if kind == "extent servers are killed":
                nodes.node(dice.choice((1, 2, 3))).signal_extent_server(signal.SIGKILL)
            elif kind == "the volume server is killed":
                nodes.node(1).signal_volume_server(volume_id, signal.SIGKILL)
            await nodes.until(is_settled(nodes))
            made.append((snapshot_id, before, guest.written()))
        await nodes.until(lambda: nodes.volume(volume_id).out_of_sync == ())
        over = True
    assert sum(guest.written()) > 20
    for snapshot_id, before, after in made:
        await nodes.until(lambda snapshot_id=snapshot_id: nodes.volume(snapshot_id).out_of_sync == ())
        shown = await content(nodes, 1, snapshot_id)
        assert shown == await content(nodes, 3, snapshot_id)
        newest = [
            max(number & 0xFFFFFFFF for number in shown[at::GUEST_CONNECTIONS]) for at in range(GUEST_CONNECTIONS)
        ]
        # The newest write that had been answered is there unless it was trimmed since; none that came later is.
        assert all(
            least - 20 <= most_shown <= most for least, most_shown, most in zip(before, newest, after, strict=True)
        )
        assert await replicas_are_equal(nodes, snapshot_id)
    assert await replicas_are_equal(nodes, volume_id)


async def test_a_clone_of_a_snapshot_is_its_own_and_everything_goes_in_the_end(nodes: StorageNodes) -> None:
    volume_id = new_volume(nodes, 1)
    await nodes.attachments(1).attach(volume_id)
    guest = Guest(nodes, volume_id)
    for part in guest.parts:
        await part.run(lambda part=part: part.count > 20)
    frozen = guest.numbers()
    snapshot_id = ask(nodes, volume_id)
    await nodes.until(is_settled(nodes))
    for part in guest.parts:
        await part.run(lambda part=part: part.count > 40)
    clone_id = VolumeId(new_uuid())
    with nodes.change() as change:
        clone_volume(
            change,
            volume_id=clone_id,
            parent_id=snapshot_id,
            project_id=MINE,
            name="clone",
            size_bytes=nodes.volume(volume_id).size_bytes,
            tail=(),
            purpose=Purpose.ROOT,
            now_ms=0,
            server_id="other",
            node_id=nodes.ids[1],
        )
        delete_snapshot(change, snapshot_id)
    await nodes.attachments(2).attach(clone_id)
    async with nodes.files(2).open(clone_id, writable=True) as opened:
        data = await trio.Path(opened.path).read_bytes()
    shown = [number_of(data[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES]) for at in range(BLOCKS)]
    assert shown == [frozen[block] for block in range(BLOCKS)]
    with nodes.change() as change:
        for each in (volume_id, clone_id):
            detach_volume(change, each)
            delete_volume(change, each)
    await nodes.until(lambda: nodes.shared.machine.picture.count(Volume) == 0)
