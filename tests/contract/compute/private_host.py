"""A host of its own for the real hypervisor: namespaces, a libvirtd, volumes over NBD. It ends with the test run."""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DRIVERS = Path("/usr/lib/x86_64-linux-gnu/libvirt/connection-driver")
NEEDED = ("libvirt_driver_qemu.so", "libvirt_driver_secret.so")
READY_S_MAX = 60.0
UNSHARE = (
    *("unshare", "-m", "-n", "-p", "-u", "-i", "--fork", "--mount-proc"),
    *("--kill-child=KILL", "--propagation", "private"),
)

BOOT = """\
set -eu
dir=$1
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
for tree in var/lib/libvirt var/cache/libvirt var/log/libvirt etc/libvirt; do
    mkdir -p "$dir/$tree" "/$tree"
    mount --bind "$dir/$tree" "/$tree"
done
mkdir "$dir/dev"
mount -t tmpfs -o mode=755 tmpfs "$dir/dev"
for node in null zero full random urandom tty; do cp -a "/dev/$node" "$dir/dev/$node"; done
mkdir "$dir/dev/net" "$dir/dev/pts" "$dir/dev/shm"
cp -a /dev/net/tun "$dir/dev/net/tun"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$dir/dev/pts"
ln -s pts/ptmx "$dir/dev/ptmx"
mount --rbind "$dir/dev" /dev
mount -t sysfs sysfs /sys
ip link set lo up
touch "$dir/booted"
exec env --ignore-signal=CHLD sleep infinity
"""

LIBVIRTD = """\
auth_unix_rw = "none"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
listen_tls = 0
"""

QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
max_core = 0
"""


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _until(done: object, what: str) -> None:
    deadline = time.monotonic() + READY_S_MAX
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"{what} took longer than {READY_S_MAX} s"
        time.sleep(0.01)


class PrivateHost:
    """The host while it is up."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name, text in (("libvirtd.conf", LIBVIRTD), ("qemu.conf", QEMU)):
            path = directory / "etc/libvirt" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        drivers = directory / "drivers"
        drivers.mkdir()
        for name in NEEDED:
            (drivers / name).symlink_to(DRIVERS / name)
        (directory / "boot.sh").write_text(BOOT)
        self._log = (directory / "log").open("ab")
        self._spawned: list[subprocess.Popen[bytes]] = []
        self._unshare = subprocess.Popen(
            [*UNSHARE, "sh", str(directory / "boot.sh"), str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  # nothing else in this process has threads that hold locks
        )
        _until((directory / "booted").exists, "booting the private host")
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children").read_text()
        self.pid = int(children.split()[0])

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket=/proc/{self.pid}/root/run/libvirt/libvirt-sock"

    def _inside(self, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "--", *command]

    def run(self, *command: str) -> str:
        return subprocess.run(self._inside(*command), check=True, capture_output=True, text=True).stdout

    def spawn(self, *command: str) -> None:
        """Start a program that the host's end will end."""
        self._spawned.append(
            subprocess.Popen(self._inside(*command), stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        )

    def start_libvirtd(self) -> None:
        self.spawn("env", f"LIBVIRT_DRIVER_DIR={self.directory}/drivers", "libvirtd")
        _until(self._answers, "starting libvirtd")

    def kill_libvirtd(self) -> None:
        self.run("sh", "-c", "kill -9 $(cat /run/libvirtd.pid)")
        _until(lambda: not self._answers(), "killing libvirtd")

    def _answers(self) -> bool:
        command = self._inside("virsh", "-q", "-c", "qemu:///system", "list")
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def virsh(self, *words: str) -> str:
        return self.run("virsh", "-q", "-c", "qemu:///system", *words)

    def serve(self, volume_id: str, content: bytes) -> str:
        """Serve a volume over NBD; the socket's path."""
        disk = self.directory / volume_id
        if not disk.exists():
            disk.write_bytes(content)
        socket = self.directory / f"{volume_id[:8]}.sock"
        socket.unlink(missing_ok=True)
        pid_file = self._nbd_pid_file(volume_id)
        pid_file.unlink(missing_ok=True)
        self.spawn(
            *("qemu-nbd", "--persistent", "--shared=0", "--format=raw", "--cache=none", "--fork"),
            *(f"--pid-file={pid_file}", f"--socket={socket}", f"--export-name={volume_id}", str(disk)),
        )
        _until(lambda: pid_file.exists() and socket.exists(), "serving a volume")
        return str(socket)

    def stop_serving(self, volume_id: str) -> None:
        pid_file = self._nbd_pid_file(volume_id)
        self.run("sh", "-c", f"kill -9 $(cat {pid_file})")

    def _nbd_pid_file(self, volume_id: str) -> Path:
        return self.directory / f"{volume_id[:8]}.pid"

    def power_off(self) -> None:
        self._unshare.kill()
        self._unshare.wait()
        for process in self._spawned:
            process.wait()
        self._log.close()


@contextmanager
def private_host() -> Iterator[PrivateHost]:
    # A short path: a socket's has at most 107 characters.
    directory = Path(tempfile.mkdtemp(prefix="noded-compute-"))
    try:
        host = PrivateHost(directory)
        try:
            host.start_libvirtd()
            yield host
        finally:
            host.power_off()
    finally:
        shutil.rmtree(directory)
        assert not os.path.exists(directory)
