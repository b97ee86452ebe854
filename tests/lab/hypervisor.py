"""How a simulated host's own libvirtd is configured: QEMU only, no TCP, nothing that needs cgroups.

QEMU runs as Debian's libvirt-qemu, as it does on real hosts: what it may not reach there it does not reach here.
"""

import shutil
from pathlib import Path

from tests.lab.commands import LabError
from tests.lab.plan import HostPlan

SOCKET = Path("run/libvirt/libvirt-sock")
DRIVERS = Path("/usr/lib/x86_64-linux-gnu/libvirt/connection-driver")
NEEDED = {"libvirt_driver_qemu.so": "libvirt-daemon-driver-qemu", "libvirt_driver_secret.so": "libvirt-daemon"}

LIBVIRTD = """\
host_uuid = "{uuid}"
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
listen_tls = 0
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""

QEMU = """\
user = "libvirt-qemu"
group = "libvirt-qemu"
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
max_core = 0
migration_address = "{address}"
migration_host = "{address}"
"""


def configure(host: HostPlan) -> None:
    """Write the files that the host copies to its /etc/libvirt at boot, and the directory of its drivers."""
    etc = host.directory / "etc" / "libvirt"
    etc.mkdir(parents=True, exist_ok=True)
    (etc / "libvirtd.conf").write_text(LIBVIRTD.format(uuid=host.uuid))
    (etc / "qemu.conf").write_text(QEMU.format(address=host.address))
    (host.logs / "libvirt" / "qemu").mkdir(parents=True, exist_ok=True)
    # With these drivers alone, libvirtd starts no dnsmasq and brings no default network into the host.
    alone = host.directory / "drivers"
    shutil.rmtree(alone, ignore_errors=True)
    alone.mkdir()
    for name, package in NEEDED.items():
        if not (DRIVERS / name).exists():
            raise LabError(f"{DRIVERS / name} is missing: install the package {package}")
        (alone / name).symlink_to(DRIVERS / name)


def start_command() -> list[str]:
    return ["env", "LIBVIRT_DRIVER_DIR=/run/lab/drivers", "libvirtd"]
