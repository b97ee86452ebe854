"""How are the nodes of a fault test joined, and how is that broken? A switch in this process's network namespace."""

import itertools
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.lab import switch
from tests.lab.commands import call
from tests.lab.plan import HostPlan

SUBNET = "10.99.0"
TABLE = "bridge faults"

Way = tuple[int, int]  # from one node's number to another's


class Network:
    """One cable from each node, numbered from 1, to one switch."""

    def __init__(self, directory: Path, count: int) -> None:
        call("ip", "link", "set", "lo", "up")
        call("ip", "link", "add", "switch", "type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
        call("ip", "link", "set", "switch", "up")
        self.numbers = range(1, count + 1)
        self._hosts = {n: HostPlan(number=n, subnet=SUBNET, directory=directory) for n in self.numbers}
        # A namespace lives as long as a process in it.
        self._holders = {n: subprocess.Popen(["unshare", "--net", "sleep", "infinity"]) for n in self.numbers}
        for number, holder in self._holders.items():
            _await_namespace(holder.pid)
            switch.plug(self._hosts[number], holder.pid)

    def address(self, number: int) -> str:
        return self._hosts[number].address

    def inside(self, number: int) -> list[str]:
        """What runs a program in a node's network namespace, as the same process."""
        return ["nsenter", f"--net=/proc/{self._holders[number].pid}/ns/net", "--"]

    def everyone(self, number: int) -> list[Way]:
        """All ways from and to a node."""
        others = [other for other in self.numbers if other != number]
        return [(number, other) for other in others] + [(other, number) for other in others]

    def all_ways(self) -> list[Way]:
        return list(itertools.permutations(self.numbers, 2))

    def shape(self, *, cut: Iterable[Way] = (), lossy: Iterable[Way] = (), percent: int = 0) -> None:
        """Drop every packet on the ways `cut`, and a part of them on `lossy`; replaces what was there."""
        lines = [self._line(way, "drop") for way in cut]
        lines += [self._line(way, f"numgen random mod 100 < {percent} drop") for way in lossy]
        call("nft", "-f", "-", stdin=_ruleset(lines))

    def _line(self, way: Way, verdict: str) -> str:
        source, target = (self._hosts[number].port for number in way)
        return f'    iifname "{source}" oifname "{target}" {verdict}'


def _ruleset(lines: list[str]) -> str:
    body = "\n".join(lines)
    chain = f"  chain forward {{\n    type filter hook forward priority 0;\n{body}\n  }}\n"
    return f"add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n{chain}}}\n"


def _await_namespace(pid: int) -> None:
    mine = Path("/proc/self/ns/net").readlink()
    while Path(f"/proc/{pid}/ns/net").readlink() == mine:
        pass
