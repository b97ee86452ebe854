"""What do many nodes cost their leader, and when does a change reach all? `python -m tests.bench.consensus.many`.

Real nodes on loopback TLS with the real reconciler of members. The leader is a process alone, so that its processor
time can be read; so is each other voter; the rest share a few processes. All of them share this machine's processors,
which a real cluster's nodes do not: times are upper bounds, the leader's processor time is not touched by that.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import msgspec
import trio

from consensus.members.plan import voters_wanted
from tests.bench.consensus.figures import Load, cpu_seconds, percentile, pss_mib
from tests.bench.consensus.processes import Cluster

PROCESSES_FOR_THE_REST = 2
STAMPS = 20
IDLE_S = 10.0
LOAD_S = 5.0
RECORDS = 20_000


class Row(msgspec.Struct, kw_only=True):
    """What one size of cluster costs."""

    nodes: int
    voters: int
    idle_percent: float
    alone_p50_ms: float
    writes: Load
    cpu_us: float
    spread_p50_ms: float
    spread_max_ms: float
    join_s: float
    leader_mib: float


async def grow(cluster: Cluster, nodes: int) -> None:
    """Start that many nodes, and make them one cluster."""
    first, *others = cluster.places[:nodes]
    await cluster.start(await cluster.spawn(), [first], found=True)
    await cluster.found()
    voters = voters_wanted(nodes)
    for place in others[: voters - 1]:
        await cluster.start(await cluster.spawn(), [place])
    await cluster.admit(others[: voters - 1])
    await cluster.settled(voters_wanted(voters))  # a large cluster has more voters than one of that many nodes
    rest = others[voters - 1 :]
    shared = [await cluster.spawn() for _ in range(PROCESSES_FOR_THE_REST)]
    for position, process in enumerate(shared):
        await cluster.start(process, rest[position::PROCESSES_FOR_THE_REST])
    await cluster.admit(rest)
    await cluster.settled(voters)


async def spread_ms(cluster: Cluster, leader: str) -> list[float]:
    """How long it takes from a write's being asked for until every node has applied it."""
    found = []
    for number in range(STAMPS):
        asked_at = await cluster.at[leader].ask("stamp", node=leader, value=str(number))
        while True:
            noted = [node["noted"] for node in (await cluster.standing()).values()]
            if all(value == str(number) for value, _ in noted):
                break
            await trio.sleep(0.05)
        found.append((max(at_s for _, at_s in noted) - asked_at) * 1e3)
    return found


async def joined_s(cluster: Cluster, leader: str) -> float:
    """How long one more node needs until it has every record."""
    keys = (await cluster.standing())[leader]["keys"]
    newcomer = cluster.places[-1]
    await cluster.admit([newcomer])
    began_s = await cluster.start(await cluster.spawn(), [newcomer])
    done_s = await cluster.at[newcomer.node_id].ask("keys_reached", node=newcomer.node_id, keys=keys)
    return float(done_s - began_s)


async def measured(directory: Path, nodes: int) -> Row:
    cluster = Cluster(directory, nodes + 1)  # one place more, for who joins at the end
    try:
        await grow(cluster, nodes)
        leader = await cluster.leader()
        process = cluster.at[leader]
        before = cpu_seconds([process.pid])
        await trio.sleep(IDLE_S)
        idle = (cpu_seconds([process.pid]) - before) / IDLE_S * 100
        loads = []
        for in_flight in (1, 64):
            before = cpu_seconds([process.pid])
            answer = await process.ask("load", node=leader, kind="write", in_flight=in_flight, seconds=LOAD_S)
            loads.append(msgspec.convert(answer, Load))
        cpu_us = (cpu_seconds([process.pid]) - before) / loads[-1].count * 1e6
        await process.ask("fill", node=leader, records=RECORDS)
        await cluster.settled(voters_wanted(nodes))
        spread = await spread_ms(cluster, leader)
        return Row(
            nodes=nodes,
            voters=voters_wanted(nodes),
            idle_percent=idle,
            alone_p50_ms=loads[0].p50_ms,
            writes=loads[1],
            cpu_us=cpu_us,
            spread_p50_ms=statistics.median(spread),
            spread_max_ms=percentile(spread, 100),
            join_s=await joined_s(cluster, leader),
            leader_mib=pss_mib(process.pid),
        )
    finally:
        with trio.CancelScope(shield=True):
            await cluster.end()


async def main(sizes: list[int], root: Path) -> None:
    print(
        "| nodes | voters | leader idle, % of a core | one write p50 | writes/s, 64 in flight | leader's CPU a write"
        " | a change reaches all, p50 / longest | one more joins, 20,000 records | leader's PSS |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for nodes in sizes:
        with tempfile.TemporaryDirectory(dir=root) as directory:
            row = await measured(Path(directory), nodes)
        print(
            f"| {row.nodes} | {row.voters} | {row.idle_percent:.1f} | {row.alone_p50_ms:.1f} ms"
            f" | {row.writes.rate:,.0f} | {row.cpu_us:,.0f} µs"
            f" | {row.spread_p50_ms:.0f} / {row.spread_max_ms:.0f} ms | {row.join_s:.1f} s"
            f" | {row.leader_mib:.0f} MiB |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="*", default=[10, 25, 50])
    parser.add_argument("--root", type=Path, default=Path("/var/tmp"), help="on the disk that is to be measured")
    asked = parser.parse_args()
    trio.run(main, asked.nodes, asked.root)
