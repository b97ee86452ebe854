"""The command: which volumes go through which faults, and what is said in the end."""

import logging
import time
from pathlib import Path

import click
import msgspec
import structlog
import trio

from tests.faults.block import builds
from tests.faults.block.cluster import NODES
from tests.faults.block.kinds import KINDS
from tests.faults.block.run import Run, schedule
from tests.faults.clusters import command_line, conclude, read_results, run_clusters, share
from tests.faults.log.results import Result

MODULE = "tests.faults.block"


@click.command(epilog="Faults: " + ", ".join(KINDS))
@click.option("--faults", "count", default=60, show_default=True, help="how many are injected, over all clusters")
@click.option("--clusters", default=2, show_default=True, help="how many run at once, of four nodes each")
@click.option("--seed", default=1, show_default=True, help="draws which faults, where and how long")
@click.option("--kinds", default="", help="only these, separated by commas")
@click.option("--build", type=click.Choice(list(builds.BUILDS)), default=builds.SOUND, help="what to run, be it broken")
@click.option("--json", "out", type=click.Path(path_type=Path), help="also write the results to this file")
@click.option("--sum", "sum_up", is_flag=True, help="run nothing: sum up the results in FILES")
@click.option("--inside", type=int, hidden=True, help="be that cluster, in namespaces of its own")
@click.argument("files", type=click.Path(path_type=Path, exists=True), nargs=-1)
def main(
    count: int,
    clusters: int,
    seed: int,
    kinds: str,
    build: str,
    out: Path | None,
    sum_up: bool,
    inside: int | None,
    files: tuple[Path, ...],
) -> None:
    """Inject faults into real processes of the block engine, and check that it keeps every block.

    Exit status 1: it does not.
    """
    chosen = [name for name in kinds.split(",") if name] or list(KINDS)
    if unknown := set(chosen) - set(KINDS):
        raise click.UsageError(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    if sum_up:
        results = read_results(files)
    elif inside is not None:
        assert out is not None
        planned = schedule(chosen, share(count, clusters, inside), seed * 100 + inside)
        results = [be_cluster(out.parent, seed * 100 + inside, build, planned)]
    else:
        results = run_clusters(MODULE, clusters)
    if out is not None:
        out.write_bytes(msgspec.json.encode(results))
    if inside is None:
        conclude(results)


def be_cluster(directory: Path, seed: int, build: str, planned: list[str]) -> Result:
    """Run one cluster to the end of its faults."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    run = Run(directory, seed, build)
    begun = time.monotonic()
    trio.run(run.through, planned)
    return Result(
        build=build,
        nodes=NODES,
        seed=seed,
        command=command_line(MODULE),
        seconds=time.monotonic() - begun,
        faults=run.faults,
    )


if __name__ == "__main__":
    main()
