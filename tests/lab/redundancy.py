"""What becomes of redundancy when hosts come, die and return: the steps, for a test and for a longer command.

A cloud of four hosts of which three are on; images of random bytes; a guest that writes its root disk, and has a second
volume, on whose socket requests are timed as the guest would see them. Three things are done and measured:

    a fourth host joins           how much moves to it, of what all disks hold
    a host is away for a moment   how much it is brought when it returns, of what was written meanwhile
    a host dies and stays dead    how long until all is whole again, and how much was copied, of what that host held
"""

import json
import os
import statistics
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_UNIX, MSG_WAITALL, socket
from typing import Any

from noded.core.ids import DiskId
from noded.core.units import MIB
from storage.extents.frame import ZERO_BLOCK_HASH
from storage.extents.layout import BLOCK_BYTES, BLOCK_SHIFT
from storage.host.extent_store import ExtentStore
from tests.acceptance.clients import Person, Tenant, administrator, until
from tests.guest.build import guest_image
from tests.lab.lab import Lab, LabHost
from tests.lab.plan import Plan

GUEST = """#!/bin/sh
blocks run /root/blocks 256 > /dev/console 2>&1 &
"""
WHOLE_S_MAX = 300.0
REST_S = 8.0
PACE_S = 0.01
PROBED_BLOCKS = 4096
_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")
READ, WRITE = 0, 1


class Probe:
    """Reads and writes single blocks of a volume in turns, at a pace that leaves it mostly idle, and times each."""

    def __init__(self, path: Callable[[], Path]) -> None:
        self._path = path
        self._socket: socket | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe")
        self.times: list[tuple[float, float]] = []  # when it was asked, and how long it took
        self.written: list[tuple[float, int]] = []  # when, and which block
        self.faults = 0

    def __enter__(self) -> "Probe":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        self._hang_up()

    def p99_ms(self, since: float, until: float) -> float:
        """Of the requests that were asked in that time."""
        took = sorted(took for asked, took in self.times if since <= asked < until)
        return 1000 * took[min(len(took) - 1, len(took) * 99 // 100)] if took else 0.0

    def median_ms(self, since: float, until: float) -> float:
        took = [took for asked, took in self.times if since <= asked < until]
        return 1000 * statistics.median(took) if took else 0.0

    def _run(self) -> None:
        at = 0
        while not self._over.wait(PACE_S):
            at += 1
            begun = time.monotonic()
            try:
                self._ask(WRITE if at % 2 else READ, at * 7919 % PROBED_BLOCKS)
            except OSError:
                self.faults += 1
                self._hang_up()
                continue
            self.times.append((begun, time.monotonic() - begun))

    def changed(self, since: float, until: float) -> int:
        """How many blocks were written in that time."""
        return len({block for asked, block in self.written if since <= asked < until})

    def _ask(self, kind: int, block: int) -> None:
        if self._socket is None:
            self._socket = socket(AF_UNIX)
            self._socket.connect(str(self._path()))
            self._exactly(18)
            self._socket.sendall(struct.pack(">I", 3) + struct.pack(">8sII", b"IHAVEOPT", 1, 0))
            self._exactly(10)
        content = b""
        if kind == WRITE:
            content = os.urandom(BLOCK_BYTES)
            self.written.append((time.monotonic(), block))
        head = _REQUEST.pack(0x25609513, 0, kind, 7, block * BLOCK_BYTES, BLOCK_BYTES)
        self._socket.sendall(head + content)
        _, error, _ = _REPLY.unpack(self._exactly(_REPLY.size))
        assert error == 0, f"the guest sees error {error}"
        if kind == READ:
            self._exactly(BLOCK_BYTES)

    def _exactly(self, size: int) -> bytes:
        assert self._socket is not None
        received = self._socket.recv(size, MSG_WAITALL)
        if len(received) < size:
            raise ConnectionError("the volume server hung up")
        return received

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


@dataclass
class Stage:
    """The cloud, what is on it, and what is asked of it."""

    lab: Lab
    admin: Person
    tenant: Tenant
    server: Any = None
    volume_id: str = ""
    said: list[str] = field(default_factory=list)

    @property
    def home(self) -> LabHost:
        """Where the guest runs."""
        host: LabHost = self.tenant.host_of(self.server)
        return host

    @property
    def witness(self) -> LabHost:
        """A host that is on and stays on."""
        return self.lab.host(1)

    def say(self, text: str) -> None:
        self.said.append(text)
        print(text, flush=True)

    def noded(self, *words: str) -> Any:
        return json.loads(self.witness.run("noded", *words, "--json"))

    def disks(self) -> dict[str, dict[str, Any]]:
        """The disks by their hosts' names."""
        return {disk["node"]: disk for disk in self.noded("disk", "list")["disks"]}

    def moved_bytes(self) -> int:
        return sum(disk["moved_in_bytes"] for disk in self.disks().values())

    def is_whole(self, *away: str) -> bool:
        """Whether nothing moves, is behind or is to be removed, and hosts that are away hold nothing that counts."""
        disks = self.disks()
        busy = any(disk[what] for disk in disks.values() for what in ("behind", "coming", "going"))
        left = any(disk["to_remove"] for name, disk in disks.items() if name not in away)
        return not busy and not left and all(disks[name]["replicas"] == 0 for name in away)

    def is_at_rest(self) -> bool:
        """Whether it is whole and stays so: between two moves it looks like it, too."""
        checked = time.monotonic()
        while self.is_whole():
            if time.monotonic() - checked > REST_S:
                return True
            time.sleep(0.5)
        return False

    def upload(self, count: int, size_bytes: int) -> None:
        """Images of random bytes."""
        images = self.admin.connect().image
        for number in range(count):
            images.create_image(
                name=f"bytes {number}", data=os.urandom(size_bytes), disk_format="raw", container_format="bare",
                validate_checksum=False,
            )  # fmt: skip

    def boot(self) -> None:
        """The guest, and its second volume."""
        operator = self.admin.connect()
        with guest_image().qcow2.open("rb") as content:
            image = operator.image.create_image(
                name="guest", data=content, disk_format="qcow2", container_format="bare", visibility="public",
                validate_checksum=False,
            )  # fmt: skip
        small = operator.compute.create_flavor(name="small", vcpus=1, ram=128, disk=1)
        self.server = self.tenant.create("writer", image.id, small.id, user_data=GUEST, via=1)
        self.server = self.tenant.active(self.server)
        storage, compute = self.tenant.cloud.block_storage, self.tenant.cloud.compute
        self.volume_id = storage.create_volume(size=1, name="probed").id
        until(lambda: storage.get_volume(self.volume_id).status == "available", "the volume is there")
        compute.create_volume_attachment(self.server, volume_id=self.volume_id)
        until(lambda: storage.get_volume(self.volume_id).status == "in-use", "the volume is in use")
        self.tenant.says(self.server, "=== blocks: pass 1 intact")

    def probe(self) -> Probe:
        """On the second volume."""
        home = self.home
        return Probe(lambda: home.path(f"/run/noded/volumes/{self.volume_id}/nbd.sock"))


@contextmanager
def stage(root: Path) -> Iterator[Stage]:
    """Four hosts of which the first three are on, and a project on them."""
    lab = Lab(Plan(root=root / "lab", hosts_count=4, subnet="10.79.0", link="noded-whole", expect=3))
    lab.hold()
    try:
        for number in (1, 2, 3):
            lab.host(number).start()
        lab.wait_ready()
        admin = administrator(lab)
        counts: dict[str, int] = {}
        while min(counts.get("disk", 0), counts.get("hypervisor", 0)) < 3:
            counts = json.loads(lab.host(1).run("noded", "status", "--json"))["counts"]
        yield Stage(lab, admin, Tenant.make(admin, lab, root))
    finally:
        lab.down()


def fourth_joins(on: Stage) -> float:
    """How much moved to a host that joins, divided by a quarter of what the disks held."""
    held = on_disks(on)
    before, begun = on.moved_bytes(), time.monotonic()
    on.lab.host(4).start()
    until(lambda: "host4" in on.disks() and on.disks()["host4"]["replicas"] > 0, "the fourth host gets replicas")
    until(lambda: on.is_at_rest() and on.disks()["host4"]["replicas"] > 0, "its share is there", WHOLE_S_MAX)
    moved = on.moved_bytes() - before
    ratio = moved / (held / 4)
    on.say(
        f"a fourth host joined: {moved / MIB:.0f} MiB moved in {time.monotonic() - begun:.0f} s, {ratio:.2f} times a"
        f" quarter of the {held / MIB:.0f} MiB that the disks hold"
    )
    return ratio


def on_disks(on: Stage) -> int:
    """The bytes that the disks of all hosts which are on have given away for data."""
    hosts = (host for host in on.lab.hosts if host.pid is not None)
    files = (file for host in hosts for file in host.path("/var/lib/noded/disks/d1/volumes").glob("*/*.data"))
    return sum(file.stat().st_blocks * 512 for file in files)


def away_for(on: Stage, seconds: float) -> tuple[int, int]:
    """A host is off while the guest and the probe write; how much it was brought, and how much was changed at most."""
    victim = next(host for host in reversed(on.lab.hosts) if host.pid is not None and host not in (on.home, on.witness))
    with on.probe() as probe:
        time.sleep(1)
        killed = time.monotonic()
        victim.kill()
        time.sleep(seconds)
        begun = time.monotonic()
        victim.start()
        on.lab.wait_ready()
        until(on.is_whole, "the host that returned is up to date", WHOLE_S_MAX)
        whole = time.monotonic()
    brought = resynced(on.home.plan.logs / "noded" / f"volume-{on.volume_id}.log")
    # What was on its way when it died may have to be brought, too.
    changed = probe.changed(killed - 1, whole)
    on.say(
        f"{victim.name} was away for {seconds:.0f} s: {changed} blocks of the probed volume were written meanwhile,"
        f" {brought} were brought; all was whole {whole - begun:.0f} s after it was switched on"
    )
    return brought, changed


def resynced(log: Path) -> int:
    """How many blocks the last resyncs of a volume have copied."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if '"resync done"' in line]
    return sum(line["blocks"] for line in lines[-1:])


@dataclass(frozen=True)
class Loss:
    """A host that stays dead."""

    took_s: float
    moved_bytes: int
    lost_bytes: int
    p99_before_ms: float
    p99_during_ms: float
    faults: int


def dies_for_good(on: Stage, quiet_s: float) -> Loss:
    """A host with replicas and without the guest dies; what was on it is made elsewhere."""
    on.witness.run("noded", "disk", "policy", "--patience", "0")
    victim = next(host for host in reversed(on.lab.hosts) if host.pid is not None and host not in (on.home, on.witness))
    before = on.moved_bytes()
    with on.probe() as probe:
        began = time.monotonic()
        time.sleep(quiet_s)
        died = time.monotonic()
        victim.kill()
        until(lambda: on.disks()[victim.name]["state"] == "away", "it is missed")
        missed = time.monotonic()
        until(lambda: on.is_whole(victim.name), "all is whole again", WHOLE_S_MAX)
        whole = time.monotonic()
    moved, lost = on.moved_bytes() - before, held_by(on, victim)
    loss = Loss(
        took_s=whole - died,
        moved_bytes=moved,
        lost_bytes=lost,
        p99_before_ms=probe.p99_ms(began, died),
        p99_during_ms=probe.p99_ms(missed, whole),
        faults=probe.faults,
    )
    on.say(
        f"{victim.name} stays dead: whole again {loss.took_s:.0f} s later (missed after {missed - died:.0f} s);"
        f" {moved / MIB:.1f} MiB were moved, {lost / MIB:.1f} MiB were lost ({moved / max(1, lost):.2f});"
        f" a guest's request took {probe.median_ms(began, died):.1f} ms, p99 {loss.p99_before_ms:.1f} ms before and"
        f" {probe.median_ms(missed, whole):.1f} ms, p99 {loss.p99_during_ms:.1f} ms during it"
    )
    return loss


def held_by(on: Stage, host: LabHost) -> int:
    """The bytes that counted on the disk of a host that is off: its replicas' blocks that are not zero."""
    listed = on.disks()[host.name]
    mount_point = on.lab.plan.root / "dead"
    mount_point.mkdir()
    subprocess.run(["mount", "-o", "loop", host.plan.disk_image, mount_point], check=True)
    try:
        return bytes_in(mount_point, DiskId(listed["id"]))
    finally:
        # Lazily: what the kernel still writes there keeps it busy for a moment.
        subprocess.run(["umount", "--lazy", mount_point], check=True)


def bytes_in(directory: Path, disk_id: DiskId) -> int:
    """Of all replicas on a disk, the journal's newest blocks included."""
    store = ExtentStore(directory, disk_id)
    blocks = 0
    for replica in store._replicas.values():
        count = replica.extent_bytes >> BLOCK_SHIFT
        for file in replica.directory.glob("*.data"):
            files = replica.extent(int(file.stem)).files()
            at = 0
            while files is not None and (at := files.table.next_line(at, count)) < count:
                some = min(4096, count - at)
                lines = files.table.lines(at, some)
                blocks += sum(
                    1 for hash, stamp in zip(lines[::2], lines[1::2], strict=True) if stamp and hash != ZERO_BLOCK_HASH
                )
                at += some
    store.close()
    return blocks * BLOCK_BYTES
