"""What came of the injected faults, and how is it told? Results can be kept as JSON and summed up."""

import statistics
from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from tests.faults.log.judge import Verdict

SENTENCES_MAX = 8


class Injected(msgspec.Struct, kw_only=True):
    """One fault and what clients saw of it. Times in seconds."""

    kind: str
    acknowledged: int
    reads: int
    refused: int
    unknown: int
    gap_s: float
    back_s: float | None = None  # after a time without a majority: until the first acknowledged write
    verdict: Verdict
    stuck: str = ""

    @property
    def is_clean(self) -> bool:
        return self.verdict.is_clean and not self.stuck


class Result(msgspec.Struct, kw_only=True):
    """One cluster's run."""

    build: str
    nodes: int
    seed: int
    command: str
    seconds: float
    faults: list[Injected]

    @property
    def is_clean(self) -> bool:
        return bool(self.faults) and all(fault.is_clean for fault in self.faults)


def tell(results: Sequence[Result]) -> None:
    """Print the table, and what was violated."""
    console = Console(width=120, highlight=False, soft_wrap=True)
    faults = [fault for result in results for fault in result.faults]
    table = Table(title=None, box=None, pad_edge=False, header_style="")
    for heading in ("fault", "injected", "acknowledged", "reads", "unknown", "lost", "stale", "wrong"):
        table.add_column(heading, justify="left" if heading == "fault" else "right")
    table.add_column("no write for\nmedian s", justify="right")
    table.add_column("\nmax s", justify="right")
    for kind in sorted({fault.kind for fault in faults}):
        table.add_row(*_row(kind, [fault for fault in faults if fault.kind == kind]))
    table.add_row(*_row("all", faults), style="bold")
    console.print(table)
    back = sorted(fault.back_s for fault in faults if fault.back_s is not None)
    if back:
        console.print(
            f"first write after a majority was switched on again: median {statistics.median(back):.1f} s,"
            f" longest {back[-1]:.1f} s, in {len(back)} outages"
        )
    sizes = ", ".join(f"{result.nodes} nodes for {result.seconds:.0f} s" for result in results)
    console.print(f"build {', '.join(sorted({result.build for result in results}))}; clusters of {sizes}")
    for result in results:
        _complain(console, result)


def _row(name: str, faults: Sequence[Injected]) -> list[str]:
    def total(numbers: Iterable[int]) -> str:
        return f"{sum(numbers):,}"

    gaps = [fault.gap_s for fault in faults]
    return [
        name,
        total(1 for _ in faults),
        total(fault.acknowledged for fault in faults),
        total(fault.reads for fault in faults),
        total(fault.unknown for fault in faults),
        total(len(fault.verdict.lost) for fault in faults),
        total(len(fault.verdict.stale) for fault in faults),
        total(len(fault.verdict.wrong) + bool(fault.stuck) for fault in faults),
        f"{statistics.median(gaps):.2f}" if gaps else "-",
        f"{max(gaps):.2f}" if gaps else "-",
    ]


def _complain(console: Console, result: Result) -> None:
    if result.is_clean:
        return
    console.print(f"\nVIOLATED, build {result.build}, {result.nodes} nodes. Again with: {result.command}", markup=False)
    for number, fault in enumerate(result.faults, start=1):
        found = {"lost": fault.verdict.lost, "stale": fault.verdict.stale, "wrong": fault.verdict.wrong}
        for what, sentences in found.items():
            for sentence in sentences[:SENTENCES_MAX]:
                console.print(f"  fault {number}, {fault.kind}, {what}: {sentence}", markup=False)
            if len(sentences) > SENTENCES_MAX:
                console.print(f"  and {len(sentences) - SENTENCES_MAX} more of these", markup=False)
        if fault.stuck:
            console.print(f"  fault {number}, {fault.kind}, stuck: {fault.stuck}", markup=False)
