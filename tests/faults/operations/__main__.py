"""Kill any process of a cloud in the middle of what users do with volumes, again and again.

    python -m tests.faults.operations --kills 200
    python -m tests.faults.operations --kills 40 --seed 7 --seconds 440 --json FILE     # a piece
    python -m tests.faults.operations --sum FILE FILE                                   # the table over several

Exit status 1: something did not settle within a minute, or `noded doctor` found something.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import click
import msgspec

from tests.faults.operations.run import Kill, run
from tests.faults.operations.victims import VICTIMS


def table(results: list[Kill]) -> str:
    """A line a victim."""
    lines = [f"{'victim':<20} {'kills':>5} {'settled':>8} {'median s':>9} {'max s':>7}  deeds"]
    for name in (*VICTIMS, "all"):
        mine = [each for each in results if name in (each.victim, "all")]
        times = [each.settled_s for each in mine if each.settled_s is not None]
        middle, most = (statistics.median(times), max(times)) if times else (0.0, 0.0)
        deeds = len({each.deed for each in mine})
        lines.append(f"{name:<20} {len(mine):>5} {len(times):>8} {middle:>9.1f} {most:>7.1f}  {deeds}")
    return "\n".join(lines)


@click.command()
@click.option("--kills", default=200, show_default=True)
@click.option("--seed", default=1, show_default=True, help="draws what is killed, when, and what goes on meanwhile")
@click.option("--seconds", default=1e9, help="begin no further kill after so long")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="keep what came of it")
@click.option("--keep", type=click.Path(path_type=Path), help="a directory for the cloud, which stays")
@click.option("--sum", "is_sum", is_flag=True, help="only add up what earlier pieces have kept")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True))
def main(
    kills: int,
    seed: int,
    seconds: float,
    json_file: Path | None,
    keep: Path | None,
    is_sum: bool,
    files: tuple[Path, ...],
) -> None:
    """Kill, and see whether everything settles and matches."""
    if is_sum:
        results = [each for file in files for each in msgspec.json.decode(file.read_bytes(), type=list[Kill])]
    elif keep is not None:
        keep.mkdir(parents=True)
        results = run(keep, kills, seed, seconds, click.echo)
    else:
        with tempfile.TemporaryDirectory(prefix="operations-") as root:
            results = run(Path(root), kills, seed, seconds, click.echo)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.encode(results))
    click.echo(table(results))
    sys.exit(0 if results and all(each.settled_s is not None for each in results) else 1)


if __name__ == "__main__":
    main()
