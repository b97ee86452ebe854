"""How fast is a volume beside Ceph RBD and the raw disk? `python -m tests.bench.block`; needs root, fio and Ceph.

All systems stay up for the whole run and keep their data on one file system; each round runs each workload on each of
them, in an order drawn anew, so that all see the same machine. Medians of the rounds are printed, the p99 of the
requests, and the CPU that the servers used for one request. In every system a write is acknowledged when it is on
stable storage of all three replicas; in the raw file (O_DSYNC), of the one there is.

    noded NBD    the volume server's socket: what QEMU gives a guest
    noded file   the same volume through FUSE: what tools use
"""

import argparse
import os
import random
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import trio

from noded.core.units import MIB
from storage.host.paths import nbd_socket
from storage.volumes.links import VolumeFiles
from tests.bench.block.ceph import IMAGE, POOL, ceph_cluster
from tests.bench.block.fio import Result, Workload, run_fio
from tests.bench.volume import cpu_seconds, storage_processes
from tests.faults.storage_nodes import StorageNodes, storage_nodes
from tests.faults.test_volumes_under_load import new_volume

WORKLOADS = (
    Workload("4k random read, depth 1", "randread", "4k", 1),
    Workload("4k random read, depth 16", "randread", "4k", 16),
    Workload("4k random read, depth 32", "randread", "4k", 32),
    Workload("4k random write, depth 1", "randwrite", "4k", 1),
    Workload("4k random write, depth 16", "randwrite", "4k", 16),
    Workload("4k random write, depth 32", "randwrite", "4k", 32),
    Workload("128k random read, depth 16", "randread", "128k", 16),
    Workload("128k random write, depth 16", "randwrite", "128k", 16),
    Workload("1M read in order, depth 4", "read", "1m", 4),
    Workload("1M write in order, depth 4", "write", "1m", 4),
)
FILL = Workload("fill", "write", "1m", 4)
NODED, FILE, CEPH, RAW = "noded NBD", "noded file", "Ceph RBD", "raw disk"


@dataclass
class Target:
    """One system, as fio reaches it."""

    name: str
    words: tuple[str, ...]
    pids: list[int] = field(default_factory=list)
    environment: dict[str, str] | None = None
    words_for_writes: tuple[str, ...] = ()

    def run(self, workload: Workload, size_bytes: int, seconds: float | None) -> tuple[Result, float]:
        """The result, and the servers' µs of CPU a request."""
        before = cpu_seconds(self.pids)
        words = self.words + (self.words_for_writes if workload.writes else ())
        result = run_fio(words, workload, size_bytes=size_bytes, seconds=seconds, environment=self.environment)
        return result, (cpu_seconds(self.pids) - before) / max(1, result.count) * 1e6


@dataclass
class Figures:
    """What all rounds of one workload on one system gave."""

    results: list[Result] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return statistics.median(result.per_second for result in self.results)

    def __str__(self) -> str:
        p99_ms = statistics.median(result.p99_us for result in self.results) / 1000
        return f"{self.per_second:,.0f} · {p99_ms:,.2f} ms · {statistics.median(self.cpu_us):,.0f} µs"


def in_one_run(targets: list[Target], rounds: int, seconds: float, size_bytes: int) -> dict[tuple[str, str], Figures]:
    """Each workload on each system in each round; keyed by workload and system."""
    figures: dict[tuple[str, str], Figures] = defaultdict(Figures)
    for target in targets:
        target.run(FILL, size_bytes, None)
    for number in range(rounds):
        for workload in WORKLOADS:
            for target in random.sample(targets, len(targets)):
                result, cpu_us = target.run(workload, size_bytes, seconds)
                found = figures[workload.name, target.name]
                found.results.append(result)
                found.cpu_us.append(cpu_us)
        print(f"round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", flush=True)
    return figures


def table(figures: dict[tuple[str, str], Figures], names: list[str]) -> Iterator[str]:
    """Medians a second · p99 · CPU of the servers a request, and how many times Ceph's rate ours is."""
    yield f"| per second, p99, CPU | {' | '.join(names)} | NBD ÷ Ceph | file ÷ Ceph |"
    yield "|---" * (len(names) + 3) + "|"
    for workload in WORKLOADS:
        cells = [str(figures[workload.name, name]) for name in names]
        for ours in (NODED, FILE):
            if CEPH in names and ours in names:
                ratio = figures[workload.name, ours].per_second / figures[workload.name, CEPH].per_second
                cells.append(f"{ratio:.1f}")
            else:
                cells.append("")
        yield f"| {workload.name} | {' | '.join(cells)} |"


def raw_target(root: Path) -> Target:
    """A file on the same file system, past the page cache."""
    words = (f"--filename={root / 'raw'}", "--ioengine=libaio", "--direct=1")
    return Target(RAW, words, words_for_writes=("--sync=dsync",))


def ceph_target(root: Path, size_bytes: int, stack: ExitStack) -> Target:
    """A Ceph cluster of its own, for as long as the stack lasts."""
    ceph = stack.enter_context(ceph_cluster(root / "ceph", size_bytes))
    words = ("--ioengine=rbd", f"--pool={POOL}", f"--rbdname={IMAGE}", "--clientname=admin")
    return Target(CEPH, words, ceph.pids, {**os.environ, "CEPH_CONF": str(ceph.config)})


async def noded_targets(nodes: StorageNodes, size_bytes: int, names: list[str], ready: trio.Event) -> list[Target]:
    """One volume for each front that is measured; the file stays open until `ready` is set by who measures."""
    targets = []
    if NODED in names:
        volume_id = new_volume(nodes, 1, size_bytes=size_bytes, extent_bytes=size_bytes // 4)
        await nodes.attachments(1).attach(volume_id)
        socket = nbd_socket(nodes.node(1).run, volume_id)
        targets.append(Target(NODED, ("--ioengine=nbd", f"--uri=nbd+unix:///?socket={socket}")))
    if FILE in names:
        opened = trio.Event()
        volume_id = new_volume(nodes, 1, size_bytes=size_bytes, extent_bytes=size_bytes // 4)
        path: list[Path] = []

        async def hold() -> None:
            files: VolumeFiles = nodes.files(1)
            async with files.open(volume_id, writable=True) as volume:
                path.append(volume.path)
                opened.set()
                await ready.wait()

        assert nodes.nursery is not None
        nodes.nursery.start_soon(hold)
        await opened.wait()
        targets.append(Target(FILE, (f"--filename={path[0]}", "--ioengine=libaio", "--direct=1")))
    return targets


async def main(asked: argparse.Namespace) -> None:
    size_bytes = asked.mib * MIB
    names: list[str] = [name for name in (NODED, FILE, CEPH, RAW) if name not in asked.without]
    with tempfile.TemporaryDirectory(dir=asked.directory) as directory, ExitStack() as stack:
        root = Path(directory)
        (root / "noded").mkdir()
        others = [ceph_target(root, size_bytes, stack)] if CEPH in names else []
        others += [raw_target(root)] if RAW in names else []
        async with storage_nodes(root / "noded") as nodes:
            measured = trio.Event()
            ours = await noded_targets(nodes, size_bytes, names, measured)
            for target in ours:
                target.pids = storage_processes(nodes.root)
            figures = await trio.to_thread.run_sync(in_one_run, ours + others, asked.rounds, asked.seconds, size_bytes)
            measured.set()
    print("\n".join(table(figures, names)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests.bench.block", description="The block engine beside Ceph and the disk.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each workload on each system in each round")
    parser.add_argument("--mib", type=int, default=512, help="the size of each volume")
    parser.add_argument("--without", action="append", default=[], choices=(NODED, FILE, CEPH, RAW))
    parser.add_argument("--directory", default="/var/tmp", help="on the file system that is measured")
    trio.run(main, parser.parse_args())
