"""Do snapshots make reads slower? `python -m tests.bench.chain`; needs root and fio.

Two volumes on the same servers, equally full: one has no snapshot, the other so many that each holds a part of what it
shows. They are read in turns, so that both see the same machine. Two ways of reading are measured: as a guest has it,
who mostly reads past the extent server, and what the extent server answers to somebody who asks it for each block.
"""

import argparse
import logging
import random
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import structlog
import trio

from noded.core.dice import new_uuid
from noded.core.ids import DiskId, VolumeId
from noded.core.units import MIB
from storage.extents import frame
from storage.extents.authority import VolumeMap
from storage.extents.frame import HEADER, HEADER_BYTES, PAYLOAD, Op, hash_of
from storage.extents.layout import BLOCK_BYTES
from storage.extents.messages import Hello, volume_key
from storage.host.paths import extent_socket, nbd_socket
from storage.pools.model import Disk
from storage.volumes.claims import volume_map
from storage.volumes.layers import ask_for_cut
from storage.volumes.model import Cut, CutPart
from tests.bench.block.fio import Workload, run_fio
from tests.bench.volume import cpu_seconds, storage_processes
from tests.faults.storage_nodes import StorageNodes, storage_nodes
from tests.faults.test_volumes_under_load import new_volume

DEPTHS = (1, 16, 32)
FILL = Workload("fill", "write", "1m", 4)
ANSWER_BYTES = HEADER_BYTES + BLOCK_BYTES
# What a disk has in its journal is in its files when nobody has written for so long.
SETTLED_S_MAX = 90.0


def uri(nodes: StorageNodes, volume_id: VolumeId) -> tuple[str, ...]:
    return ("--ioengine=nbd", f"--uri=nbd+unix:///?socket={nbd_socket(nodes.node(1).run, volume_id)}")


def take_snapshot(nodes: StorageNodes, volume_id: VolumeId) -> None:
    with nodes.change() as change:
        parts = [CutPart(volume_id=volume_id, frozen_id=VolumeId(new_uuid()))]
        ask_for_cut(change, new_uuid(), parts, hidden=False, now_ms=int(time.time() * 1000))


async def make_chain(nodes: StorageNodes, volume_id: VolumeId, layers: int, size_bytes: int) -> None:
    """Each layer gets its part of the volume, spread over all of it; the topmost stays without a snapshot."""
    part = Workload("part", "randwrite", "16k", 16)
    words = (*uri(nodes, volume_id), f"--io_size={size_bytes // layers}")
    for _ in range(layers):
        take_snapshot(nodes, volume_id)
        await nodes.until(lambda: nodes.shared.machine.picture.count(Cut) == 0)
        await trio.to_thread.run_sync(lambda: run_fio(words, part, size_bytes=size_bytes, seconds=None))


class Asker:
    """A client of one extent server: reads blocks of one volume, so many at a time, and checks nothing."""

    def __init__(self, path: Path, volume: VolumeMap) -> None:
        self._key = volume_key(volume.layer)
        self._volume = volume
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        hello = Hello(
            volume_id=volume.layer,
            epoch=volume.epoch,
            size_bytes=volume.size_bytes,
            extent_bytes=volume.extent_bytes,
            changes=volume.changes,
            parents=tuple(parent.volume_id for parent in volume.parents),
        )
        body = msgspec.msgpack.encode(hello)
        head = frame.pack(Op.HELLO, flags=PAYLOAD, length=len(body), request=1, payload_hash=hash_of(body))
        self._socket.sendall(head + body)
        answer = HEADER.unpack(self._exactly(HEADER_BYTES))
        assert answer[1] != Op.REFUSED, self._exactly(answer[4])
        if answer[2] & PAYLOAD:
            self._exactly(answer[4])

    def close(self) -> None:
        self._socket.close()

    def per_second(self, depth: int, seconds: float) -> float:
        """How many blocks it gets a second."""
        blocks = self._volume.extent_bytes // BLOCK_BYTES
        extents = len(self._volume.layout)
        done, begun = 0, time.monotonic()
        while time.monotonic() - begun < seconds:
            asked = [
                frame.pack(
                    Op.READ,
                    extent=random.randrange(extents),
                    length=BLOCK_BYTES,
                    request=at + 1,
                    volume=self._key,
                    offset=random.randrange(blocks) * BLOCK_BYTES,
                )
                for at in range(depth)
            ]
            self._socket.sendall(b"".join(asked))
            self._exactly(depth * ANSWER_BYTES)
            done += depth
        return done / (time.monotonic() - begun)

    def _exactly(self, size: int) -> bytes:
        received = self._socket.recv(size, socket.MSG_WAITALL)
        assert len(received) == size, "the extent server hung up"
        return received


@dataclass(frozen=True)
class Rate:
    """So many reads a second, and so much of the servers' CPU for each."""

    per_second: float
    cpu_us: float


def compare(name: str, plain: Callable[[], Rate], deep: Callable[[], Rate], rounds: int) -> None:
    """A line of the table: medians, and the medians of the ratios within a round. What comes first does not count."""
    plain(), deep()
    found = []
    for number in range(rounds):
        if number % 2:
            second = deep()
            found.append((plain(), second))
        else:
            found.append((plain(), deep()))
    middle = statistics.median
    cells = [f"{middle(each[at].per_second for each in found):,.0f}" for at in (0, 1)]
    cells += [f"{middle(having.per_second / without.per_second for without, having in found):.2f}"]
    cells += [f"{middle(each[at].cpu_us for each in found):.1f}" for at in (0, 1)]
    cells += [f"{middle(having.cpu_us / without.cpu_us for without, having in found):.2f}"]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def compare_guests(nodes: StorageNodes, both: tuple[VolumeId, VolumeId], asked: argparse.Namespace) -> None:
    size_bytes, pids = asked.mib * MIB, storage_processes(nodes.root)

    def rate(volume_id: VolumeId, workload: Workload) -> Rate:
        before = cpu_seconds(pids)
        found = run_fio(uri(nodes, volume_id), workload, size_bytes=size_bytes, seconds=asked.seconds)
        return Rate(found.per_second, (cpu_seconds(pids) - before) / max(1, found.count) * 1e6)

    workloads = [Workload(f"4k random, depth {depth}", "randread", "4k", depth) for depth in DEPTHS]
    for workload in (*workloads, Workload("1M in order", "read", "1m", 4)):
        plain, deep = (partial(rate, volume_id, workload) for volume_id in both)
        compare(f"a guest, {workload.name}", plain, deep, asked.rounds)


def compare_extent_server(nodes: StorageNodes, both: tuple[VolumeId, VolumeId], asked: argparse.Namespace) -> None:
    picture, pids = nodes.shared.machine.picture, storage_processes(nodes.root)
    [disk] = [each for each in picture.all(Disk) if each.node_id == nodes.ids[0]]
    path = extent_socket(nodes.node(1).run, DiskId(disk.id))
    plain, deep = (Asker(path, volume_map(picture, volume_id)) for volume_id in both)

    def rate(asker: Asker, depth: int) -> Rate:
        before = cpu_seconds(pids)
        per_second = asker.per_second(depth, asked.seconds)
        return Rate(per_second, (cpu_seconds(pids) - before) / (per_second * asked.seconds) * 1e6)

    for depth in DEPTHS:
        of_plain, of_deep = (partial(rate, asker, depth) for asker in (plain, deep))
        compare(f"the extent server, 4k random, depth {depth}", of_plain, of_deep, asked.rounds)
    plain.close()
    deep.close()


async def main(asked: argparse.Namespace) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    size_bytes = asked.mib * MIB
    with tempfile.TemporaryDirectory(dir=asked.directory) as directory:
        async with storage_nodes(Path(directory)) as nodes:
            plain, deep = (new_volume(nodes, 1, size_bytes=size_bytes, extent_bytes=size_bytes // 4) for _ in range(2))
            both = plain, deep
            for volume_id in both:
                await nodes.attachments(1).attach(volume_id)
                fill = partial(run_fio, uri(nodes, volume_id), FILL, size_bytes=size_bytes, seconds=None)
                await trio.to_thread.run_sync(fill)
            begun = time.monotonic()
            await make_chain(nodes, both[1], asked.layers, size_bytes)
            print(f"{asked.layers} snapshots in {time.monotonic() - begun:.0f} s; waiting for the disks", flush=True)
            await trio.sleep(SETTLED_S_MAX)
            print("| reads a second; CPU µs a read | no snapshot | snapshots | ratio | CPU, none | snapshots | ratio |")
            print("|---|---|---|---|---|---|---|")
            await trio.to_thread.run_sync(compare_guests, nodes, both, asked)
            await trio.to_thread.run_sync(compare_extent_server, nodes, both, asked)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests.bench.chain", description="Reads through snapshots, and without.")
    parser.add_argument("--layers", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--mib", type=int, default=256, help="the size of each volume")
    parser.add_argument("--directory", default="/var/tmp")
    trio.run(main, parser.parse_args())
