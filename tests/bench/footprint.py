"""What do the storage's processes take when nothing is done? `python -m tests.bench.footprint`; needs root and fio.

Three nodes' servers on this machine. On the first one's disk lie the tables of a TiB of blocks (all of them zero, so
that the disk needs no TiB), and a volume is served that was written and read all over. Resident
memory counts what processes share in each of them, PSS divides it among them.
"""

import argparse
import logging
import os
import signal
import tempfile
from functools import partial
from pathlib import Path

import structlog
import trio

from noded.core.dice import new_uuid
from noded.core.ids import DiskId
from noded.core.units import GIB, KIB, MIB
from storage.extents.frame import ZERO_BLOCK_HASH, first_stamp, hash_of
from storage.extents.layout import BLOCK_SHIFT
from storage.extents.messages import volume_key
from storage.host.block_table import LINE, SECTOR_BYTES, SECTOR_LINES, place_of, table_bytes
from storage.host.disk_directory import volumes_of
from storage.host.extent_files import VolumeFacts, write_facts
from storage.host.lock import holder
from storage.host.paths import extent_lock, nbd_socket, volume_lock
from storage.pools.model import Disk
from tests.bench.block.fio import Workload, run_fio
from tests.bench.volume import cpu_seconds
from tests.faults.storage_nodes import StorageNodes, storage_nodes
from tests.faults.test_volumes_under_load import new_volume

EXTENT_BYTES = 16 * GIB
SIZE_BYTES = 256 * MIB
SETTLED_S = 75.0
FILL = Workload("fill", "write", "1m", 4)
READ = Workload("read", "randread", "4k", 16)
WRITE = Workload("write", "randwrite", "4k", 16)


def memory_of(pid: int) -> tuple[int, int]:
    """What a process has in memory, in bytes: all of it, and with what it shares divided among those who share it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    figures = {words[0]: int(words[1]) * KIB for words in map(str.split, lines[1:])}
    return figures["Rss:"], figures["Pss:"]


def fill_tables(disk: Path, size_bytes: int) -> None:
    """Volumes of one extent each, of which every block was written with zeroes."""
    stamp = first_stamp(1) + 1
    lines = LINE.pack(ZERO_BLOCK_HASH, stamp) * SECTOR_LINES + bytes(8)
    table_size = table_bytes(EXTENT_BYTES >> BLOCK_SHIFT)
    for _ in range(size_bytes // EXTENT_BYTES):
        volume_id = new_uuid()
        directory = volumes_of(disk) / volume_id
        directory.mkdir()
        place = place_of(volume_key(volume_id), 0)
        with (directory / "0.lines").open("wb") as table:
            for sector in range(0, table_size // SECTOR_BYTES, 1024):
                stop = min(sector + 1024, table_size // SECTOR_BYTES)
                hashes = (hash_of(lines, place + each).to_bytes(8, "little") for each in range(sector, stop))
                table.write(b"".join(lines + each for each in hashes))
        with (directory / "0.data").open("wb") as data:
            data.truncate(EXTENT_BYTES)
        facts = VolumeFacts(volume_id, EXTENT_BYTES, EXTENT_BYTES, (), 1, stamp, 0, stamp)
        write_facts(directory, facts, 1)


def extent_server(nodes: StorageNodes, number: int) -> int:
    [disk] = [each for each in nodes.shared.machine.picture.all(Disk) if each.node_id == nodes.ids[number - 1]]
    pid = holder(extent_lock(nodes.node(number).run, DiskId(disk.id)))
    assert pid is not None, f"node {number} has no extent server"
    return pid


async def at_rest(what: str, processes: dict[str, int], seconds: float) -> None:
    """A line for each process."""
    before = {name: cpu_seconds([pid]) for name, pid in processes.items()}
    await trio.sleep(seconds)
    for name, pid in processes.items():
        rss, pss = memory_of(pid)
        used = (cpu_seconds([pid]) - before[name]) / seconds
        print(f"| {name}, {what} | {rss / MIB:.1f} | {pss / MIB:.1f} | {used:.2%} |", flush=True)


async def measure(nodes: StorageNodes, asked: argparse.Namespace) -> None:
    disk = nodes.node(1).directory / "disk"
    await trio.to_thread.run_sync(fill_tables, disk, asked.gib * GIB)
    before = extent_server(nodes, 1)
    os.kill(before, signal.SIGKILL)
    await nodes.until(lambda: holder_changed(nodes, before))
    print("| MiB, and of a core at rest | RSS | PSS | CPU |\n|---|---|---|---|")
    await trio.sleep(2)
    await at_rest("started", {f"extent server of {asked.gib} GiB": extent_server(nodes, 1)}, asked.seconds)
    volume_id = new_volume(nodes, 1, size_bytes=SIZE_BYTES, extent_bytes=SIZE_BYTES // 4)
    await nodes.attachments(1).attach(volume_id)
    pid = holder(volume_lock(nodes.node(1).run, volume_id))
    assert pid is not None, "the volume is not served"
    await at_rest("started", {"volume server": pid}, asked.seconds)
    words = ("--ioengine=nbd", f"--uri=nbd+unix:///?socket={nbd_socket(nodes.node(1).run, volume_id)}")
    for workload, seconds in ((FILL, None), (WRITE, 5.0), (READ, 5.0)):
        run = partial(run_fio, words, workload, size_bytes=SIZE_BYTES, seconds=seconds)
        await trio.to_thread.run_sync(run)
    await trio.sleep(SETTLED_S)
    names = {f"extent server {number}": extent_server(nodes, number) for number in (1, 2, 3)}
    await at_rest("after load", names | {"volume server": pid}, asked.seconds)


def holder_changed(nodes: StorageNodes, before: int) -> bool:
    [disk] = [each for each in nodes.shared.machine.picture.all(Disk) if each.node_id == nodes.ids[0]]
    return holder(extent_lock(nodes.node(1).run, DiskId(disk.id))) not in (None, before)


async def main(asked: argparse.Namespace) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    with tempfile.TemporaryDirectory(dir=asked.directory) as directory:
        async with storage_nodes(Path(directory)) as nodes:
            await measure(nodes, asked)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests.bench.footprint", description="The storage's processes at rest.")
    parser.add_argument("--gib", type=int, default=1024, help="how many GiB of blocks the tables of one disk tell of")
    parser.add_argument("--seconds", type=float, default=20.0, help="for which their CPU is watched")
    parser.add_argument("--directory", default="/var/tmp")
    trio.run(main, parser.parse_args())
