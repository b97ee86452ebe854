"""What is killed, and how it comes back: what an init system does for it, and nobody helps beyond that."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab.lab import Lab, LabHost

Mend = Callable[[], None]
AWAY_S = (0.2, 3.0)


def processes(host: LabHost, *words: str) -> list[int]:
    """The host's processes whose command line has all these words."""
    found = []
    for pid in host.pids():
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if all(word in line for word in words):
                found.append(pid)
    return found


def _kill(pids: list[int]) -> bool:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(pids)


def _nothing() -> None:
    """The daemon starts it again."""


def daemon(_lab: Lab, host: LabHost, dice: random.Random) -> Mend:
    host.stop_daemon(kill=True)

    def mend() -> None:
        time.sleep(dice.uniform(*AWAY_S))
        host.start_daemon()

    return mend


def all_daemons(lab: Lab, _host: LabHost, dice: random.Random) -> Mend:
    for each in lab.hosts:
        each.stop_daemon(kill=True)

    def mend() -> None:
        time.sleep(dice.uniform(*AWAY_S))
        for each in dice.sample(lab.hosts, len(lab.hosts)):
            each.start_daemon()

    return mend


def volume_server(lab: Lab, host: LabHost, dice: random.Random) -> Mend:
    """One of those that run now, on that host if it has any; it is the file view (FUSE) of its volume too."""
    for each in (host, *lab.hosts):
        pids = processes(each, "storage.host.volume_server")
        if pids:
            _kill([dice.choice(pids)])
            break
    return _nothing


def all_volume_servers(lab: Lab, _host: LabHost, _dice: random.Random) -> Mend:
    for each in lab.hosts:
        _kill(processes(each, "storage.host.volume_server"))
    return _nothing


def extent_server(_lab: Lab, host: LabHost, _dice: random.Random) -> Mend:
    _kill(processes(host, "storage.host.extent_server"))
    return _nothing


def libvirtd(_lab: Lab, host: LabHost, dice: random.Random) -> Mend:
    host.stop_libvirtd()

    def mend() -> None:
        time.sleep(dice.uniform(*AWAY_S))
        host.start_libvirtd()

    return mend


def qemu(lab: Lab, _host: LabHost, _dice: random.Random) -> Mend:
    for each in lab.hosts:
        if _kill(processes(each, "qemu-system-x86_64", "guest=")):
            break
    return _nothing


def power(_lab: Lab, host: LabHost, dice: random.Random) -> Mend:
    host.kill(lose_unsynced=dice.random() < 0.5)

    def mend() -> None:
        time.sleep(dice.uniform(*AWAY_S))
        host.start()

    return mend


VICTIMS: dict[str, Callable[[Lab, LabHost, random.Random], Mend]] = {
    "daemon": daemon,
    "all daemons": all_daemons,
    "volume server": volume_server,
    "all volume servers": all_volume_servers,
    "extent server": extent_server,
    "libvirtd": libvirtd,
    "QEMU": qemu,
    "power": power,
}
