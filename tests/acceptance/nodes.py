"""What the nodes themselves say: the `noded` command, run inside a simulated host."""

import json
import sys
from pathlib import Path
from typing import Any

from tests.lab.lab import Lab, LabHost

NODED = str(Path(sys.executable).with_name("noded"))


def status(host: LabHost) -> dict[str, Any]:
    """The cluster as this host sees it."""
    answer: dict[str, Any] = json.loads(host.run(NODED, "status", "--json"))
    return answer


def leader(lab: Lab) -> LabHost:
    """The host whose node leads the log, as the first running host sees it."""
    witness = next(host for host in lab.hosts if host.pid is not None and host.daemon == "running")
    name = next(node["name"] for node in status(witness)["nodes"] if node["leader"])
    return next(host for host in lab.hosts if host.name == name)


def explain(host: LabHost, noun: str, id: str) -> dict[str, Any]:
    """`noded explain`, as JSON."""
    answer: dict[str, Any] = json.loads(host.run(NODED, "explain", noun, id, "--json"))
    return answer


def verify(host: LabHost, volume_id: str) -> list[dict[str, Any]]:
    """`noded volume verify`: every replica read from end to end."""
    answer = json.loads(host.run(NODED, "volume", "verify", volume_id, "--json", timeout_s=120))
    replicas: list[dict[str, Any]] = answer["replicas"]
    return replicas
