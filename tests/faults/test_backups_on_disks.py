"""Backups on real extent and volume servers: the bytes come back, and a daemon that dies midway is made up for."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from noded.core.dice import new_uuid
from noded.core.ids import NodeId, VolumeId
from noded.core.units import MIB
from storage.backups.model import Backup
from storage.host import disk_client
from storage.host.paths import extent_socket
from storage.pools.model import Disk
from storage.volumes.commands import attach_volume, choose_layout
from storage.volumes.creation import CreateVolume
from storage.volumes.model import Purpose, Volume
from tests.faults.storage_nodes import StorageNodes, storage_nodes
from tests.unit.images.builders import MINE

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="needs root and FUSE"),
]
SIZE = 96 * MIB
ONE = "/v3/backups/{backup_id}"


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[StorageNodes]:
    async with storage_nodes(tmp_path) as nodes:
        yield nodes


async def new_volume(nodes: StorageNodes) -> VolumeId:
    cluster, volume_id = nodes.shared.cluster(nodes.ids[0]), VolumeId(new_uuid())
    order = CreateVolume(
        volume_id=volume_id,
        project_id=MINE,
        name="v",
        size_bytes=SIZE,
        extent_bytes=1 << 30,
        layout=choose_layout(cluster.view(), cluster.reachable(), volume_id, range(1)),
        now_ms=0,
    )
    await cluster.propose(order)
    return volume_id


async def write(nodes: StorageNodes, volume_id: VolumeId, offset: int, content: bytes) -> None:
    async with nodes.files(1).open(volume_id, writable=True) as file:
        await trio.to_thread.run_sync(_write, file.path, offset, content)


def _write(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


async def read(nodes: StorageNodes, volume_id: VolumeId) -> bytes:
    async with nodes.files(1).open(volume_id, writable=True) as file:
        return await trio.to_thread.run_sync(file.path.read_bytes)


async def back_up(nodes: StorageNodes, volume_id: VolumeId, **keys: object) -> str:
    body = {"backup": {"volume_id": volume_id, **keys}}
    answer: Any = await nodes.ask(1, "POST", "/v3/backups", body=body, microversion=(3, 70))
    return str(answer.body["backup"]["id"])


async def done(nodes: StorageNodes, backup_id: str) -> Backup:
    await nodes.until(lambda: record(nodes, backup_id).work is None)
    return record(nodes, backup_id)


def record(nodes: StorageNodes, backup_id: str) -> Backup:
    return nodes.shared.machine.picture.need(Backup, backup_id)


async def restore(nodes: StorageNodes, backup_id: str, **keys: object) -> VolumeId:
    answer: Any = await nodes.ask(2, "POST", ONE + "/restore", params={"backup_id": backup_id}, body={"restore": keys})
    assert (await done(nodes, backup_id)).fail_reason == ""
    return VolumeId(answer.body["restore"]["volume_id"])


async def test_full_and_incremental_backups_in_the_pool_bring_the_bytes_back(nodes: StorageNodes) -> None:
    content = bytearray(os.urandom(9 * MIB) + bytes(SIZE - 10 * MIB) + os.urandom(MIB))
    volume_id = await new_volume(nodes)
    await write(nodes, volume_id, 0, bytes(content[: 9 * MIB]))
    await write(nodes, volume_id, SIZE - MIB, bytes(content[-MIB:]))
    full = await done(nodes, await back_up(nodes, volume_id))
    assert (full.failed, full.object_count) == (False, 3)
    before = bytes(content)
    content[5 * MIB : 5 * MIB + 10] = b"0123456789"
    await write(nodes, volume_id, 5 * MIB, b"0123456789")
    more = await done(nodes, await back_up(nodes, volume_id, incremental=True))
    assert 0 < more.stored_bytes < MIB
    assert await read(nodes, await restore(nodes, more.id)) == content
    await restore(nodes, full.id, volume_id=volume_id)
    assert await read(nodes, volume_id) == before
    file = nodes.volume(str(full.file_id))
    assert (file.immutable, file.replicas, file.out_of_sync) == (True, 3, ())


async def test_a_daemon_that_dies_midway_is_made_up_for_by_another(nodes: StorageNodes) -> None:
    content = os.urandom(SIZE)
    volume_id = await new_volume(nodes)
    await write(nodes, volume_id, 0, content)
    backup_id = await back_up(nodes, volume_id)
    await nodes.until(lambda: record(nodes, backup_id).worker_id is not None)
    first = record(nodes, backup_id).worker_id
    assert first is not None
    nodes.scopes[first].cancel()
    nodes.shared.up.discard(first)
    backup = await done(nodes, backup_id)
    assert (backup.failed, backup.turn > 1) == (False, True)
    nodes.shared.up.add(first)
    await nodes.start_daemon(nodes.ids.index(first) + 1)
    assert await read(nodes, await restore(nodes, backup_id)) == content


async def test_nothing_is_left_of_deleted_backups_on_any_disk(nodes: StorageNodes) -> None:
    volume_id = await new_volume(nodes)
    await write(nodes, volume_id, 0, os.urandom(MIB))
    backup = await done(nodes, await back_up(nodes, volume_id))
    await nodes.ask(3, "DELETE", ONE, params={"backup_id": backup.id})
    await nodes.until(lambda: nodes.shared.machine.picture.get(Volume, str(backup.file_id)) is None)
    for disk in nodes.shared.machine.picture.all(Disk):
        usage = await disk_client.usage(extent_socket(nodes.nodes[disk.node_id].run, disk.disk_id))
        assert set(usage.volumes) == {volume_id}


async def test_a_volume_that_a_guest_goes_on_writing_is_backed_up_as_of_one_moment(nodes: StorageNodes) -> None:
    volume_id = await new_volume(nodes)
    with nodes.change() as change:
        attach_volume(change, volume_id, server_id="server", node_id=NodeId(nodes.ids[1]))
    socket = await nodes.attachments(2).attach(volume_id)
    await qemu_io(socket, "write -P 0x11 0 8M", "write -P 0x22 40M 4M")
    full = await done(nodes, await back_up(nodes, volume_id, force=True))
    assert full.failed is False, full.fail_reason
    await qemu_io(socket, "write -P 0x33 1M 64k")
    more = await done(nodes, await back_up(nodes, volume_id, force=True, incremental=True))
    assert (more.failed, more.stored_bytes < MIB) == (False, True), more.fail_reason
    await qemu_io(socket, "write -P 0x44 0 8M", "read -P 0x22 40M 4M")
    before = b"\x11" * 8 * MIB + bytes(32 * MIB) + b"\x22" * 4 * MIB + bytes(SIZE - 44 * MIB)
    assert await read(nodes, await restore(nodes, full.id)) == before
    assert await read(nodes, await restore(nodes, more.id)) == before[:MIB] + b"\x33" * 65536 + before[MIB + 65536 :]
    assert (nodes.volume(volume_id).status, nodes.volume(volume_id).server_id) == ("in-use", "server")
    snapshots = [each for each in nodes.shared.machine.picture.all(Volume) if each.purpose is Purpose.SNAPSHOT]
    assert [each.id for each in snapshots if not each.deleting] == []


async def qemu_io(socket: str, *commands: str) -> None:
    words = [word for command in commands for word in ("-c", command)]
    run = await trio.run_process(
        ["qemu-io", "-f", "raw", *words, f"nbd+unix:///?socket={socket}"], capture_stdout=True, check=True
    )
    assert b"failed" not in run.stdout
