"""How large this machine is: processors, memory, and what the processor calls itself."""

import os
from pathlib import Path

RESERVE_MIB = 512  # the host and noded, whatever the machine's size
RESERVE_SHARE = 16  # one part in so many more, for QEMU beside its guests' memory


def cpu_count() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_for_guests_mib() -> int:
    """The machine's memory, less what the host, noded and QEMU itself need."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    return max(0, whole - RESERVE_MIB - whole // RESERVE_SHARE)


def cpu_model() -> str:
    """The processor's own name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return "unknown"
