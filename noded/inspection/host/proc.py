"""How busy and how full is this machine? Reads `/proc` and the disks' file systems (proc(5), statvfs(3))."""

import os
from collections.abc import Sequence
from pathlib import Path

from noded.inspection.model import Space, Vitals

_BUSY_FIELDS = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal; idle and iowait are 3 and 4


class ProcVitals:
    """Implements `VitalsReader`. CPU use is counted between two readings."""

    def __init__(self, disks: Sequence[str]) -> None:
        self._disks = tuple(disks)
        self._busy, self._total = _cpu_ticks()

    def read(self) -> Vitals:
        busy, total = _cpu_ticks()
        passed = total - self._total
        percent = 100.0 * (busy - self._busy) / passed if passed > 0 else 0.0
        self._busy, self._total = busy, total
        return Vitals(
            cpus=os.cpu_count() or 1,
            cpu_percent=round(percent, 1),
            load_1min=os.getloadavg()[0],
            memory=_memory(),
            disks={disk: _disk(disk) for disk in self._disks if Path(disk).is_dir()},
            uptime_s=float(Path("/proc/uptime").read_text().split()[0]),
        )


def _cpu_ticks() -> tuple[int, int]:
    """Busy and all CPU ticks since boot."""
    line = Path("/proc/stat").read_text().split("\n", 1)[0]
    ticks = [int(field) for field in line.split()[1:9]]
    return sum(ticks[field] for field in _BUSY_FIELDS), sum(ticks)


def _memory() -> Space:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total = int(lines["MemTotal"].split()[0]) * 1024
    available = int(lines["MemAvailable"].split()[0]) * 1024
    return Space(total_bytes=total, used_bytes=total - available)


def _disk(directory: str) -> Space:
    figures = os.statvfs(directory)
    total = figures.f_blocks * figures.f_frsize
    return Space(total_bytes=total, used_bytes=total - figures.f_bavail * figures.f_frsize)
