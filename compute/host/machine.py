"""How large this machine is: processors, memory, and what the processor calls itself."""

import os
from pathlib import Path


def cpu_count() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_mib() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20


def cpu_model() -> str:
    """The processor's own name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return "unknown"
