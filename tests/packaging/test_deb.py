"""Does the Debian package install on a machine, and can systemd use what it brings?

The machine is this one, seen through an overlay in a chroot that ends with the test: nothing is installed for real.
"""

import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.commands import call
from tests.lab.plan import PROJECT

pytestmark = pytest.mark.root

ADDITIONS = "/etc/apparmor.d/local/abstractions/libvirt-qemu"
# Holds the overlay while it lives; its mounts are its own, so they go with it.
HOLD = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs tmpfs "$1/root/run"
mount --bind "$2" "$1/root/mnt"
echo ready
read -r _
"""


class Machine:
    """A throw-away twin of this machine."""

    def __init__(self, directory: Path, package: Path) -> None:
        self._root = f"{directory}/root"
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", HOLD, "hold", directory, package.parent],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"

    def run(self, *command: str) -> str:
        enter = ("nsenter", "--target", str(self._holder.pid), "--mount", "chroot", self._root)
        return call(*enter, *command, timeout_s=120)

    def close(self) -> None:
        self._holder.communicate("end\n")


@pytest.fixture(scope="module")
def package() -> Path:
    built = call("/usr/bin/python3", str(PROJECT / "packaging" / "deb.py"), timeout_s=600)
    return Path(built.splitlines()[-1])


@pytest.fixture(scope="module")
def machine(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("machine"), package)
    try:
        machine.wait()
        machine.run("dpkg", "--install", f"/mnt/{package.name}")
        yield machine
    finally:
        machine.close()


def test_the_installed_program_is_this_release(machine: Machine) -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert machine.run("noded", "--version").split()[-1] == version
    assert machine.run("/usr/lib/noded/bin/python", "-c", "import noded; print(noded.__file__)").startswith("/usr/lib/")


def test_every_module_of_the_daemon_can_be_imported_there(machine: Machine) -> None:
    machine.run(
        "env", "-C", "/", "/usr/lib/noded/bin/python", "-W", "error::ImportWarning", "-c", "import noded.daemon"
    )


def test_systemd_accepts_the_unit(machine: Machine) -> None:
    machine.run("systemd-analyze", "verify", "noded.service")


def test_qemu_may_reach_the_sockets_and_nobody_else_the_keys(machine: Machine) -> None:
    assert "noded" in machine.run("id", "-nG", "libvirt-qemu").split()
    modes = machine.run("stat", "-c", "%a %G %n", "/run/noded", "/var/lib/noded", "/etc/noded/noded.toml")
    assert modes.splitlines() == [
        "710 noded /run/noded",
        "700 root /var/lib/noded",
        "600 root /etc/noded/noded.toml",
    ]


def test_apparmor_lets_qemu_reach_its_disks(machine: Machine) -> None:
    additions = machine.run("cat", ADDITIONS)
    assert additions.count("include if exists <abstractions/noded-qemu>") == 1
    machine.run("dpkg-reconfigure", "noded")
    assert machine.run("cat", ADDITIONS) == additions


def test_removal_keeps_the_nodes_data(machine: Machine) -> None:
    machine.run("touch", "/var/lib/noded/precious")
    machine.run("dpkg", "--purge", "noded")
    machine.run("test", "-e", "/var/lib/noded/precious")
    machine.run("test", "!", "-e", "/etc/noded")
    assert "noded" not in machine.run("cat", ADDITIONS)
