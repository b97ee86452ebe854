"""How one gets from the machine into a guest: over ssh, from where its network's metadata service stands.

A guest's network has no way out to the machine. But on the guest's host `noded` holds a network namespace in which
169.254.169.254 lives, on the guest's own link, and every guest knows the way back to that address.
"""

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openstack.connection import Connection

from net.dataplane.model import service_mac
from tests.lab.commands import LabError, call
from tests.lab.lab import Lab, LabHost

OPTIONS = (
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
    *("-o", "ConnectTimeout=5"),
)


def ssh_command(lab: Lab, cloud: Connection, key_file: Path, server_name: str, command: Sequence[str]) -> list[str]:
    """What the machine must execute to log in to the server of this name and run `command` there."""
    server: Any = cloud.compute.find_server(server_name, ignore_missing=False, details=True)
    if not server.addresses:
        raise LabError(f"server {server_name} is {server.status} and has no address yet")
    network_name, addresses = next(iter(server.addresses.items()))
    network: Any = cloud.network.find_network(network_name, ignore_missing=False)
    host = next(host for host in lab.hosts if host.name == server.compute_host)
    namespace = service_namespace(host, network.provider_segmentation_id)
    target = f"guest@{addresses[0]['addr']}"
    return ["nsenter", f"--net={namespace}", "--", "ssh", *OPTIONS, "-i", str(key_file), target, *command]


def service_namespace(host: LabHost, vni: int) -> Path:
    """The namespace of a network's services on this host, by the descriptor through which the daemon holds it."""
    wanted = service_mac(vni)
    for pid in host.pids():
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(OSError, LabError):
                if os.readlink(descriptor).startswith("net:") and wanted in _macs(descriptor):
                    return descriptor
    raise LabError(f"{host.name} serves no guest of that network; does its daemon run?")


def _macs(namespace: Path) -> list[str]:
    links = json.loads(call("nsenter", f"--net={namespace}", "--", "ip", "-json", "link", "show"))
    return [link.get("address", "") for link in links]
