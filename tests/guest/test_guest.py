"""Does the guest image do what a cloud's guest must: boot in seconds, obey the metadata, let its owner in?"""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.build import guest_image
from tests.lab.commands import call

BOOT_SECONDS_MAX = 40
METADATA = Path(__file__).with_name("metadata.py")
USER_DATA = """#!/bin/sh
echo "user-data ran on $(hostname)"
blocks write /root/blocks 64 7 && blocks verify /root/blocks 64 7 && echo "blocks are intact"
blocks verify /root/blocks 64 8 || echo "blocks of another pass are refused"
"""


class Guest:
    """A guest under QEMU's emulation, with its metadata from files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.console = directory / "console.log"
        self.monitor = directory / "monitor"
        self.key = directory / "key"
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key))
        (directory / "user_data").write_text(USER_DATA)
        disk = directory / "disk.qcow2"
        call(
            "qemu-img", "create", "-q", "-f", "qcow2", "-b", str(guest_image().qcow2), "-F", "qcow2", str(disk), "300M"
        )
        self.ssh_port = _free_port()
        metadata = f"guestfwd=tcp:169.254.169.254:80-cmd:{sys.executable} {METADATA} {directory}"
        network = f"user,id=n,net=169.254.0.0/16,dhcpstart=169.254.1.10,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22,"
        self.process = subprocess.Popen(
            [
                *("qemu-system-x86_64", "-accel", "tcg,tb-size=32", "-m", "128", "-display", "none", "-nodefaults"),
                *("-serial", f"file:{self.console}", "-monitor", f"unix:{self.monitor},server,nowait"),
                *("-drive", f"if=none,id=d,file={disk}", "-device", "virtio-blk-pci,drive=d,serial=root-disk"),
                *("-netdev", network + metadata, "-device", "virtio-net-pci,netdev=n,romfile="),
                *("-device", "virtio-rng-pci"),
            ]
        )

    def wait_console(self, text: str) -> str:
        deadline = time.monotonic() + BOOT_SECONDS_MAX
        while text not in (seen := self.said()):
            assert self.process.poll() is None, f"QEMU ended:\n{seen}"
            assert time.monotonic() < deadline, f"no {text!r} on the console:\n{seen}"
            time.sleep(0.05)
        return seen

    def said(self) -> str:
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def ssh(self, *command: str, key: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["ssh", *self.ssh_options(key), "-p", str(self.ssh_port), "guest@127.0.0.1", *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def ssh_options(self, key: Path | None = None) -> list[str]:
        stranger = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes")
        return [*stranger, "-i", str(key or self.key)]

    def power_button(self) -> None:
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self.monitor))
            with monitor.makefile("rwb", buffering=0) as stream:
                stream.readline()  # its greeting
                stream.write(b"system_powerdown\n")
                while b"system_powerdown" not in stream.readline():
                    continue

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    guest = Guest(tmp_path_factory.mktemp("guest"))
    try:
        guest.wait_console("=== guest: ready")
        yield guest
    finally:
        guest.close()


def test_the_console_tells_what_dhcp_and_metadata_said(guest: Guest) -> None:
    said = guest.said()
    assert "=== guest: dhcp eth0 169.254.1.10/16" in said
    assert "metadata server 11111111-2222-3333-4444-555555555555 hostname first keys 1" in said
    assert re.search(r"=== guest: host key SHA256:\S{43}", said)
    assert "login:" in guest.wait_console("login:")


def test_user_data_ran_and_blocks_are_written_and_checked(guest: Guest) -> None:
    said = guest.said()
    assert "user-data ran on first" in said
    assert "blocks are intact" in said
    assert "blocks of another pass are refused" in said
    assert "user-data ended with status 0" in said


def test_the_owner_logs_in_with_the_key_and_the_console_says_so(guest: Guest) -> None:
    answer = guest.ssh("sudo id -u; hostname; cat /etc/hostname")
    assert answer.stdout.split() == ["0", "first", "first"], answer.stderr
    assert "Pubkey auth succeeded for 'guest'" in guest.said()


def test_nobody_else_logs_in(guest: Guest, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger))
    answer = guest.ssh("true", key=stranger)
    assert answer.returncode == 255
    assert "Permission denied (publickey)" in answer.stderr


def test_the_root_grew_and_the_disk_has_its_serial(guest: Guest) -> None:
    answer = guest.ssh("df -m / | tail -1; readlink /dev/disk/by-id/virtio-root-disk")
    size, link = answer.stdout.split("\n")[:2]
    assert int(size.split()[1]) > 200
    assert link == "../../vda"


def test_a_guest_can_log_in_to_another_with_an_openssh_key(guest: Guest) -> None:
    subprocess.run(
        ["scp", "-q", "-P", str(guest.ssh_port), *guest.ssh_options(), str(guest.key), "guest@127.0.0.1:/root/key"],
        check=True,
    )
    answer = guest.ssh(
        "dropbearconvert openssh dropbear /root/key /root/id && ssh -y -i /root/id guest@127.0.0.1 hostname"
    )
    assert answer.stdout.split() == ["first"], answer.stderr


def test_the_power_button_ends_the_guest_in_order(guest: Guest) -> None:
    guest.power_button()
    guest.process.wait(30)
    assert "=== guest: going down" in guest.said()
