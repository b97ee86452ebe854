"""What a new cloud needs before its first guest boots: image, key, network, two rules; made only if missing."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tests.lab.access import Access, connect
from tests.lab.commands import LabError, call
from tests.lab.lab import Lab
from tests.lab.plan import KEY_FILE
from tests.lab.reach import ssh_command

IMAGE = "guest"
KEYPAIR = "lab"
NETWORK = "private"
SUBNET = "192.168.77.0/24"
FLAVOR = "m1.nano"
SERVER = "first"
BOOT_SECONDS_MAX = 180
READY = "guest is ready"

Say = Callable[[str], None]


class Meter:
    """A file that tells how far it has been read."""

    def __init__(self, file: IO[bytes], size_bytes: int, say: Say) -> None:
        self._file = file
        self._size = size_bytes
        self._say = say
        self._told = -1

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        quarter = 4 * self._file.tell() // self._size
        if quarter > self._told:
            self._told = quarter
            self._say(f"uploading the guest image: {25 * quarter} %")
        return chunk


class FirstGuest:
    """The steps, in the order in which they must be taken."""

    def __init__(self, lab: Lab, access: Access, say: Say) -> None:
        self._lab = lab
        self._cloud = connect(access.clouds_file)
        self._key_file = lab.plan.root / KEY_FILE
        self._say = say

    def import_image(self, qcow2: Path) -> None:
        """A public image of this name, unless there is one that can be used."""
        image: Any = self._cloud.image.find_image(IMAGE)
        if image is not None and image.status == "active":
            return
        if image is None:
            image = self._cloud.image.create_image(
                name=IMAGE, disk_format="qcow2", container_format="bare", visibility="public", min_disk=1
            )
        size_bytes = qcow2.stat().st_size
        with qcow2.open("rb") as file:
            image.data = Meter(file, size_bytes, self._say)
            image.upload(self._cloud.image)
        image = self._cloud.image.get_image(image.id)
        if (image.status, image.size) != ("active", size_bytes):
            # The client tries again by itself, but from where the file then stands.
            raise LabError(f"the image is {image.status} with {image.size} of {size_bytes} bytes; see noded.log")

    def prepare(self) -> None:
        """Keypair, network, subnet, and rules that let ssh and ping in."""
        if not self._key_file.exists():
            call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "noded-lab", "-f", str(self._key_file))
        if self._cloud.compute.find_keypair(KEYPAIR) is None:
            public_key = self._key_file.with_suffix(".pub").read_text().strip()
            self._cloud.compute.create_keypair(name=KEYPAIR, public_key=public_key)
        network: Any = self._cloud.network.find_network(NETWORK)
        if network is None:
            network = self._cloud.network.create_network(name=NETWORK)
        if not list(self._cloud.network.subnets(network_id=network.id)):
            self._cloud.network.create_subnet(network_id=network.id, name=NETWORK, ip_version=4, cidr=SUBNET)
        self._allow("tcp", port_range_min=22, port_range_max=22)
        self._allow("icmp")

    def boot(self) -> None:
        """Boot the server unless it is there, and wait until its guest lets us in."""
        server: Any = self._cloud.compute.find_server(SERVER)
        if server is None:
            self._say(f"creating server {SERVER}")
            server = self._cloud.compute.create_server(
                name=SERVER,
                image_id=self._need(self._cloud.image.find_image(IMAGE), IMAGE).id,
                flavor_id=self._need(self._cloud.compute.find_flavor(FLAVOR), FLAVOR).id,
                networks=[{"uuid": self._need(self._cloud.network.find_network(NETWORK), NETWORK).id}],
                key_name=KEYPAIR,
            )
        deadline = time.monotonic() + BOOT_SECONDS_MAX
        told = ""
        while told != READY:
            server = self._cloud.compute.get_server(server.id)
            stage = self._stage(server)
            if stage != told:
                self._say(f"server {SERVER}: {stage}")
                told = stage
            if server.status == "SHUTOFF":
                return  # somebody stopped it, and may want it so
            if server.status == "ERROR" or time.monotonic() > deadline:
                raise LabError(f"server {SERVER} is {server.status}: {server.fault or 'it took too long to boot'}")
            time.sleep(0.3)

    def _stage(self, server: Any) -> str:
        """How far it has come, from nothing to a guest that can be logged in to."""
        if server.status != "ACTIVE":
            return f"{server.status}, {server.task_state or 'no task'}"
        output: Any = self._cloud.compute.get_server_console_output(server.id)
        # The console's log goes on over a power cut; what counts is what the guest says since it was last switched on.
        boot = (output.get("output") or "").rpartition("SYSLINUX")[2]
        lines = [line.split("===")[-1].strip() for line in boot.splitlines() if "=== guest:" in line]
        if not lines:
            return "ACTIVE, its kernel boots"
        if not lines[-1].startswith("guest: ready"):
            return lines[-1]
        return READY if self._lets_us_in() else "ACTIVE, not on its network yet"

    def _lets_us_in(self) -> bool:
        try:
            call(*ssh_command(self._lab, self._cloud, self._key_file, SERVER, ["true"]), timeout_s=10)
        except (LabError, subprocess.TimeoutExpired):
            return False
        return True

    def _allow(self, protocol: str, **ports: int) -> None:
        group = self._need(self._cloud.network.find_security_group("default"), "default")
        for rule in group.security_group_rules:
            if (rule["direction"], rule["protocol"]) == ("ingress", protocol):
                return
        self._cloud.network.create_security_group_rule(
            security_group_id=group.id, direction="ingress", ether_type="IPv4", protocol=protocol, **ports
        )

    def _need(self, found: Any, name: str) -> Any:
        if found is None:
            raise LabError(f"the cloud has no {name}, though it should have had one by now")
        return found
