"""What does a root disk cost that is cloned from an image? `python -m tests.bench.clones`; needs root and fio.

An image of 10 GiB, and clones of it that are served on three nodes in turns, like servers' root disks. For each clone:
the time until a guest could read it, what it takes on disk before and after it is written, its process's memory, the
changes of the log. One clone is read and compared with the image.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import structlog
import trio

from noded.core.dice import new_uuid
from noded.core.ids import DiskId, NodeId, VolumeId
from noded.core.units import GIB, KIB, MIB
from storage.host.lock import holder
from storage.host.paths import nbd_socket, volume_lock
from storage.pools.model import Disk
from storage.volumes.commands import (
    attach_volume,
    clone_volume,
    create_volume,
    delete_volume,
    detach_volume,
    seal_volume,
)
from storage.volumes.model import IMAGE_EXTENT_BYTES, Purpose, Volume
from tests.bench.block.fio import Workload, run_fio
from tests.bench.footprint import memory_of
from tests.bench.volume import cpu_seconds, storage_processes
from tests.faults.storage_nodes import StorageNodes, storage_nodes
from tests.unit.images.builders import MINE

FILL = Workload("fill", "write", "1m", 4)
CHANGE = Workload("change", "randwrite", "16k", 4)
SETTLED_S = 75.0
IDLE_S = 20.0


def words(nodes: StorageNodes, number: int, volume_id: VolumeId) -> tuple[str, ...]:
    return ("--ioengine=nbd", f"--uri=nbd+unix:///?socket={nbd_socket(nodes.node(number).run, volume_id)}")


def on_disks(nodes: StorageNodes) -> int:
    """The bytes that all disks have given away for volumes."""
    files = (path for node in nodes.nodes.values() for path in (node.directory / "disk" / "volumes").rglob("*"))
    return sum(path.lstat().st_blocks * 512 for path in files)


def file_count(nodes: StorageNodes) -> int:
    return sum(1 for node in nodes.nodes.values() for _ in (node.directory / "disk" / "volumes").rglob("*"))


async def make_image(nodes: StorageNodes, size_bytes: int, filled_bytes: int) -> VolumeId:
    """An image's disk: so many bytes at its beginning, the rest was never written."""
    image_id, node_id = VolumeId(new_uuid()), NodeId(nodes.ids[0])
    disks = tuple(DiskId(disk.id) for disk in nodes.shared.machine.picture.all(Disk))
    with nodes.change() as change:
        create_volume(
            change,
            volume_id=image_id,
            project_id=MINE,
            name="image",
            size_bytes=size_bytes,
            extent_bytes=IMAGE_EXTENT_BYTES,
            layout=(disks,),
            purpose=Purpose.IMAGE,
            now_ms=0,
            node_id=node_id,
        )
        attach_volume(change, image_id, server_id="import", node_id=node_id)
    await nodes.attachments(1).attach(image_id)
    await trio.to_thread.run_sync(
        partial(run_fio, words(nodes, 1, image_id), FILL, size_bytes=filled_bytes, seconds=None)
    )
    with nodes.change() as change:
        seal_volume(change, image_id, size_bytes)
    await nodes.attachments(1).detach(image_id)
    return image_id


async def make_clone(nodes: StorageNodes, image_id: VolumeId, number: int) -> tuple[VolumeId, float]:
    """A root disk for a server on a node, and the seconds until it could be read."""
    clone_id = VolumeId(new_uuid())
    begun = time.monotonic()
    with nodes.change() as change:
        clone_volume(
            change,
            volume_id=clone_id,
            parent_id=image_id,
            project_id=MINE,
            name="root",
            size_bytes=change.need(Volume, image_id).size_bytes,
            tail=(),
            purpose=Purpose.ROOT,
            now_ms=0,
            server_id=f"server of {clone_id}",
            node_id=NodeId(nodes.ids[number - 1]),
        )
    await nodes.attachments(number).attach(clone_id)
    return clone_id, time.monotonic() - begun


async def beginning(nodes: StorageNodes, number: int, volume_id: VolumeId, size_bytes: int) -> bytes:
    async with nodes.files(number).open(volume_id, writable=False) as opened:
        with opened.path.open("rb") as file:
            return await trio.to_thread.run_sync(file.read, size_bytes)


async def measure(nodes: StorageNodes, asked: argparse.Namespace) -> None:
    image_id = await make_image(nodes, asked.gib * GIB, asked.filled_mib * MIB)
    await trio.sleep(SETTLED_S)
    before, files_before = on_disks(nodes), file_count(nodes)
    revision = int(nodes.shared.machine.picture.revision)
    print(f"an image of {asked.gib} GiB, of which {asked.filled_mib} MiB are written: {before / MIB:,.0f} MiB on disks")
    clones: list[tuple[int, VolumeId]] = []
    seconds: list[float] = []
    for at in range(asked.clones):
        number = at % 3 + 1
        clone_id, took = await make_clone(nodes, image_id, number)
        clones.append((number, clone_id))
        seconds.append(took)
    count = len(clones)
    print(f"{count} clones: {statistics.median(seconds):.2f} s each, the slowest {max(seconds):.2f} s")
    print(f"changes of the log a clone: {(int(nodes.shared.machine.picture.revision) - revision) / count:.1f}")
    servers = [holder(volume_lock(nodes.node(number).run, clone_id)) for number, clone_id in clones]
    memory = [memory_of(pid) for pid in servers if pid is not None]
    assert len(memory) == count, "a clone is not served"
    rss, pss = (statistics.median(each) / MIB for each in zip(*memory, strict=True))
    print(f"a clone's process: {rss:.1f} MiB resident, {pss:.1f} MiB of its own and its part of what is shared")
    pids = storage_processes(nodes.root)
    used = cpu_seconds(pids)
    await trio.sleep(IDLE_S)
    print(f"all {len(pids)} processes at rest: {(cpu_seconds(pids) - used) / IDLE_S:.1%} of a core")
    empty = on_disks(nodes) - before
    each = (file_count(nodes) - files_before) / count / 3
    print(f"nothing written yet: {empty / count / 3 / KIB:,.0f} KiB and {each:.1f} files a clone and disk")
    number, clone_id = clones[-1]
    same = await beginning(nodes, number, clone_id, 16 * MIB) == await beginning(nodes, 1, image_id, 16 * MIB)
    print(f"it shows what the image has: {same}")
    for number, clone_id in clones:
        there = (*words(nodes, number, clone_id), f"--io_size={asked.changed_mib * MIB}")
        await trio.to_thread.run_sync(partial(run_fio, there, CHANGE, size_bytes=asked.filled_mib * MIB, seconds=None))
    await trio.sleep(SETTLED_S)
    taken = on_disks(nodes) - before
    print(
        f"{asked.changed_mib} MiB written in each: {taken / count / 3 / MIB:.2f} MiB a clone and disk,"
        f" {file_count(nodes)} files in all; whole copies would take {count * asked.filled_mib:,} MiB a disk"
    )
    begun = time.monotonic()
    with nodes.change() as change:
        for _, clone_id in clones:
            detach_volume(change, clone_id)
            delete_volume(change, clone_id)
    await nodes.until(lambda: nodes.shared.machine.picture.count(Volume) == 1, 120)
    print(
        f"all deleted in {time.monotonic() - begun:.1f} s; {(on_disks(nodes) - before) / MIB:.1f} MiB are left of them"
    )


async def main(asked: argparse.Namespace) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    with tempfile.TemporaryDirectory(dir=asked.directory) as directory:
        async with storage_nodes(Path(directory)) as nodes:
            await measure(nodes, asked)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests.bench.clones", description="Root disks cloned from one image.")
    parser.add_argument("--clones", type=int, default=100)
    parser.add_argument("--gib", type=int, default=10, help="the size of the image")
    parser.add_argument("--filled-mib", type=int, default=256, help="how much of it is written")
    parser.add_argument("--changed-mib", type=int, default=1, help="what is written in each clone")
    parser.add_argument("--directory", default="/var/tmp")
    os.umask(0o022)
    trio.run(main, parser.parse_args())
