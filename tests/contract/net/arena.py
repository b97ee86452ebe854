"""Hosts on an underlay, and guests on hosts, as network namespaces. All of it ends with the test process, however.

A namespace is held by a process that the kernel kills when the test process goes; the guests' cards are cables whose
host end has the name and the mark of the tap that the port would get, so the dataplane takes them for its own.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from net.dataplane.model import tap_name

ROOT = Path(__file__).resolve().parents[3]
PREFIX = "netarena"
STEP_S_MAX = 60


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=STEP_S_MAX, cwd=ROOT)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


class Namespace:
    """One network stack, held by one process."""

    def __init__(self) -> None:
        holder = ("setpriv", "--pdeathsig", "KILL", "cat")
        self.process = subprocess.Popen(
            ("unshare", "-n", "-m", "--propagation", "private", *holder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        # Once it echoes, the namespaces are there.
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        self.process.stdout.readline()
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> str:
        return str(self.process.pid)

    def inside(self, *command: str) -> tuple[str, ...]:
        return ("nsenter", "-t", self.pid, "-n", "-m", f"--wd={ROOT}", "setpriv", "--pdeathsig", "KILL", *command)

    def run(self, *command: str, check: bool = True) -> str:
        return run(*self.inside(*command), check=check)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


class Agent:
    """A process in a namespace that takes one order a line and answers each with one line."""

    def __init__(self, place: Namespace, module: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            place.inside(sys.executable, "-m", module, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def tell(self, order: str, **values: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"order": order, **values}) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the process ended: its last words are above"
        answer = json.loads(line)
        assert "fault" not in answer, answer["fault"]
        return answer["answer"]

    def ask(self, order: str, **values: Any) -> Any:
        self.tell(order, **values)
        return self.hear()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


@dataclass
class Guest:
    """A machine with one card."""

    place: Namespace
    agent: Agent
    tap: str

    def ask(self, order: str, **values: Any) -> Any:
        return self.agent.ask(order, **values)

    def configure(self) -> dict[str, Any]:
        """Get an address by DHCP and use all that it says; what it said."""
        lease: dict[str, Any] = self.ask("dhcp")
        self.place.run("ip", "addr", "replace", f"{lease['address']}/{lease['prefix_length']}", "dev", "eth0")
        self.place.run("ip", "link", "set", "eth0", "mtu", str(lease["mtu"]))
        for destination, router in lease["routes"]:
            via = () if router == "0.0.0.0" else ("via", router)
            self.place.run("ip", "route", "replace", destination, *via, "dev", "eth0")
        return lease

    def reaches(self, address: str, **values: Any) -> bool:
        return bool(self.ask("ping", address=address, **values))


@dataclass
class Host:
    """A node's machine: its stack and its dataplane."""

    place: Namespace
    address: str
    agent: Agent
    guests: list[Guest] = field(default_factory=list)

    def guest(self, port_id: str, mac: str) -> Guest:
        """A guest on the port. Its card is there before the port is wired, as a tap would be."""
        place, tap = Namespace(), tap_name(port_id)  # type: ignore[arg-type]
        self.place.run("ip", "link", "add", tap, "type", "veth", "peer", "name", "eth0", "netns", place.pid)
        self.place.run("ip", "link", "set", tap, "alias", f"noded {port_id} 1")
        place.run("ip", "link", "set", "eth0", "address", mac, "up")
        place.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
        guest = Guest(place, Agent(place, "tests.contract.net.guest"), tap)
        self.guests.append(guest)
        return guest

    def restart(self, node: str) -> None:
        """Kill the dataplane's process and start it anew, without a memory."""
        self.agent.close()
        self.agent = Agent(self.place, "tests.contract.net.node", node)


@dataclass
class Arena:
    """Several hosts on one underlay."""

    switch: Namespace
    hosts: dict[str, Host]

    def everywhere(self, order: str, **values: Any) -> list[Any]:
        """Give all hosts the same order at once."""
        for host in self.hosts.values():
            host.agent.tell(order, **values)
        return [host.agent.hear() for host in self.hosts.values()]


@contextmanager
def arena(nodes: dict[str, str]) -> Iterator[Arena]:
    """Hosts by node id, with their underlay addresses."""
    assert shutil.which("setpriv"), "util-linux has it"
    switch = Namespace()
    made = Arena(switch, {})
    try:
        switch.run("ip", "link", "add", "switch", "type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
        switch.run("ip", "link", "set", "switch", "up")
        for number, (node, address) in enumerate(nodes.items(), start=1):
            place = Namespace()
            switch.run("ip", "link", "add", f"p{number}", "type", "veth", "peer", "name", "eth0", "netns", place.pid)
            switch.run("ip", "link", "set", f"p{number}", "master", "switch", "up")
            place.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
            place.run("ip", "link", "set", "eth0", "up")
            made.hosts[node] = Host(place, address, Agent(place, "tests.contract.net.node", node))
        yield made
    finally:
        for host in made.hosts.values():
            for guest in host.guests:
                guest.agent.close()
                guest.place.close()
            host.agent.close()
            host.place.close()
        switch.close()
