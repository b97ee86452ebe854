"""How does one volume go through its faults? Load, break, mend, settle, rest, look at everything, judge."""

import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.block.cluster import SETTLE_S_MAX, Cluster, Stuck, say
from tests.faults.block.judge import judge
from tests.faults.block.kinds import KINDS, ROTS
from tests.faults.block.layers import differences
from tests.faults.log.clients import longest_gap
from tests.faults.log.results import Injected
from tests.faults.log.run import schedule

__all__ = ["Run", "schedule"]

WRITES_AROUND = 40
FIRST_FOUND_MAX = 3


class Run:
    """One cluster, its volume, and what was found so far."""

    def __init__(self, directory: Path, seed: int, build: str) -> None:
        self.cluster = Cluster(directory, seed, build)
        self.faults: list[Injected] = []

    async def through(self, kinds: Sequence[str]) -> None:
        """Inject these, one after the other. Ends early where the volume does not come back."""

        async def inject() -> None:
            for number, kind in enumerate(kinds):
                fault = await self._inject(kind)
                self.faults.append(fault)
                _progress(f"{number + 1}/{len(kinds)} {kind}", fault)
                if fault.stuck:
                    break

        try:
            await self.cluster.through(inject)
        finally:
            self.cluster.end()

    async def _inject(self, kind: str) -> Injected:
        cluster, disk = self.cluster, self.cluster.guest_disk
        cluster.excused.clear()
        disk.acknowledged_at.clear()
        disk.reads = 0
        wrong: list[str] = []
        stuck = ""
        cluster.let_work()
        begun = ended = time.monotonic()
        try:
            await self._writes(WRITES_AROUND)
            begun = time.monotonic()
            await KINDS[kind](cluster)
            await cluster.mend()
            await self._writes(WRITES_AROUND)
            ended = time.monotonic()
            await cluster.settle()
            await cluster.rest()
            await cluster.look_at_all()
            if kind in ROTS:
                wrong = await cluster.scrub()
                await cluster.settle()
            wrong += await differences(cluster)
        except* Stuck as group:
            stuck = " And: ".join(str(one) for one in group.exceptions)
            say(cluster.last_words())
        verdict = judge(disk.registers.values())
        verdict.wrong += [*wrong, *disk.errors]
        disk.errors.clear()
        return Injected(
            kind=kind,
            acknowledged=len(disk.acknowledged_at),
            reads=disk.reads,
            refused=0,
            unknown=0,
            gap_s=longest_gap(disk.acknowledged_at, begun, max(begun, ended), cluster.excused),
            verdict=verdict,
            stuck=stuck,
        )

    async def _writes(self, count: int) -> None:
        """Wait until so many more writes are acknowledged."""
        disk = self.cluster.guest_disk
        wanted = len(disk.acknowledged_at) + count
        await self.cluster.until(
            lambda: len(disk.acknowledged_at) >= wanted, f"no write is acknowledged within {SETTLE_S_MAX:.0f} s"
        )


def _progress(line: str, fault: Injected) -> None:
    line += f": {fault.acknowledged} acknowledged, {fault.reads} reads, longest without a write {fault.gap_s:.1f} s"
    found = [*fault.verdict.lost, *fault.verdict.stale, *fault.verdict.wrong][:FIRST_FOUND_MAX]
    say(line + ("" if fault.is_clean else f"  VIOLATED {fault.stuck or '; '.join(found)}"))
