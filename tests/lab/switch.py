"""The underlay that joins the hosts: one bridge in the supervisor's network namespace, and the cuts made in it.

Everything here belongs to that namespace and goes with it; the machine's own end of the cable is the peer of a link in
it, so the kernel removes that too when the supervisor ends, however it ends.
"""

from collections.abc import Iterable

from tests.lab.commands import call
from tests.lab.plan import HostPlan, Plan

MACHINE_PORT = "machine"
TABLE = "bridge lab_cuts"


def build(plan: Plan, machine_pid: int) -> None:
    """Make the bridge, and a cable from it to the network namespace of the process `machine_pid`."""
    call("ip", "link", "set", "lo", "up")
    call("ip", "link", "add", "switch", "type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
    call("ip", "link", "set", "switch", "up")
    call("ip", "link", "add", MACHINE_PORT, "type", "veth", "peer", "name", plan.link, "netns", str(machine_pid))
    call("ip", "link", "set", MACHINE_PORT, "master", "switch", "up")
    machine = ("nsenter", "--target", str(machine_pid), "--net", "--", "ip")
    call(*machine, "address", "add", f"{plan.machine_address}/24", "dev", plan.link)
    call(*machine, "link", "set", plan.link, "up")


def plug(host: HostPlan, pid: int) -> None:
    """Give the host its eth0, cabled to the switch, with the host's address on it."""
    cable = ("type", "veth", "peer", "name", "eth0", "address", host.mac, "netns", str(pid))
    call("ip", "link", "add", host.port, *cable)
    call("ip", "link", "set", host.port, "master", "switch", "up")
    interface = ("nsenter", "--target", str(pid), "--net", "--", "ip")
    call(*interface, "address", "add", f"{host.address}/24", "dev", "eth0")
    call(*interface, "link", "set", "eth0", "up")


def readdress(before: str, after: str, pid: int) -> None:
    """Give the running host's eth0 another address, and take the one that it had."""
    interface = ("nsenter", "--target", str(pid), "--net", "--", "ip", "address")
    # The other way round the new one would be the old one's second, and go with it.
    call(*interface, "del", f"{before}/24", "dev", "eth0")
    call(*interface, "add", f"{after}/24", "dev", "eth0")


def unplug(host: HostPlan) -> None:
    """Pull the host's cable: nothing it sends from now on reaches anybody."""
    call("ip", "link", "delete", host.port)


def cut(pairs: Iterable[tuple[HostPlan, HostPlan]]) -> None:
    """Drop every packet from the first to the second host of each pair; replaces all earlier cuts."""
    call("nft", "-f", "-", stdin=ruleset((one.port, other.port) for one, other in pairs))


def ruleset(pairs: Iterable[tuple[str, str]]) -> str:
    """The nft text that replaces the table of cuts. Adding it before deleting makes it hold for a first time too."""
    drops = "\n".join(f'    iifname "{source}" oifname "{target}" drop' for source, target in sorted(pairs))
    return (
        f"add table {TABLE}\ndelete table {TABLE}\n"
        f"table {TABLE} {{\n  chain forward {{\n    type filter hook forward priority 0;\n{drops}\n  }}\n}}\n"
    )
