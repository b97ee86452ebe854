"""One simulated host as the supervisor holds it: its namespaces, its libvirtd and its daemon.

The chain supervisor → `unshare` → pid 1 → everything else is tied by parent-death signals and by the pid namespace:
when any of the three dies, the kernel kills all below it, and mounts, loops and links go with them. Processes of a
host are started from the supervisor's only thread, since a parent-death signal follows the thread that forked.
"""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, Any

from tests.lab import disks, hypervisor, switch
from tests.lab.commands import LabError, inside
from tests.lab.plan import DISK_BYTES, SYSTEM_BYTES, HostPlan, Plan
from tests.lab.unit import confined

BOOT_SCRIPT = Path(__file__).with_name("boot.sh")
# --kill-child makes pid 1 die with unshare, setpriv makes unshare die with the supervisor.
OUTER_COMMAND = (
    *("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--uts", "--ipc", "--net", "--pid"),
    *("--fork", "--mount-proc", "--kill-child=KILL", "--propagation", "private"),
)
RELEASE_SECONDS_MAX = 15.0
LIBVIRT_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 15.0

CONFIG = """\
name = "{name}"
cluster = "lab"
secret = "{secret}"
expect = {expect}
interface = "eth0"
"""
FIXED = 'address = "{address}"\n'
WORK = """\
disks = ["/var/lib/noded/disks/d1"]
guest_memory_mib = {guest_memory_mib}
"""
WITNESS = 'role = "witness"\n'


class Host:
    """What runs of one host. Off after construction."""

    def __init__(self, lab: Plan, plan: HostPlan, secret: str) -> None:
        self._lab = lab
        self.plan = plan
        self._secret = secret
        self._outer: subprocess.Popen[str] | None = None
        self._libvirtd: subprocess.Popen[bytes] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None
        self.pid: int | None = None

    def boot(self) -> None:
        """Switch the host on: namespaces, disks, cable, libvirtd. The daemon is started separately."""
        if self.pid is not None:
            raise LabError(f"{self.plan.name} is on already")
        self._prepare()
        with (self.plan.logs / "boot.log").open("w") as log:
            self._outer = subprocess.Popen(
                [*OUTER_COMMAND, "sh", str(BOOT_SCRIPT), str(self.plan.directory), self.plan.name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._outer.stdout is not None
        if self._outer.stdout.readline().strip() != "ready":
            self._outer.wait()
            raise LabError(f"{self.plan.name} did not boot:\n{(self.plan.logs / 'boot.log').read_text()}")
        self._outer.stdout.close()
        self.pid = int(Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()[0])
        switch.plug(self.plan, self.pid)
        if not self.plan.witness:
            self._libvirtd = self._spawn("libvirtd", hypervisor.start_command())

    def power_off(self, *, lose_unsynced: bool = False, is_unplugged: bool = False) -> None:
        """End every process of the host at once, as a power cut does. Returns when its disks are free again."""
        if self.pid is None or self._outer is None:
            raise LabError(f"{self.plan.name} is off already")
        if not is_unplugged:
            switch.unplug(self.plan)
        if lose_unsynced:
            # Unplugged before, so that nobody hears the errors that the dying processes may see.
            root = Path(f"/proc/{self.pid}/root")
            for mount_point in ("var/lib/noded/disks/d1", "run/system"):
                disks.lose_unsynced(root / mount_point)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        for process in (self._outer, self._libvirtd, self._daemon):
            if process is not None:
                process.wait()
        self.pid = self._outer = self._libvirtd = self._daemon = None
        self._await_released_disks()

    def blank(self) -> None:
        """Put new, empty disks into a host that is off: another machine in its place."""
        if self.pid is not None:
            raise LabError(f"{self.plan.name} is on; switch it off first")
        for image in (self.plan.system_image, self.plan.disk_image):
            image.unlink(missing_ok=True)

    def readdress(self, place: int) -> None:
        """Give the host another address, as a DHCP server does: at once if it is on, else from its next boot on."""
        before, self.plan = self.plan, dataclasses.replace(self.plan, place=place)
        if self.pid is not None:
            switch.readdress(before.address, self.plan.address, self.pid)

    def start_daemon(self) -> None:
        """Start the daemon, as the unit does: after libvirtd."""
        if self.daemon_state() == "running":
            raise LabError(f"the daemon of {self.plan.name} runs already")
        if not self.plan.witness:
            self._await_libvirtd()
        self._daemon = self._spawn("noded", [*confined(), *self._lab.daemon])

    def stop_daemon(self, *, kill: bool = False) -> None:
        """Stop the daemon alone. What it started detached (extent and volume servers, guests) lives on."""
        if self._daemon is None or self.daemon_state() != "running":
            raise LabError(f"the daemon of {self.plan.name} does not run")
        _kill_children(self._daemon.pid, signal.SIGKILL if kill else signal.SIGTERM)
        try:
            self._daemon.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise LabError(f"the daemon of {self.plan.name} did not stop in {STOP_SECONDS_MAX:.0f} s") from None

    def stop_libvirtd(self) -> None:
        """Kill libvirtd alone; its guests run on."""
        if self._libvirtd is None or self._libvirtd.poll() is not None:
            raise LabError(f"libvirtd of {self.plan.name} does not run")
        _kill_children(self._libvirtd.pid, signal.SIGKILL)
        self._libvirtd.wait(STOP_SECONDS_MAX)

    def start_libvirtd(self) -> None:
        """Start libvirtd again, as its unit does."""
        if self._libvirtd is None or self._libvirtd.poll() is None:
            raise LabError(f"libvirtd of {self.plan.name} runs already, or the host is off")
        self._libvirtd = self._spawn("libvirtd", hypervisor.start_command())

    def daemon_state(self) -> str:
        """`stopped`, `running`, or how it ended by itself."""
        if self._daemon is None:
            return "stopped"
        code = self._daemon.poll()
        return "running" if code is None else f"ended with status {code}"

    def status(self) -> dict[str, Any]:
        return {"host": self.plan.number, "pid": self.pid, "daemon": self.daemon_state()}

    def _prepare(self) -> None:
        self.plan.logs.mkdir(parents=True, exist_ok=True)
        disks.create(self.plan.system_image, SYSTEM_BYTES)
        disks.create(self.plan.disk_image, DISK_BYTES)
        hypervisor.configure(self.plan)
        etc = self.plan.directory / "etc"
        (etc / "noded").mkdir(exist_ok=True)
        config = etc / "noded" / "noded.toml"
        config.touch(mode=0o600)
        config.write_text(self._config())
        names = [f"{host.address} {host.name}" for host in self._lab.hosts]
        (etc / "hosts").write_text("\n".join(["127.0.0.1 localhost", "::1 localhost", *names]) + "\n")
        (etc / "hostname").write_text(self.plan.name + "\n")
        (etc / "machine-id").write_text(self.plan.uuid.hex + "\n")

    def _config(self) -> str:
        text = CONFIG + (WITNESS if self.plan.witness else WORK) + ("" if self._lab.soft_addresses else FIXED)
        return text.format(
            name=self.plan.name,
            secret=self._secret,
            expect=self._lab.expect or self._lab.hosts_count,
            address=self.plan.address,
            guest_memory_mib=_machine_memory_mib() // 2 // self._lab.hosts_count,
        )

    def _spawn(self, name: str, command: list[str] | tuple[str, ...]) -> "subprocess.Popen[bytes]":
        assert self.pid is not None
        with self._log(name) as log:
            return subprocess.Popen(
                inside(self.pid, command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _log(self, name: str) -> IO[bytes]:
        return (self.plan.logs / f"{name}.log").open("ab")

    def _await_libvirtd(self) -> None:
        assert self._libvirtd is not None
        socket = Path(f"/proc/{self.pid}/root") / hypervisor.SOCKET
        deadline = time.monotonic() + LIBVIRT_SECONDS_MAX
        while not socket.exists():
            if self._libvirtd.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"libvirtd of {self.plan.name} did not start, see {self.plan.logs / 'libvirtd.log'}")
            time.sleep(0.02)

    def _await_released_disks(self) -> None:
        # The kernel unmounts behind the last process of the namespace, not before its parent hears of the end.
        deadline = time.monotonic() + RELEASE_SECONDS_MAX
        while busy := disks.attached(self.plan.directory):
            if time.monotonic() > deadline:
                raise LabError(f"{self.plan.name} is off, but the kernel still holds {json.dumps(busy)}")
            time.sleep(0.01)


def _kill_children(pid: int, number: signal.Signals) -> None:
    """A signal must go to nsenter's child: nsenter itself stays outside the host's pid namespace."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(child), number)


def _machine_memory_mib() -> int:
    """The hosts share one machine, though each sees all of it: half of it is for their guests."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
