"""The lab as a test or a command holds it: starts the supervisor, asks it for things, runs programs in hosts.

    with Lab(Plan(root=tmp, hosts_count=3)) as lab:
        lab.host(2).kill()

Nothing here keeps a lab alive but the lifeline, a pipe whose writing end only this process has.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab import disks
from tests.lab.commands import LabError, call, inside
from tests.lab.plan import HOSTS_MAX, PROJECT, HostPlan, Plan, load
from tests.lab.supervisor import CONTROL, LOCK

SUPERVISOR_COMMAND = ("unshare", "--net", sys.executable, "-m", "tests.lab.supervisor")
READY_SECONDS_MAX = 90.0
REQUEST_SECONDS_MAX = 60.0
END_SECONDS_MAX = 15.0


class LabHost:
    """One host of a running lab."""

    def __init__(self, lab: "Lab", plan: HostPlan) -> None:
        self._lab = lab
        self.number = plan.number
        self.name = plan.name
        self.plan = plan

    @property
    def address(self) -> str:
        return self.plan.address

    @property
    def url(self) -> str:
        return f"https://{self.address}"

    @property
    def pid(self) -> int | None:
        """The host's pid 1 as the machine numbers it; None when the host is off."""
        pid: int | None = self._lab.status()["hosts"][self.number - 1]["pid"]
        return pid

    @property
    def daemon(self) -> str:
        """`running`, `stopped`, or how the daemon ended by itself."""
        state: str = self._lab.status()["hosts"][self.number - 1]["daemon"]
        return state

    def command(self, *command: str) -> list[str]:
        """What the machine must execute to run `command` in this host."""
        pid = self.pid
        if pid is None:
            raise LabError(f"{self.name} is off; start it first")
        return inside(pid, command)

    def run(self, *command: str, check: bool = True, stdin: str | None = None, timeout_s: float = 60) -> str:
        """Run a program in this host to its end; what it wrote on standard output (and on error, all of it)."""
        done = subprocess.run(
            self.command(*command), input=stdin, text=True, capture_output=True, timeout=timeout_s, check=False
        )
        if check and done.returncode:
            raise LabError(
                f"{self.name}: {' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def popen(self, *command: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a program in this host. It ends with the host at the latest."""
        return subprocess.Popen(self.command(*command), text=True, **options)

    def path(self, path: str) -> Path:
        """The machine's name for a file that the running host calls `path`."""
        pid = self.pid
        if pid is None:
            raise LabError(f"{self.name} is off; its file systems are only there while it runs")
        return Path(f"/proc/{pid}/root") / path.lstrip("/")

    def pids(self) -> list[int]:
        """Every process of this host, as the machine numbers them."""
        mine = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(process / "ns" / "pid") == mine:
                    found.append(int(process.name))
        return sorted(found)

    def kill(self, *, lose_unsynced: bool = False) -> None:
        """Cut the power; with `lose_unsynced`, what no program synced is gone from its disks."""
        self._lab.request("kill", host=self.number, lose_unsynced=lose_unsynced)

    def start(self) -> None:
        """Switch the host on and start its daemon; does not wait until that is ready."""
        self._lab.request("boot", host=self.number)
        self._lab.request("start_daemon", host=self.number)

    def blank(self) -> None:
        """Another machine takes this one's place, which is off: new, empty disks."""
        self._lab.request("blank", host=self.number)

    def readdress(self, place: int) -> None:
        """Another address, ending in `place`: at once if it is on, else from its next boot on."""
        self._lab.request("readdress", host=self.number, place=place)
        self.plan = dataclasses.replace(self.plan, place=place)

    def start_daemon(self) -> None:
        self._lab.request("start_daemon", host=self.number)

    def stop_daemon(self, *, kill: bool = False) -> None:
        """End the daemon alone, by SIGTERM or SIGKILL; what it started detached lives on."""
        self._lab.request("stop_daemon", host=self.number, kill=kill)

    def stop_libvirtd(self) -> None:
        """Kill libvirtd alone; its guests run on."""
        self._lab.request("stop_libvirtd", host=self.number)

    def start_libvirtd(self) -> None:
        self._lab.request("start_libvirtd", host=self.number)

    def ready(self) -> bool:
        """Whether this host's daemon says that it serves."""
        try:
            context = ssl.create_default_context(cafile=str(self.path("/var/lib/noded/tls/ca.crt")))
            with urllib.request.urlopen(f"{self.url}/healthz", context=context, timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError, TimeoutError):
            return False


class Lab:
    """A lab of simulated hosts: `up` to `down`, or for the length of a `with` block."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.hosts = tuple(LabHost(self, host) for host in plan.hosts)
        self._supervisor: subprocess.Popen[str] | None = None
        self._lifeline: int | None = None

    def host(self, number: int) -> LabHost:
        """Hosts are numbered from 1."""
        return self.hosts[number - 1]

    def __enter__(self) -> Self:
        self.hold()
        try:
            self.boot()
            self.wait_ready()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def hold(self, *, detached: bool = False) -> None:
        """Start the supervisor: an empty lab. Unless `detached`, it ends when this process does."""
        self._check_plan()
        self.plan.root.mkdir(parents=True, exist_ok=True, mode=0o755)
        self.plan.save()
        lifeline, options = None, []
        if not detached:
            lifeline, self._lifeline = os.pipe()
            options = ["--lifeline", str(lifeline)]
        with (self.plan.root / "supervisor.log").open("a") as log:
            self._supervisor = subprocess.Popen(
                [*SUPERVISOR_COMMAND, str(self.plan.root), str(os.getpid()), *options],
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                pass_fds=() if lifeline is None else (lifeline,),
                start_new_session=True,
            )
        if lifeline is not None:
            os.close(lifeline)
        assert self._supervisor.stdout is not None
        listening = self._supervisor.stdout.readline()
        self._supervisor.stdout.close()
        if not listening:
            self._end_supervisor()
            said = (self.plan.root / "supervisor.log").read_text().splitlines()[-12:]
            raise LabError("the lab's supervisor did not start:\n" + "\n".join(said))

    def boot(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Switch all hosts on and start their daemons."""
        for host in self.hosts:
            say(f"{host.name}: disks, namespaces, cable, libvirtd")
            self.request("boot", host=host.number)
        for host in self.hosts:
            say(f"{host.name}: noded daemon")
            self.request("start_daemon", host=host.number)

    def wait_ready(self, seconds_max: float = READY_SECONDS_MAX, say: Callable[[str], None] = lambda _: None) -> None:
        """Return when every host that is on serves its API."""
        deadline = time.monotonic() + seconds_max
        waiting = [host for host in self.hosts if host.pid is not None]
        while waiting:
            for host in list(waiting):
                if host.ready():
                    waiting.remove(host)
                    say(f"{host.name}: ready at {host.url}/")
                elif host.daemon != "running" or time.monotonic() > deadline:
                    raise LabError(self._why_not_ready(host, seconds_max))
            if waiting:
                time.sleep(0.1)

    def cut(self, one: int, other: int, *, one_way: bool = False) -> None:
        """Drop all packets between two hosts, or only those from `one` to `other`."""
        self.request("cut", source=one, target=other, one_way=one_way)

    def kill_all(self, *, lose_unsynced: bool = False) -> None:
        """Cut the power of every host in the same moment; with `lose_unsynced`, only what was synced is left."""
        self.request("kill_all", lose_unsynced=lose_unsynced)

    def heal(self) -> None:
        """Undo all cuts."""
        self.request("heal")

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.request("status")
        return status

    def down(self) -> None:
        """End the lab, also what is left of one whose supervisor no longer answers. Its disks stay."""
        ours = self._supervisor is not None or self.running()
        try:
            with contextlib.suppress(LabError):
                self.request("down")
        finally:
            self._end_supervisor()
            if ours:
                self._await_release()

    def wait_end(self) -> None:
        """Return when the supervisor has ended: someone else took the lab down."""
        assert self._supervisor is not None, "only who started it can wait for its end"
        self._supervisor.wait()

    def running(self) -> bool:
        """Whether a supervisor holds this lab."""
        return _lock_holder(self.plan.root) is not None

    def request(self, do: str, **arguments: Any) -> Any:
        """Ask the supervisor for one thing; LabError when it says no or is not there."""
        try:
            directory = os.open(self.plan.root, os.O_PATH)
        except FileNotFoundError:
            raise LabError(f"there is no lab in {self.plan.root}") from None
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(REQUEST_SECONDS_MAX)
                connection.connect(f"/proc/self/fd/{directory}/{CONTROL}")
                with connection.makefile("rw", encoding="utf-8") as stream:
                    stream.write(json.dumps({"do": do, **arguments}) + "\n")
                    stream.flush()
                    line = stream.readline()
        except (FileNotFoundError, ConnectionError):
            raise LabError(f"no lab runs in {self.plan.root}; start it with: python -m tests.lab up") from None
        finally:
            os.close(directory)
        if not line:
            raise LabError(f"the lab's supervisor ended while it did {do}; see {self.plan.root / 'supervisor.log'}")
        reply = json.loads(line)
        if "error" in reply:
            raise LabError(reply["error"])
        return reply["result"]

    def _check_plan(self) -> None:
        if os.geteuid():
            raise LabError("a lab makes namespaces, mounts and links: run it as root")
        earlier = load(self.plan.root)
        if earlier is not None and earlier.hosts_count != self.plan.hosts_count:
            raise LabError(
                f"the lab in {self.plan.root} has {earlier.hosts_count} hosts and keeps their disks; start it with "
                f"that many, or forget it first with: make clean"
            )
        if not 1 <= self.plan.hosts_count <= HOSTS_MAX:
            raise LabError(f"a lab has 1 to {HOSTS_MAX} hosts, not {self.plan.hosts_count}")
        if self.running():
            raise LabError(f"the lab in {self.plan.root} runs already; end it first with: python -m tests.lab down")
        network = f"{self.plan.subnet}.0/24"
        if self._link.exists() or call("ip", "-oneline", "address", "show", "to", network):
            raise LabError(f"another lab on this machine has {self.plan.link} or {network}; end that one first")

    def _why_not_ready(self, host: LabHost, seconds_max: float) -> str:
        state = host.daemon
        why = f"was not ready after {seconds_max:.0f} s" if state == "running" else f"does not run: {state}"
        log = host.plan.logs / "noded.log"
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else "(empty)"
        return f"the daemon of {host.name} {why}. The end of {log}:\n{tail}"

    def _end_supervisor(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        holder = _lock_holder(self.plan.root)
        if holder is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder, signal.SIGKILL)
        if self._supervisor is not None:
            self._supervisor.wait(END_SECONDS_MAX)
            self._supervisor = None

    def _await_release(self) -> None:
        """The kernel takes namespaces apart behind the last process: wait until links and loops are gone too."""
        deadline = time.monotonic() + END_SECONDS_MAX
        while left := self._left_behind():
            if time.monotonic() > deadline:
                raise LabError(f"the lab ended, but {', '.join(left)} stayed")
            time.sleep(0.02)

    def _left_behind(self) -> list[str]:
        left = disks.attached(self.plan.root)
        if self._link.exists():
            left.append(self.plan.link)
        return left

    @property
    def _link(self) -> Path:
        """The machine's end of the cable to the hosts: it is there while the supervisor's namespace is."""
        return Path("/sys/class/net", self.plan.link)


def _lock_holder(root: Path) -> int | None:
    """The supervisor's pid while it lives; its lock cannot outlive it, so a pid file's staleness is no concern."""
    try:
        with (root / LOCK).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read())
    except FileNotFoundError:
        return None
    return None
