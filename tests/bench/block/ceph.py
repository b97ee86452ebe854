"""A Ceph cluster on this machine as Debian packages it: one monitor, three OSDs on files, one RBD image.

Made by hand instead of by cephadm, which needs containers. Authentication is off and nothing is encrypted on the wire,
which is in Ceph's favour: noded's servers speak TLS with certificates to one another in the same run.
"""

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.logs import free_ports

OSDS = 3
OSD_BYTES = 6 << 30
POOL, IMAGE = "rbd", "volume"
READY_S_MAX = 120.0


@dataclass(frozen=True)
class Ceph:
    """A running cluster."""

    config: Path
    pids: list[int]  # the monitor's and the OSDs'


@contextmanager
def ceph_cluster(root: Path, image_bytes: int) -> Iterator[Ceph]:
    """A cluster with one image of so many bytes, three replicas; it ends with the context.

    The client's cache is off: with it, writes count before they have left the client.
    """
    config = _configure(root)
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        daemons.append(_start_monitor(root, config))
        _ceph(config, "osd", "set", "noout")
        for number in range(OSDS):
            daemons.append(_start_osd(root, config, number))
        _until_up(config)
        _ceph(config, "osd", "pool", "create", POOL, "64")
        _run("rbd", "-c", str(config), "pool", "init", POOL)
        _run("rbd", "-c", str(config), "create", f"{POOL}/{IMAGE}", "--size", f"{image_bytes >> 20}M")
        yield Ceph(config, [daemon.pid for daemon in daemons])
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _configure(root: Path) -> Path:
    (root / "run").mkdir(parents=True)
    (root / "mon.a").mkdir()
    [port] = free_ports(1)
    config = root / "ceph.conf"
    config.write_text(
        f"""[global]
fsid = {uuid.uuid4()}
mon host = [v2:127.0.0.1:{port}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
run dir = {root}/run
admin socket = {root}/run/$cluster-$name.asok
log file = {root}/$name.log
osd pool default size = {OSDS}
osd pool default min size = 2
osd crush chooseleaf type = 0
osd pool default pg autoscale mode = off
mon data = {root}/mon.a
mon allow pool size one = true
osd data = {root}/osd.$id
osd objectstore = bluestore
bluestore block create = true
bluestore block size = {OSD_BYTES}
rbd default features = 3
rbd cache = false
"""
    )
    return config


def _start_monitor(root: Path, config: Path) -> "subprocess.Popen[bytes]":
    words = ("-c", str(config), "-i", "a")
    map_file = root / "monmap"
    text = config.read_text()
    fsid, address = (text.split(f"{key} = ")[1].split("\n")[0] for key in ("fsid", "mon host"))
    _run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, str(map_file))
    _run("ceph-mon", *words, "--mkfs", "--monmap", str(map_file))
    return _daemon(root, "ceph-mon", *words)


def _start_osd(root: Path, config: Path, number: int) -> "subprocess.Popen[bytes]":
    (root / f"osd.{number}").mkdir()
    osd_uuid = str(uuid.uuid4())
    _ceph(config, "osd", "new", osd_uuid, str(number))
    words = ("-c", str(config), "-i", str(number))
    _run("ceph-osd", *words, "--mkfs", "--osd-uuid", osd_uuid)
    _ceph(config, "osd", "crush", "add", f"osd.{number}", "1.0", "root=default")
    return _daemon(root, "ceph-osd", *words)


def _daemon(root: Path, *words: str) -> "subprocess.Popen[bytes]":
    output = (root / "daemons.log").open("ab")
    with output:
        return subprocess.Popen([*words, "-f"], stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def _until_up(config: Path) -> None:
    deadline = time.monotonic() + READY_S_MAX
    while f"{OSDS} up" not in (said := _ceph(config, "osd", "stat")):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Ceph's disks are not up after {READY_S_MAX:.0f} s: {said}")
        time.sleep(0.5)


def _ceph(config: Path, *words: str) -> str:
    return _run("ceph", "-c", str(config), "--connect-timeout", "20", *words)


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=READY_S_MAX, env=dict(os.environ))
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed: {done.stderr[-500:]}")
    return done.stdout
