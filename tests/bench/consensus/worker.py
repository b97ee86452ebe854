"""A process with one node or several: `python -m tests.bench.consensus.worker`. JSON lines in, one line back for each.

It ends when its standard input ends.
"""

import logging
import random
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import msgspec
import structlog
import trio

from noded.core.errors import Unavailable
from tests.bench.consensus.figures import Load, percentile
from tests.bench.consensus.member import STAMP, KeyValue, Member, Place, Put

VALUE = b"v" * 100
KEYS = 10_000
CHECK_S = 0.02


class Worker:
    """The nodes of this process; each public method may be asked for by its name."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._members: dict[str, Member] = {}
        self._acknowledged: dict[str, list[float]] = {}

    async def start(self, places: list[dict[str, str]], peers: list[dict[str, str]], found: bool) -> float:
        """Start nodes; the time when they run."""
        for place in places:
            member = Member(Place(**place), [Place(**peer) for peer in peers], found=found)
            self._members[place["node_id"]] = member
            await self._nursery.start(member.run)
        return time.monotonic()

    async def found(self, node: str, certificate: str, key: str) -> None:
        await self._members[node].found(certificate, key)

    async def admit(self, node: str, places: list[dict[str, str]]) -> None:
        for place in places:
            await self._members[node].admit(Place(**place))

    async def standing(self) -> dict[str, Any]:
        """What each node knows: who leads, who votes, how far it is, how much it holds."""
        await trio.lowlevel.checkpoint()
        return {
            node_id: {
                "leader": member.raft.leader_id,
                "leads": member.raft.is_leader,
                "voters": sorted(member.raft.voters),
                "applied": member.raft.applied_index,
                "keys": member.machine.picture.count(KeyValue),
                "noted": [member.noted.value.decode(), member.noted.at_s],
            }
            for node_id, member in self._members.items()
        }

    async def fill(self, node: str, records: int, batch: int = 100) -> None:
        """Put that many keys."""
        cluster = self._members[node].cluster
        for first in range(0, records, batch):
            await cluster.propose(
                *(Put(key=f"fill/{number:08}", value=VALUE) for number in range(first, first + batch))
            )

    async def stamp(self, node: str, value: str) -> float:
        """Change the key whose changes every node notes; when that was asked for."""
        at_s = time.monotonic()
        await self._members[node].cluster.propose(Put(key=STAMP, value=value.encode()))
        return at_s

    async def keys_reached(self, node: str, keys: int) -> float:
        """When this node holds that many keys."""
        member = self._members[node]
        while member.machine.picture.count(KeyValue) < keys:
            await trio.sleep(CHECK_S)
        return time.monotonic()

    async def load(self, node: str, kind: str, in_flight: int, seconds: float) -> dict[str, Any]:
        """Writes or barrier reads, so many at a time, for so long."""
        cluster = self._members[node].cluster

        async def write() -> None:
            await cluster.propose(Put(key=f"key/{random.randrange(KEYS):08}", value=VALUE))

        async def read() -> None:
            (await cluster.fresh_view()).get(KeyValue, f"key/{random.randrange(KEYS):08}")

        return msgspec.to_builtins(await under_load(write if kind == "write" else read, in_flight, seconds))

    async def write_steadily(self, node: str, pause_s: float) -> None:
        """From now on, one write after the other."""
        self._acknowledged[node] = []
        self._nursery.start_soon(self._write, node, pause_s)
        await trio.lowlevel.checkpoint()

    async def _write(self, node: str, pause_s: float) -> None:
        while True:
            try:
                await self._members[node].cluster.propose(Put(key="steady", value=VALUE))
            except Unavailable:
                continue
            self._acknowledged[node].append(time.monotonic())
            await trio.sleep(pause_s)

    async def acknowledged_after(self, node: str, at_s: float) -> float:
        """When the first write was acknowledged that was so after that time; waits for it."""
        while not (found := [at for at in self._acknowledged[node][-5000:] if at > at_s]):
            await trio.sleep(0.001)
        return found[0]

    async def longest_gap(self, node: str, from_s: float) -> float:
        """The longest time without an acknowledged write since then."""
        await trio.lowlevel.checkpoint()
        times = [at for at in self._acknowledged[node] if at >= from_s]
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)


async def under_load(act: Callable[[], Awaitable[None]], in_flight: int, seconds: float) -> Load:
    """Repeat `act`, so many at a time, for so long."""
    latencies: list[float] = []
    began = time.perf_counter()

    async def repeat() -> None:
        while (at := time.perf_counter()) < began + seconds:
            await act()
            latencies.append(time.perf_counter() - at)

    async with trio.open_nursery() as nursery:
        for _ in range(in_flight):
            nursery.start_soon(repeat)
    took_s = time.perf_counter() - began
    return Load(
        count=len(latencies),
        seconds=took_s,
        p50_ms=percentile(latencies, 50) * 1e3,
        p99_ms=percentile(latencies, 99) * 1e3,
    )


async def main() -> None:
    # Standard output carries the answers alone.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    async with trio.open_nursery() as nursery, trio.lowlevel.FdStream(sys.stdin.fileno()) as stdin:
        worker = Worker(nursery)
        buffer = b""
        while piece := await stdin.receive_some():
            *lines, buffer = (buffer + piece).split(b"\n")
            for line in lines:
                asked = msgspec.json.decode(line)
                answer = await getattr(worker, asked.pop("do"))(**asked)
                sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
                sys.stdout.buffer.flush()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
