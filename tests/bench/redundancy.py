"""Hosts join, return and die: how much moves, how long it takes, what a guest feels. `python -m tests.bench.redundancy`

A lab of four hosts on this machine with a real guest; `tests/lab/redundancy.py` says what is done. Needs root.
"""

import argparse
import tempfile
from pathlib import Path

from noded.core.units import MIB
from tests.lab.redundancy import away_for, dies_for_good, fourth_joins, stage


def main(asked: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=asked.directory) as directory, stage(Path(directory)) as on:
        on.upload(asked.images, asked.mib * MIB)
        on.boot()
        fourth_joins(on)
        away_for(on, asked.away)
        dies_for_good(on, quiet_s=asked.quiet)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests.bench.redundancy", description="What becomes of redundancy.")
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--mib", type=int, default=64, help="the size of each image")
    parser.add_argument("--away", type=float, default=60.0, help="seconds for which a host is off")
    parser.add_argument("--quiet", type=float, default=20.0, help="seconds of the guest's requests before the death")
    parser.add_argument("--directory", default="/var/tmp")
    main(parser.parse_args())
