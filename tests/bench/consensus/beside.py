"""How fast and how small is the log, and what does etcd need for the same? `python -m tests.bench.consensus.beside`.

Both clusters run at the same time, and each case is measured on one and then on the other, in several rounds, so that
both see the same disk and the same machine. The medians of the rounds are printed.
"""

import argparse
import random
import statistics
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec
import trio

from tests.bench.consensus.etcd import EtcdClient, etcd_of
from tests.bench.consensus.figures import Load, cpu_seconds, fdatasync_ms, percentile, pss_mib, rss_mib
from tests.bench.consensus.processes import cluster_of
from tests.bench.consensus.worker import KEYS, VALUE, under_load

LEADER, FOLLOWER, ALL = "leader", "follower", "all"
PLACES = {LEADER: "the leader", FOLLOWER: "a follower", ALL: "all nodes"}
CASES = (
    ("write", LEADER, 1),
    ("write", FOLLOWER, 1),
    ("write", LEADER, 64),
    ("write", ALL, 64),
    ("read", LEADER, 64),
    ("read", FOLLOWER, 64),
)
IDLE_S = 10.0


class Target(Protocol):
    """A cluster that can be loaded."""

    name: str

    @property
    def pids(self) -> list[int]: ...
    async def load(self, kind: str, where: str, in_flight: int, seconds: float) -> Load:
        """Writes or linearizable reads at the leader, at a follower, or spread over all nodes."""


class Figures(msgspec.Struct, kw_only=True):
    """One case in one round."""

    load: Load
    cpu_us: float  # of the nodes, for one operation


def together(loads: list[Load]) -> Load:
    """Several loads that ran at the same time, as one."""
    return Load(
        count=sum(load.count for load in loads),
        seconds=max(load.seconds for load in loads),
        p50_ms=statistics.median(load.p50_ms for load in loads),
        p99_ms=max(load.p99_ms for load in loads),
    )


class Ours:
    """Three or five processes; requests come into being where the handlers of noded's APIs run: inside them."""

    name = "noded"

    def __init__(self, directory: Path, count: int, stack: AsyncExitStack) -> None:
        self._directory, self._count, self._stack = directory, count, stack

    async def begin(self) -> None:
        self._cluster = await self._stack.enter_async_context(cluster_of(self._directory, self._count))

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._cluster.at.values()]

    async def load(self, kind: str, where: str, in_flight: int, seconds: float) -> Load:
        leader = await self._cluster.leader()
        nodes = _chosen(where, leader, list(self._cluster.at))
        loads: list[Load] = []

        async def one(node: str, share: int) -> None:
            answer = await self._cluster.at[node].ask("load", node=node, kind=kind, in_flight=share, seconds=seconds)
            loads.append(msgspec.convert(answer, Load))

        async with trio.open_nursery() as nursery:
            for node, share in _shares(nodes, in_flight).items():
                nursery.start_soon(one, node, share)
        return together(loads)


class Theirs:
    """etcd: its client is this process."""

    name = "etcd 3.4"

    def __init__(self, directory: Path, count: int, stack: AsyncExitStack) -> None:
        self._directory, self._count, self._stack = directory, count, stack
        self._clients: dict[str, EtcdClient] = {}

    async def begin(self) -> None:
        self._etcd = await self._stack.enter_async_context(etcd_of(self._directory, self._count))
        for name in self._etcd.ports:
            self._clients[name] = await self._stack.enter_async_context(self._etcd.client(name))

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._etcd.processes.values()]

    async def load(self, kind: str, where: str, in_flight: int, seconds: float) -> Load:
        leader = await self._etcd.leader()
        loads: list[Load] = []

        async def one(name: str, share: int) -> None:
            client = self._clients[name]

            async def write() -> None:
                await client.put(f"key/{random.randrange(KEYS):08}", VALUE)

            async def read() -> None:
                await client.get(f"key/{random.randrange(KEYS):08}")

            loads.append(await under_load(write if kind == "write" else read, share, seconds))

        async with trio.open_nursery() as nursery:
            for name, share in _shares(_chosen(where, leader, list(self._clients)), in_flight).items():
                nursery.start_soon(one, name, share)
        return together(loads)


def _chosen(where: str, leader: str, nodes: list[str]) -> list[str]:
    followers = [node for node in nodes if node != leader]
    return {LEADER: [leader], FOLLOWER: followers[:1], ALL: [leader, *followers]}[where]


def _shares(nodes: list[str], in_flight: int) -> dict[str, int]:
    return {node: len(range(position, in_flight, len(nodes))) for position, node in enumerate(nodes)}


async def measured(target: Target, case: tuple[str, str, int], seconds: float) -> Figures:
    kind, where, in_flight = case
    before = cpu_seconds(target.pids)
    load = await target.load(kind, where, in_flight, seconds)
    return Figures(load=load, cpu_us=(cpu_seconds(target.pids) - before) / load.count * 1e6)


async def idle_percent(target: Target) -> float:
    """Of one core, for one node."""
    before = cpu_seconds(target.pids)
    await trio.sleep(IDLE_S)
    return (cpu_seconds(target.pids) - before) / IDLE_S / len(target.pids) * 100


def memory(target: Target) -> str:
    pids = target.pids
    return f"{max(map(pss_mib, pids)):.0f} / {max(map(rss_mib, pids)):.0f}"


@asynccontextmanager
async def both(directory: Path, count: int) -> AsyncIterator[list[Ours | Theirs]]:
    async with AsyncExitStack() as stack:
        targets: list[Ours | Theirs] = [
            Ours(directory / "noded", count, stack), Theirs(directory / "etcd", count, stack)
        ]  # fmt: skip
        for target in targets:
            await target.begin()
        yield targets


async def main(nodes: int, rounds: int, seconds: float, root: Path) -> None:
    disk: list[float] = []
    found: dict[tuple[str, tuple[str, str, int]], list[Figures]] = defaultdict(list)
    rows: list[tuple[str, list[str]]] = []
    with tempfile.TemporaryDirectory(dir=root) as directory:
        async with both(Path(directory), nodes) as targets:
            rows.append(("memory of a node when new, PSS / RSS, MiB", [memory(target) for target in targets]))
            rows.append(("idle, % of a core a node", [f"{await idle_percent(target):.2f}" for target in targets]))
            for _ in range(rounds):
                for case in CASES:
                    disk += fdatasync_ms(Path(directory))
                    for target in targets:
                        found[target.name, case].append(await measured(target, case, seconds))
            rows.append(("memory after the load, PSS / RSS, MiB", [memory(target) for target in targets]))
            rows.append(("idle after the load, %", [f"{await idle_percent(target):.2f}" for target in targets]))
    print(f"\n{nodes} nodes; fdatasync p50 {percentile(disk, 50):.2f} ms, p99 {percentile(disk, 99):.2f} ms\n")
    print(f"| case | {' | '.join(target.name for target in targets)} |\n|---|---|---|")
    for case in CASES:
        print(f"| {_title(case)} | {' | '.join(_cell(case, found[target.name, case]) for target in targets)} |")
    for title, cells in rows:
        print(f"| {title} | {' | '.join(cells)} |")


def _title(case: tuple[str, str, int]) -> str:
    kind, where, in_flight = case
    what = "writes" if kind == "write" else "linearizable reads"
    return f"{what} at {PLACES[where]}, {in_flight} in flight"


def _cell(case: tuple[str, str, int], rounds: list[Figures]) -> str:
    rate = statistics.median(one.load.rate for one in rounds)
    p50 = statistics.median(one.load.p50_ms for one in rounds)
    p99 = statistics.median(one.load.p99_ms for one in rounds)
    cpu = statistics.median(one.cpu_us for one in rounds)
    return f"{rate:,.0f}/s, p50 {p50:.2f} ms, p99 {p99:.1f} ms, CPU {cpu:,.0f} µs"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="for one case in one round")
    parser.add_argument("--root", type=Path, default=Path("/var/tmp"), help="on the disk that is to be measured")
    asked = parser.parse_args()
    trio.run(main, asked.nodes, asked.rounds, asked.seconds, asked.root)
