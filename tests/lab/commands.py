"""How the lab runs a program on the machine and says clearly why it failed."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# In a host, `noded` is a command like any other.
PATH = f"{Path(sys.prefix) / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LabError(Exception):
    """The lab cannot do what was asked; the message says what, why and how to go on."""


def call(*command: str, stdin: str | None = None, timeout_s: float = 60) -> str:
    """Run to the end, return standard output; LabError with everything it said if it fails."""
    done = subprocess.run(command, input=stdin, text=True, capture_output=True, timeout=timeout_s, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise LabError(f"{' '.join(command)}: exit status {done.returncode}\n{said}")
    return done.stdout


def inside(pid: int, command: Sequence[str]) -> list[str]:
    """The command that runs `command` in all namespaces of the host whose pid 1 is `pid` on the machine."""
    namespaces = ("--mount", "--uts", "--ipc", "--net", "--pid")
    return ["nsenter", "--target", str(pid), *namespaces, "--", "env", f"PATH={PATH}", *command]
