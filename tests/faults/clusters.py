"""How do several clusters go through faults at once? Each is the same command again, in namespaces of its own."""

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from tests.faults.log.results import Result, tell
from tests.lab.host import OUTER_COMMAND
from tests.lab.plan import PROJECT


def run_clusters(module: str, clusters: int) -> list[Result]:
    """Run all clusters beside one another: `module` again for each, with its number as `--inside`.

    Whatever they make ends with them, and they end with this process.
    """
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        files = [Path(scratch, str(number), "result.json") for number in range(clusters)]
        running = []
        try:
            for number, file in enumerate(files):
                file.parent.mkdir()
                inside = ["--inside", str(number), "--json", str(file)]
                command = [*OUTER_COMMAND, sys.executable, "-m", module, *sys.argv[1:], *inside]
                running.append(subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.DEVNULL))
            ends = [each.wait() for each in running]
        finally:
            for each in running:
                each.kill()
                each.wait()
        if any(ends):
            raise click.ClickException(f"a cluster's process ended with status {max(ends, key=abs)}; see above")
        return read_results(files)


def read_results(files: Sequence[Path]) -> list[Result]:
    """What earlier runs have written."""
    return [result for file in files for result in msgspec.json.decode(file.read_bytes(), type=list[Result])]


def share(count: int, clusters: int, number: int) -> int:
    """How many of all faults one cluster gets."""
    return count // clusters + (number < count % clusters)


def conclude(results: list[Result]) -> None:
    """Print what came of all of them, and end the process: with 0 if each kept its word."""
    tell(results)
    sys.exit(0 if results and all(result.is_clean for result in results) else 1)


def command_line(module: str) -> str:
    """How this run is repeated."""
    given = sys.argv[1:]
    ours = ("--inside", "--json")
    kept = [word for before, word in zip(["", *given], given, strict=False) if word not in ours and before not in ours]
    return f"python -m {module} {shlex.join(kept)}"
