"""Does the log keep its word on real processes, and would it show if it did not? A short part of `make faults`."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.faults.log.results import Result
from tests.lab.plan import PROJECT
from tests.real import BROKEN_PROMISE

pytestmark = pytest.mark.root

KINDS = "kill-leader,cut-leader,power-all-leader-last,disk-full,sync-fails,replace-node"
RUN_S_MAX = 900  # only to end what hangs: how long things take is not judged here


@contextmanager
def faults(out: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """The command at work; it ends with the block, and all its nodes with it."""
    command = [sys.executable, "-m", "tests.faults.log", "--clusters", "1", "--nodes", "3", "--json", out, *options]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        try:
            yield run
        finally:
            run.kill()


def end(run: "subprocess.Popen[str]", out: Path) -> tuple[int, Result]:
    """Wait for its end; status and result."""
    said, _ = run.communicate(timeout=RUN_S_MAX)
    print(said)
    [result] = msgspec.json.decode(out.read_bytes(), type=list[Result])
    return run.returncode, result


def test_nothing_is_lost_or_stale_whatever_breaks_and_the_cluster_serves_again(tmp_path: Path) -> None:
    out = tmp_path / "sound.json"
    with faults(out, "--faults", "6", "--kinds", KINDS) as run:
        status, result = end(run, out)
    broken = [fault.kind for fault in result.faults if not fault.verdict.is_clean]
    assert not broken, f"{BROKEN_PROMISE} during {broken}: the command's output above says which"
    assert status == 0
    assert {fault.kind for fault in result.faults} == set(KINDS.split(","))
    assert all(fault.is_clean for fault in result.faults)
    assert all(fault.acknowledged and fault.reads for fault in result.faults)


def test_builds_that_are_broken_on_purpose_are_caught(tmp_path: Path) -> None:
    unsynced, local = tmp_path / "unsynced.json", tmp_path / "local.json"
    with (
        faults(unsynced, "--faults", "1", "--kinds", "power-all", "--build", "no-fsync") as one,
        faults(local, "--faults", "2", "--kinds", "cut-follower", "--build", "local-reads") as other,
    ):
        status, forgetful = end(one, unsynced)
        other_status, stale = end(other, local)
    assert status == other_status == 1
    assert any(fault.verdict.lost for fault in forgetful.faults)
    assert any(fault.verdict.stale for fault in stale.faults)
    assert not any(fault.verdict.lost for fault in stale.faults)
