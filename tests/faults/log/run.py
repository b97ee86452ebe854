"""How does one cluster go through its faults? Form, and then again and again: load, break, mend, rest, judge."""

import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import trio

from tests.faults.log import builds
from tests.faults.log.clients import Clients, Epoch, longest_gap
from tests.faults.log.cluster import Cluster, Stuck
from tests.faults.log.judge import GET, OK, REFUSED, SET, UNKNOWN, Verdict, judge, judge_later, judge_nodes
from tests.faults.log.kinds import KINDS
from tests.faults.log.registers import History
from tests.faults.log.results import Injected
from tests.faults.log.wire import Drop, Gone, Tell, Told

TELL_S_MAX = 30.0
WRITES_AROUND = 25


class Run:
    """One cluster, its clients, and what was found so far."""

    def __init__(self, directory: Path, nodes: int, seed: int, build: str) -> None:
        self.cluster = Cluster(directory, nodes, random.Random(seed), build)
        self._clients = Clients(self.cluster, seed)
        self._kept: dict[int, History] = {}
        self.faults: list[Injected] = []

    async def through(self, kinds: Sequence[str]) -> None:
        """Inject these, one after the other. Ends early where the cluster does not come back."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._clients.run)
                await self.cluster.form()
                for number, kind in enumerate(kinds):
                    fault = await self._inject(number, kind)
                    self.faults.append(fault)
                    _progress(f"{number + 1}/{len(kinds)} {kind}: {fault.acknowledged} acknowledged", fault)
                    if fault.stuck:
                        break
                nursery.cancel_scope.cancel()
        finally:
            self.cluster.end()

    async def _inject(self, number: int, kind: str) -> Injected:
        cluster = self.cluster
        cluster.without_majority.clear()
        epoch = self._clients.begin(number)
        stuck = ""
        begun = time.monotonic()
        try:
            await self._writes(epoch, WRITES_AROUND)
            begun = time.monotonic()
            await KINDS[kind](cluster)
            await cluster.mend()
            await self._writes(epoch, WRITES_AROUND)
        except* Stuck as group:
            stuck = " And: ".join(_leaves(group))
        ended = time.monotonic()
        await self._clients.rest()
        if stuck:
            await cluster.await_answers()
        outages = list(cluster.without_majority)
        return Injected(
            kind=kind,
            acknowledged=sum(call.outcome == OK and call.kind == SET for call in epoch.calls),
            reads=sum(call.outcome == OK and call.kind == GET for call in epoch.calls),
            refused=sum(call.outcome == REFUSED for call in epoch.calls),
            unknown=sum(call.outcome == UNKNOWN for call in epoch.calls),
            gap_s=longest_gap(epoch.acknowledged_at, begun, ended, outages),
            back_s=_first_after(epoch, outages[-1][1], ended) - outages[-1][1] if outages else None,
            verdict=await self._judge(epoch, anyhow=bool(stuck)),
            stuck=stuck,
        )

    async def _writes(self, epoch: Epoch, count: int) -> None:
        """Wait until so many more changes are acknowledged."""
        wanted = len(epoch.acknowledged_at) + count

        async def are_there() -> bool:
            return len(epoch.acknowledged_at) >= wanted

        await self.cluster.until(are_there, "no write is acknowledged")

    async def _judge(self, epoch: Epoch, *, anyhow: bool) -> Verdict:
        """What the nodes tell after everything was mended, against what the clients were told."""
        told = await self._histories(epoch.number, anyhow=anyhow)
        if not told:
            return Verdict(wrong=["no node tells what it holds"])
        verdicts = [judge_nodes(told), judge(epoch.calls, max(told.values(), key=_size))]
        before = self._kept.pop(epoch.number - 1, None)
        if before is not None and not anyhow:
            again = await self._histories(epoch.number - 1, anyhow=False)
            verdicts.append(judge_later(before, max(again.values(), key=_size, default={})))
            await self._drop(epoch.number - 1)
        self._kept[epoch.number] = max(told.values(), key=_size)
        return Verdict(
            lost=[line for verdict in verdicts for line in verdict.lost],
            stale=[line for verdict in verdicts for line in verdict.stale],
            wrong=[line for verdict in verdicts for line in verdict.wrong],
        )

    async def _histories(self, epoch: int, *, anyhow: bool) -> dict[str, History]:
        told: dict[str, History] = {}
        for place in self.cluster.places:
            try:
                answer = await self.cluster.ask(place, Tell(epoch, anyhow), TELL_S_MAX)
            except Gone:
                continue  # it may be gone for good, if the cluster is stuck
            if isinstance(answer, Told):
                told[f"node {place.number}"] = answer.history
        return told

    async def _drop(self, epoch: int) -> None:
        """Nobody asks for it any more. If it stays, it only takes room."""
        try:
            await self.cluster.ask(await self.cluster.leader(), Drop(epoch))
        except Gone:
            _progress("an epoch stays: its node was gone")


def schedule(kinds: Sequence[str], count: int, seed: int) -> list[str]:
    """Every kind about as often, in an order of the seed's."""
    dice = random.Random(seed)
    planned: list[str] = []
    while len(planned) < count:
        planned += dice.sample(kinds, len(kinds))
    return planned[:count]


def kinds_for(build: str) -> list[str]:
    """The stock log has no way to change its voters safely, and knows nothing of damage."""
    fit = ["kill-leader", "kill-follower", "kill-all", "power-one", "power-majority", "power-all"]
    return fit if build == builds.STOCK else list(KINDS)


def _first_after(epoch: Epoch, moment: float, otherwise: float) -> float:
    return next((at for at in epoch.acknowledged_at if at > moment), otherwise)


def _leaves(group: BaseExceptionGroup[Stuck]) -> list[str]:
    """What each of them says: a fault does several things at once."""
    each = [[str(one)] if isinstance(one, Stuck) else _leaves(one) for one in group.exceptions]
    return [line for lines in each for line in lines]


def _size(history: History) -> int:
    return sum(len(values) for values in history.values())


def _progress(line: str, fault: Injected | None = None) -> None:
    if fault is not None:
        back = "" if fault.back_s is None else f", back after {fault.back_s:.1f} s"
        line += f", longest without one {fault.gap_s:.1f} s{back}" + ("" if fault.is_clean else "  VIOLATED")
    sys.stderr.write(line + "\n")
