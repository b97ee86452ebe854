"""Images and root disks on real extent and volume servers: what is kept, what is repaired, what is left behind."""

import contextlib
import hashlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from images.catalog.commands import boot_source
from images.catalog.model import Image
from noded.core.dice import new_uuid
from noded.core.errors import Invalid, Refused
from noded.core.ids import DiskId, NodeId, VolumeId
from noded.core.units import GIB
from storage.host import disk_client
from storage.host.lock import holder
from storage.host.paths import extent_socket, volume_lock
from storage.pools.model import Disk
from storage.volumes.commands import clone_volume, delete_volume, seal_volume
from storage.volumes.model import Purpose, Volume
from tests.faults.storage_nodes import StorageNodes, storage_nodes
from tests.twins.request import content_of
from tests.unit.images.builders import MINE, caller, qcow2

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="needs root and FUSE"),
]
MIB = 1 << 20
FILE = "/v2/images/{image_id}/file"


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[StorageNodes]:
    async with storage_nodes(tmp_path) as nodes:
        yield nodes


async def new_image(nodes: StorageNodes, disk_format: str = "raw") -> str:
    body = {"name": "image", "disk_format": disk_format, "container_format": "bare"}
    answer: Any = await nodes.ask(1, "POST", "/v2/images", body=body)
    return str(answer.body["id"])


async def in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 65536):
        yield content[start : start + 65536]


async def upload(nodes: StorageNodes, image_id: str, pieces: AsyncIterator[bytes], size: int | None = None) -> None:
    headers = {"content-type": "application/octet-stream"}
    if size is not None:
        headers["content-length"] = str(size)
    await nodes.ask(1, "PUT", FILE, params={"image_id": image_id}, pieces=pieces, headers=headers)


def image(nodes: StorageNodes, image_id: str) -> Image:
    return nodes.shared.machine.picture.need(Image, image_id)


def all_volumes(nodes: StorageNodes) -> list[Volume]:
    return nodes.shared.machine.picture.all(Volume)


def clone(nodes: StorageNodes, image_id: str, number: int) -> VolumeId:
    """A root disk for a server on one node, as compute makes it."""
    source = boot_source(nodes.shared.machine.picture, caller(), image_id)
    volume_id = VolumeId(new_uuid())
    with nodes.change() as change:
        clone_volume(
            change,
            volume_id=volume_id,
            parent_id=source.volume_id,
            project_id=MINE,
            name="root",
            size_bytes=2 * GIB,
            tail=(),
            purpose=Purpose.ROOT,
            now_ms=0,
            server_id="server",
            node_id=NodeId(nodes.ids[number - 1]),
        )
    return volume_id


async def qemu_io(socket: str, *commands: str) -> str:
    words = [word for command in commands for word in ("-c", command)]
    done = await trio.run_process(
        ["qemu-io", "-f", "raw", *words, f"nbd+unix:///?socket={socket}"], capture_stdout=True, check=True
    )
    return done.stdout.decode()


async def held(nodes: StorageNodes) -> set[str]:
    """The volumes of which any disk holds anything."""
    found: set[str] = set()
    for disk in nodes.shared.machine.picture.all(Disk):
        used = await disk_client.usage(extent_socket(nodes.nodes[disk.node_id].run, DiskId(disk.id)))
        found |= set(used.volumes)
    return found


async def test_an_image_is_the_same_through_every_node(nodes: StorageNodes) -> None:
    content = os.urandom(20 * MIB + 12_345)
    image_id = await new_image(nodes)
    await upload(nodes, image_id, in_pieces(content), len(content))
    contents = image(nodes, image_id).contents
    assert contents is not None
    assert contents.sha512 == hashlib.sha512(content).hexdigest()
    for number in (1, 2, 3):
        answer = await nodes.ask(number, "GET", FILE, params={"image_id": image_id})
        assert await content_of(answer) == content
    [volume] = all_volumes(nodes)
    assert (volume.out_of_sync, volume.replicas, volume.owner_id) == ((), 3, nodes.ids[0])


async def test_a_sealed_clone_that_nobody_ever_wrote_is_read(nodes: StorageNodes) -> None:
    """An image that is made of a volume is one: its blocks are its source's, on disks that never heard of it."""
    content = os.urandom(MIB)
    image_id = await new_image(nodes)
    await upload(nodes, image_id, in_pieces(content), len(content))
    copy = clone(nodes, image_id, 2)
    with nodes.change() as change:
        seal_volume(change, copy, 2 * GIB)
    async with nodes.files(3).open(copy, writable=False) as found:
        with found.path.open("rb") as file:
            assert await trio.to_thread.run_sync(file.read, MIB) == content


async def test_several_readers_on_several_nodes_do_not_disturb_one_another(nodes: StorageNodes) -> None:
    content = os.urandom(8 * MIB)
    image_id = await new_image(nodes)
    await upload(nodes, image_id, in_pieces(content))
    answers = [await nodes.ask(number, "GET", FILE, params={"image_id": image_id}) for number in (1, 2, 3, 1, 2)]
    same: list[bool] = []

    async def read(answer: Any) -> None:
        same.append(await content_of(answer) == content)

    async with trio.open_nursery() as nursery:
        for answer in answers:
            nursery.start_soon(read, answer)
    assert same == [True] * 5
    assert all(holder(volume_lock(node.run, all_volumes(nodes)[0].volume_id)) is None for node in nodes.nodes.values())


async def test_a_root_disk_shows_the_disk_inside_a_qcow2_image_and_keeps_its_own_changes(
    nodes: StorageNodes, tmp_path: Path
) -> None:
    raw, packed = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    raw.write_bytes((b"\xaa" * 3 * MIB).ljust(64 * MIB, b"\0"))
    subprocess.run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, packed], check=True)
    image_id = await new_image(nodes, "qcow2")
    await upload(nodes, image_id, in_pieces(packed.read_bytes()))
    first, second = clone(nodes, image_id, 2), clone(nodes, image_id, 3)
    sockets = [await nodes.attachments(2).attach(first), await nodes.attachments(3).attach(second)]
    for socket in sockets:
        shown = await qemu_io(socket, "read -P 0xaa 0 3M", "read -P 0 3M 61M", "read -P 0 1G 4M")
        assert "failed" not in shown
    await qemu_io(sockets[0], "write -P 0x55 1M 64k", "write -P 0x66 1G 4k")
    assert "failed" not in await qemu_io(sockets[0], "read -P 0x55 1M 64k", "read -P 0x66 1G 4k", "read -P 0xaa 0 1M")
    assert "failed" not in await qemu_io(sockets[1], "read -P 0xaa 0 3M", "read -P 0 1G 4k")


async def test_an_upload_goes_on_when_a_replica_dies_and_is_made_whole_afterwards(nodes: StorageNodes) -> None:
    content = os.urandom(24 * MIB)
    image_id = await new_image(nodes)

    async def with_a_death() -> AsyncIterator[bytes]:
        count = 0
        async for piece in in_pieces(content):
            count += 1
            if count == 100:
                # The node's daemon would start the extent server again at once: it stops with it.
                nodes.scopes[NodeId(nodes.ids[2])].cancel()
                nodes.node(3).signal_extent_server(signal.SIGKILL)
            yield piece

    await upload(nodes, image_id, with_a_death())
    [volume] = all_volumes(nodes)
    assert len(volume.out_of_sync) == 1
    answer = await nodes.ask(2, "GET", FILE, params={"image_id": image_id})
    assert await content_of(answer) == content
    await nodes.start_daemon(3)
    await nodes.until(lambda: all_volumes(nodes)[0].out_of_sync == ())
    for number in (1, 2):
        nodes.scopes[NodeId(nodes.ids[number - 1])].cancel()
        nodes.node(number).signal_extent_server(signal.SIGKILL)
    answer = await nodes.ask(3, "GET", FILE, params={"image_id": image_id})
    assert await content_of(answer) == content


@pytest.mark.parametrize("how", ["lies", "breaks off", "is broken inside"])
async def test_an_upload_that_fails_leaves_nothing_on_any_disk(nodes: StorageNodes, how: str) -> None:
    async def breaks_off() -> AsyncIterator[bytes]:
        yield bytes(range(256)) * 20_000
        raise ConnectionResetError

    image_id = await new_image(nodes, "raw" if how == "breaks off" else "qcow2")
    content = {"lies": os.urandom(3 * MIB), "is broken inside": qcow2().ljust(3 * MIB, b"\xff")}
    with pytest.raises((Invalid, ConnectionResetError)):
        await upload(nodes, image_id, in_pieces(content[how]) if how in content else breaks_off())
    await nodes.until(lambda: all_volumes(nodes) == [])
    assert (await held(nodes), image(nodes, image_id).upload_id) == (set(), None)


async def test_an_upload_whose_daemon_is_killed_leaves_nothing_on_any_disk(nodes: StorageNodes) -> None:
    image_id = await new_image(nodes)
    begun = trio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        yield os.urandom(3 * MIB)
        begun.set()
        await trio.sleep_forever()

    async def ghost() -> None:
        with contextlib.suppress(Refused):
            await upload(nodes, image_id, stalls())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ghost)
        await begun.wait()
        await nodes.until(lambda: all_volumes(nodes)[0].epoch == 1)
        # What a kill leaves: the log's record, and the volume server. The ghost of the old daemon is cancelled last.
        nodes.scopes[NodeId(nodes.ids[0])].cancel()
        await nodes.start_daemon(1)
        await nodes.until(lambda: all_volumes(nodes) == [])
        nursery.cancel_scope.cancel()
    assert await held(nodes) == set()
    await upload(nodes, image_id, in_pieces(b"second try"))
    assert image(nodes, image_id).contents is not None


async def test_an_upload_in_parts_whose_node_dies_is_carried_on_by_another_and_leaves_nothing_else(
    nodes: StorageNodes,
) -> None:
    content, image_id = os.urandom(6 * MIB), await new_image(nodes)
    stalled = trio.Event()

    async def put(number: int, start: int, end: int, pieces: AsyncIterator[bytes]) -> None:
        said = {"content-range": f"bytes {start}-{end - 1}/{len(content)}", "content-type": "application/octet-stream"}
        await nodes.ask(number, "PUT", FILE, params={"image_id": image_id}, pieces=pieces, headers=said)

    async def stalls() -> AsyncIterator[bytes]:
        async for piece in in_pieces(os.urandom(2 * MIB)):  # what is sent again need not be the same
            yield piece
        stalled.set()
        await trio.sleep_forever()

    async def ghost() -> None:
        with contextlib.suppress(Refused):
            await put(1, 3 * MIB, 6 * MIB, stalls())

    await put(1, 0, 3 * MIB, in_pieces(content[: 3 * MIB]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ghost)
        await stalled.wait()
        # The node dies: its daemon, and the volume's server, which wrote without having told anyone.
        nodes.scopes[NodeId(nodes.ids[0])].cancel()
        nodes.node(1).signal_volume_server(all_volumes(nodes)[0].volume_id, signal.SIGKILL)
        progress = await nodes.ask(2, "HEAD", FILE, params={"image_id": image_id})
        assert progress.headers["Upload-Offset"] == str(3 * MIB)
        await put(2, 3 * MIB, 6 * MIB, in_pieces(content[3 * MIB :]))
        nursery.cancel_scope.cancel()
    contents = image(nodes, image_id).contents
    assert contents is not None
    assert contents.sha512 == hashlib.sha512(content).hexdigest()
    answer = await nodes.ask(3, "GET", FILE, params={"image_id": image_id})
    assert await content_of(answer) == content
    assert await held(nodes) == {contents.file_id}
    await nodes.start_daemon(1)
    await nodes.ask(2, "DELETE", "/v2/images/{image_id}", params={"image_id": image_id})
    await nodes.until(lambda: all_volumes(nodes) == [])
    assert await held(nodes) == set()


async def test_a_deleted_images_blocks_stay_for_the_servers_made_from_it(nodes: StorageNodes) -> None:
    image_id = await new_image(nodes)
    await upload(nodes, image_id, in_pieces(b"\xaa" * MIB))
    root = clone(nodes, image_id, 2)
    await nodes.ask(1, "DELETE", "/v2/images/{image_id}", params={"image_id": image_id})
    socket = await nodes.attachments(2).attach(root)
    assert "failed" not in await qemu_io(socket, "read -P 0xaa 0 1M", "write -P 0x11 4k 4k")
    assert len(await held(nodes)) == 2
    with nodes.change() as change:
        delete_volume(change, root)
    await nodes.until(lambda: all_volumes(nodes) == [])
    assert await held(nodes) == set()


async def test_a_volume_server_outlives_the_daemon_and_is_ended_by_the_next_one(nodes: StorageNodes) -> None:
    image_id = await new_image(nodes)
    await upload(nodes, image_id, in_pieces(b"\xaa" * MIB))
    root = clone(nodes, image_id, 1)
    socket = await nodes.attachments(1).attach(root)
    lock = volume_lock(nodes.node(1).run, root)
    before = holder(lock)
    nodes.scopes[NodeId(nodes.ids[0])].cancel()
    await qemu_io(socket, "write -P 0x22 0 64k")
    await nodes.start_daemon(1)
    assert await nodes.attachments(1).attach(root) == socket
    assert holder(lock) == before
    assert "failed" not in await qemu_io(socket, "read -P 0x22 0 64k")
    with nodes.change() as change:
        delete_volume(change, root)
    await nodes.until(lambda: holder(lock) is None)


async def test_a_volume_server_that_is_killed_is_started_again(nodes: StorageNodes) -> None:
    image_id = await new_image(nodes)
    await upload(nodes, image_id, in_pieces(b"\xaa" * MIB))
    root = clone(nodes, image_id, 1)
    socket = await nodes.attachments(1).attach(root)
    await qemu_io(socket, "write -P 0x33 0 64k")
    nodes.node(1).signal_volume_server(root, signal.SIGKILL)
    await nodes.until(lambda: nodes.volume(root).epoch == 2)
    socket = await nodes.attachments(1).attach(root)
    assert "failed" not in await qemu_io(socket, "read -P 0x33 0 64k", "read -P 0xaa 64k 960k")


async def test_a_volume_is_served_by_the_node_that_the_log_names_and_no_other(nodes: StorageNodes) -> None:
    image_id = await new_image(nodes)
    await upload(nodes, image_id, in_pieces(b"\xaa" * MIB))
    root = clone(nodes, image_id, 1)
    await nodes.attachments(1).attach(root)
    with pytest.raises(Refused, match="is in use on node"):
        await nodes.attachments(2).attach(root)
