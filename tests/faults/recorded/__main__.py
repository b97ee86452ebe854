"""python -m tests.faults.recorded [--seed N] [--batches N]: cut the power at every moment of one record."""

import sys
import tempfile
import time
from pathlib import Path

import click

from tests.faults.recorded.sweep import SHARES, Sweep


@click.command()
@click.option("--seed", default=1, show_default=True, help="draws what is written")
@click.option("--batches", default=400, show_default=True, help="how much is written")
def main(seed: int, batches: int) -> None:
    """Record what a store tells its disk, and open a store on what is left after a cut at every sync and rename.

    Exit status 1: something acknowledged is missing, or something is there that was never written.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="recorded-") as scratch:
        sweep = Sweep(Path(scratch), seed, batches)
        click.echo(f"{len(sweep.entries)} calls recorded, {len(sweep.moments)} moments, {len(SHARES)} cuts in each")
        faults = 0
        for fault in sweep.through(set(sweep.moments)):
            faults += 1
            click.echo(f"VIOLATED {fault}")
    cuts = len(sweep.moments) * len(SHARES)
    click.echo(f"{cuts} cuts, {faults} violations, {time.monotonic() - begun:.0f} s")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
