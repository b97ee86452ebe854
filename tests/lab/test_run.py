"""Does `make run` lead a newcomer to a guest, end without remains, and find the same cloud the next time?"""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.lab import Lab
from tests.lab.plan import PROJECT, load
from tests.lab.test_lab import left_over

pytestmark = pytest.mark.root

AGAIN_SECONDS_MAX = 60


@contextmanager
def running(root: Path, clouds: Path) -> Iterator[list[str]]:
    """A `make run` in the state that it is in after its last line; ended by Ctrl-C. Yields what it said."""
    place = ("--root", str(root), "--clouds", str(clouds), "--subnet", "10.177.5", "--link", "noded-run")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lab.run", "--hosts", "1", *place],
        cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = []
    try:
        for line in process.stdout:
            said.append(line.rstrip())
            if line.startswith("noded ready: "):
                break
        assert said[-1].startswith("noded ready: "), "\n".join(said)
        yield said
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        process.stdout.close()


def openstack(root: Path, clouds: Path, *words: str) -> str:
    """The unmodified command line client, as a newcomer calls it from the project's root."""
    command = [str(Path(sys.executable).with_name("openstack")), "--os-cloud", "noded", *words]
    environment = {"OS_CLIENT_CONFIG_FILE": str(clouds), "HOME": str(root), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_newcomer_gets_a_guest_and_finds_it_again_the_next_time(tmp_path: Path) -> None:
    root, clouds = tmp_path / "lab", tmp_path / "clouds.yaml"
    with running(root, clouds) as said:
        assert said[-1] == "noded ready: https://10.177.5.1/"
        assert any(re.match(r"password  in \S+admin-password", line) for line in said)
        assert (root / "admin-password").stat().st_mode & 0o777 == 0o600
        assert clouds.stat().st_mode & 0o777 == 0o600
        first = json.loads(openstack(root, clouds, "server", "show", "first", "-f", "json"))
        assert first["status"] == "ACTIVE"
    lab = Lab(load(root) or pytest.fail("the lab's note is gone"))
    assert left_over(lab) == []

    start = time.monotonic()
    with running(root, clouds) as said:
        assert time.monotonic() - start < AGAIN_SECONDS_MAX
        assert not any("creating server" in line for line in said)
        again = json.loads(openstack(root, clouds, "server", "show", "first", "-f", "json"))
        assert (again["id"], again["status"]) == (first["id"], "ACTIVE")
    assert left_over(lab) == []
