"""One workload on one target, by fio."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

PATIENCE_S = 180.0


@dataclass(frozen=True)
class Workload:
    """What is read or written: how, in what pieces, how many at a time."""

    name: str
    pattern: str  # as fio calls it
    block: str
    depth: int

    @property
    def writes(self) -> bool:
        return "write" in self.pattern


@dataclass(frozen=True)
class Result:
    """What one run of a workload gave."""

    per_second: float
    count: int
    p50_us: float
    p99_us: float


def run_fio(
    target: tuple[str, ...],
    workload: Workload,
    *,
    size_bytes: int,
    seconds: float | None,
    environment: Mapping[str, str] | None = None,
) -> Result:
    """Run for so long, or once over the whole size. Raises RuntimeError if fio does."""
    words = ["fio", "--output-format=json", "--name=bench", f"--size={size_bytes}", f"--rw={workload.pattern}"]
    words += [f"--bs={workload.block}", f"--iodepth={workload.depth}", "--randrepeat=0", "--refill_buffers"]
    if seconds is not None:
        words += ["--time_based", f"--runtime={seconds}"]
    done = subprocess.run(
        [*words, *target], capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=environment
    )
    begin = done.stdout.find("{")
    if done.returncode or begin < 0:
        raise RuntimeError(f"fio failed for {workload.name}: {done.stderr[-500:] or done.stdout[-500:]}")
    job = json.loads(done.stdout[begin:])["jobs"][0]
    side = job["write" if workload.writes else "read"]
    percentiles = side["clat_ns"].get("percentile", {})
    return Result(
        per_second=side["iops"],
        count=side["total_ios"],
        p50_us=percentiles.get("50.000000", 0) / 1e3,
        p99_us=percentiles.get("99.000000", 0) / 1e3,
    )
