"""What this machine's kernel and programs can do for networks, and what can't be done because something is missing."""

import ctypes.util
import os
from pathlib import Path

import structlog
import trio

log = structlog.get_logger(__name__)

_MODULES = ("bridge", "vxlan", "br_netfilter", "nf_conntrack", "nf_conntrack_netlink", "nft_ct", "tun", "veth")
_LOAD_S_MAX = 10.0


async def load_modules() -> None:
    """Load what a modular kernel keeps in files. Where modules are built in, or there are none, nothing happens."""
    with trio.move_on_after(_LOAD_S_MAX):
        try:
            await trio.run_process(["modprobe", "--quiet", "--all", *_MODULES], check=False, capture_stderr=True)
        except OSError as fault:  # no modprobe: then what is missing shows below
            log.info("modules not loaded", why=str(fault))


def missing() -> tuple[str, ...]:
    """Each thing that is missing, with what can't be done without it."""
    found = []
    if os.geteuid() != 0:
        found.append("root: no network can be built on this node")
    if not Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
        found.append("kernel module br_netfilter: security groups can't be enforced, so no port is carried")
    if not Path("/proc/sys/net/netfilter/nf_conntrack_max").exists():
        found.append("kernel module nf_conntrack: security groups can't be enforced, so no port is carried")
    if not Path("/dev/net/tun").exists():
        found.append("/dev/net/tun: guests can't have network cards")
    if ctypes.util.find_library("nftables") is None:
        found.append("package libnftables1: security groups can't be enforced, so no port is carried")
    return tuple(found)
