"""For how long can nobody write when the leader is killed? `python -m tests.bench.consensus.failover`.

Every node writes steadily, one write after the other. The leader is killed with -9; the time from then until every
other node has had a write acknowledged is the unavailability that a client sees, whichever of them it talks to. Then
the killed node starts again, and when it follows, the next leader is killed. etcd is treated in the same way, with a
fresh write every 50 ms instead of one after the other.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

import trio

from tests.bench.consensus.etcd import Etcd, GrpcFailed, etcd_of
from tests.bench.consensus.figures import percentile
from tests.bench.consensus.processes import Cluster, cluster_of

NODES = 3
PAUSE_S = 0.005
STEADY_S = (0.5, 1.0)  # how long a leader may lead before it is killed: not in step with its heartbeats
PROBE_S = 0.05


async def outage_of_ours(cluster: Cluster) -> float:
    """Kill the leader once."""
    leader = await cluster.leader()
    victim = cluster.at.pop(leader)
    killed_at = time.monotonic()
    await victim.kill()
    back: list[float] = []

    async def see(node: str) -> None:
        back.append(await cluster.at[node].ask("acknowledged_after", node=node, at_s=killed_at))

    async with trio.open_nursery() as nursery:
        for node in cluster.at:
            nursery.start_soon(see, node)
    place = next(place for place in cluster.places if place.node_id == leader)
    worker = await cluster.spawn()
    await cluster.start(worker, [place])
    await worker.ask("write_steadily", node=leader, pause_s=PAUSE_S)
    await worker.ask("acknowledged_after", node=leader, at_s=killed_at)
    return max(back) - killed_at


async def ours(directory: Path, kills: int) -> list[float]:
    async with cluster_of(directory, NODES) as cluster:
        for node, worker in cluster.at.items():
            await worker.ask("write_steadily", node=node, pause_s=PAUSE_S)
        outages = []
        for _ in range(kills):
            await trio.sleep(random.uniform(*STEADY_S))
            outages.append(await outage_of_ours(cluster))
        return outages


async def written(etcd: Etcd, name: str) -> float:
    """When a write through that member is first acknowledged. A new one is sent every few milliseconds.

    One write alone would wait for etcd's own time limit of seven seconds if it was given to the dead leader.
    """
    done = trio.Event()

    async def attempt() -> None:
        try:
            async with etcd.client(name) as client:
                await client.put("steady", b"v" * 100)
                done.set()
        except* (GrpcFailed, OSError):
            pass  # no leader yet: the next one may find one

    async with trio.open_nursery() as nursery:
        while not done.is_set():
            nursery.start_soon(attempt)
            with trio.move_on_after(PROBE_S):
                await done.wait()
        at_s = time.monotonic()
        nursery.cancel_scope.cancel()
    return at_s


async def theirs(directory: Path, kills: int) -> list[float]:
    async with etcd_of(directory, NODES) as etcd:
        outages = []
        for _ in range(kills):
            await trio.sleep(random.uniform(*STEADY_S))
            leader = await etcd.leader()
            killed_at = time.monotonic()
            await etcd.kill(leader)
            back: list[float] = []

            async def see(name: str, back: list[float] = back) -> None:
                back.append(await written(etcd, name))

            async with trio.open_nursery() as nursery:
                for name in etcd.processes:
                    nursery.start_soon(see, name)
            outages.append(max(back) - killed_at)
            await etcd.start(leader)
            await written(etcd, leader)
        return outages


def say(name: str, outages: list[float]) -> None:
    p50, p99 = percentile(outages, 50), percentile(outages, 99)
    print(f"| {name} | {len(outages)} | {p50:.2f} s | {p99:.2f} s | {max(outages):.2f} s |", flush=True)


async def main(kills: int, etcd_kills: int, root: Path) -> None:
    with tempfile.TemporaryDirectory(dir=root) as directory:
        print("| log | leaders killed | unavailable p50 | p99 | longest |\n|---|---|---|---|---|", flush=True)
        say("noded", await ours(Path(directory) / "noded", kills))
        if etcd_kills:
            say("etcd 3.4", await theirs(Path(directory) / "etcd", etcd_kills))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--etcd-kills", type=int, default=50)
    parser.add_argument("--root", type=Path, default=Path("/var/tmp"), help="on the disk that is to be measured")
    asked = parser.parse_args()
    trio.run(main, asked.kills, asked.etcd_kills, asked.root)
