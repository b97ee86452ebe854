"""The process that holds a lab: while it lives the lab lives, when it ends everything of the lab ends.

It is started in a network namespace of its own (the switch) and serves one request after the other on the unix socket
`control` in the lab's directory: a JSON line in, a JSON line out. An optional lifeline, a pipe that nobody writes to,
ends it when the process at the other end is gone, even by SIGKILL.
"""

import argparse
import contextlib
import fcntl
import json
import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.lab import switch
from tests.lab.commands import LabError
from tests.lab.host import Host
from tests.lab.plan import Plan, load

CONTROL = "control"
LOCK = "lock"


class Down(Exception):
    """Somebody asked for the end, or the one who wanted the lab is gone."""


class Supervisor:
    """The hosts and what may be asked of them; each public method is a request of the same name."""

    def __init__(self, plan: Plan) -> None:
        secret = _secret(plan.root)
        self._hosts = {host.number: Host(plan, host, secret) for host in plan.hosts}
        self._cuts: set[tuple[int, int]] = set()

    def boot(self, host: int) -> None:
        self._host(host).boot()

    def start_daemon(self, host: int) -> None:
        self._host(host).start_daemon()

    def stop_daemon(self, host: int, *, kill: bool = False) -> None:
        self._host(host).stop_daemon(kill=kill)

    def stop_libvirtd(self, host: int) -> None:
        self._host(host).stop_libvirtd()

    def start_libvirtd(self, host: int) -> None:
        self._host(host).start_libvirtd()

    def kill(self, host: int, *, lose_unsynced: bool = False) -> None:
        self._host(host).power_off(lose_unsynced=lose_unsynced)

    def kill_all(self, *, lose_unsynced: bool = False) -> None:
        running = [host for host in self._hosts.values() if host.pid is not None]
        # All cables first: to everybody outside, all hosts die in the same moment.
        for host in running:
            switch.unplug(host.plan)
        for host in running:
            host.power_off(lose_unsynced=lose_unsynced, is_unplugged=True)

    def blank(self, host: int) -> None:
        self._host(host).blank()

    def readdress(self, host: int, place: int) -> None:
        self._host(host).readdress(place)

    def cut(self, source: int, target: int, *, one_way: bool = False) -> None:
        self._cuts.add((source, target))
        if not one_way:
            self._cuts.add((target, source))
        self._apply_cuts()

    def heal(self) -> None:
        self._cuts.clear()
        self._apply_cuts()

    def status(self) -> dict[str, Any]:
        return {"hosts": [host.status() for host in self._hosts.values()], "cuts": sorted(self._cuts)}

    def down(self) -> None:
        """Stop the daemons, then switch all hosts off. The state stays on their disks."""
        for host in self._hosts.values():
            if host.daemon_state() == "running":
                with contextlib.suppress(LabError):
                    host.stop_daemon()
        for host in self._hosts.values():
            if host.pid is not None:
                host.power_off()
        raise Down

    def _host(self, number: int) -> Host:
        if number not in self._hosts:
            raise LabError(f"there is no host {number}; this lab has 1 to {len(self._hosts)}")
        return self._hosts[number]

    def _apply_cuts(self) -> None:
        switch.cut((self._host(one).plan, self._host(other).plan) for one, other in self._cuts)


def serve(supervisor: Supervisor, listener: socket.socket, lifeline: int | None) -> None:
    """Answer requests, one at a time, until the end is asked for or the lifeline breaks."""
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        if lifeline is not None:
            selector.register(lifeline, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not listener:
                    return
                with contextlib.suppress(BrokenPipeError, ConnectionResetError), listener.accept()[0] as caller:
                    if _answer(supervisor, caller):
                        return


def _answer(supervisor: Supervisor, caller: socket.socket) -> bool:
    """Serve one request; True if it was the last."""
    with caller.makefile("rw", encoding="utf-8") as stream:
        request = json.loads(stream.readline())
        method: Callable[..., Any] = getattr(supervisor, request.pop("do"))
        last = False
        try:
            reply = {"result": method(**request)}
        except Down:
            reply, last = {"result": None}, True
        except (LabError, OSError, subprocess.SubprocessError) as error:
            reply = {"error": str(error)}
        stream.write(json.dumps(reply) + "\n")
        return last


def _secret(root: Path) -> str:
    """The secret by which the hosts of this lab know one another; made once."""
    path = root / "secret"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(16) + "\n")
    return path.read_text().strip()


@contextlib.contextmanager
def _listener(root: Path) -> Iterator[socket.socket]:
    """The control socket. Bound by its relative name, for the whole path may be too long for a socket's address."""
    os.chdir(root)
    Path(CONTROL).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(CONTROL)
        listener.listen()
        try:
            yield listener
        finally:
            Path(CONTROL).unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("machine_pid", type=int, help="a process in the network namespace that gets the outer cable")
    parser.add_argument("--lifeline", type=int, help="a file descriptor whose end of file means the end")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # No child may hold the lifeline or the lock: both speak for this process alone. Python's own files close on exec.
    if options.lifeline is not None:
        os.set_inheritable(options.lifeline, False)
    with (options.root / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        plan = load(options.root)
        assert plan is not None, "the client writes the plan before it starts the supervisor"
        switch.build(plan, options.machine_pid)
        supervisor = Supervisor(plan)
        with _listener(options.root) as listener:
            print("listening", flush=True)
            serve(supervisor, listener, options.lifeline)


if __name__ == "__main__":
    main()
