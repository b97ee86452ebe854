"""Is every block kept on real processes, and would it show if it were not? A short part of `make faults`."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.faults.log.results import Result
from tests.lab.plan import PROJECT
from tests.real import BROKEN_PROMISE

pytestmark = pytest.mark.root

KINDS = "kill-guests-host,power-all,power-at-sync,old-owner-goes-on,data-rots,cut-replica"
RUN_S_MAX = 900  # only to end what hangs: how long things take is not judged here


def faults(out: Path, *options: str) -> tuple[int, Result]:
    """Run the command; its status, and what it found."""
    command = [sys.executable, "-m", "tests.faults.block", "--clusters", "1", "--json", out, *options]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_S_MAX,
        check=False,
    )
    print(done.stdout)
    [result] = msgspec.json.decode(out.read_bytes(), type=list[Result])
    return done.returncode, result


def test_no_block_is_lost_or_goes_back_whatever_breaks_and_the_replicas_are_equal_again(tmp_path: Path) -> None:
    status, result = faults(tmp_path / "sound.json", "--faults", "6", "--kinds", KINDS)
    broken = [fault.kind for fault in result.faults if not fault.verdict.is_clean]
    assert not broken, f"{BROKEN_PROMISE} during {broken}: the command's output above says which"
    assert status == 0
    assert {fault.kind for fault in result.faults} == set(KINDS.split(","))
    assert all(fault.acknowledged and fault.reads for fault in result.faults)


def test_a_build_whose_extent_servers_take_writes_of_any_owner_is_caught(tmp_path: Path) -> None:
    status, result = faults(
        tmp_path / "open.json", "--faults", "2", "--kinds", "old-owner-goes-on", "--build", "no-fencing"
    )
    assert status == 1
    assert not all(fault.verdict.is_clean for fault in result.faults)
