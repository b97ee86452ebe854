"""Which drive is behind a directory, how healthy is it, where is it, and how does a blank one come into the pool?

Asks lsblk(8), smartctl(8), ledctl(8) and sysfs. What is not installed, or what a machine can't do, is said.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import trio

from noded.core.errors import Invalid, Unavailable
from noded.core.unreadable import UNREADABLE
from storage.devices import POOL_LABEL, Device, why_not_device, why_not_empty
from storage.host.smart import smart_in
from storage.pools.links import Candidate, Given, Hardware, Smart

T = TypeVar("T")

MOUNTS: Final = Path("/var/lib/noded/disks")  # where devices that operators give are mounted
ASK_S_MAX: Final = 20.0
FORMAT_S_MAX: Final = 300.0
_COLUMNS: Final = "NAME,PATH,TYPE,SIZE,RO,MOUNTPOINTS,MODEL,SERIAL"


@dataclass(frozen=True)
class HostHardware:
    """Implements `storage.pools.links.DiskHardware`. `directories` are those that the node's configuration names."""

    directories: tuple[str, ...]
    mounts: Path = MOUNTS

    async def look_at(self, path: str) -> Candidate:
        """See `DiskHardware.look_at`."""
        return await trio.to_thread.run_sync(self._look_at, path)

    async def prepare(self, path: str) -> Given:
        """See `DiskHardware.prepare`."""
        return await trio.to_thread.run_sync(self._prepare, path)

    async def describe(self, name: str) -> Hardware:
        """See `DiskHardware.describe`."""
        return await trio.to_thread.run_sync(_describe, name)

    async def locate(self, name: str, *, lit: bool) -> Hardware:
        """See `DiskHardware.locate`."""
        return await trio.to_thread.run_sync(_locate, name, lit)

    def _look_at(self, path: str) -> Candidate:
        place = Path(path)
        if not place.is_absolute() or str(place) != os.path.normpath(path):
            return Candidate(path=path, fault=f"{path[:200]} is no absolute path.")
        if path in self.directories:
            return Candidate(path=path, fault=f"{path} is in the node's configuration already.")
        if place.is_block_device():
            device = _device(path)
            blank = not device.content
            fault = why_not_device(device)
            return Candidate(path=path, fault=fault, device=True, blank=blank, size_bytes=device.size_bytes)
        return _look_at_directory(place)

    def _prepare(self, path: str) -> Given:
        device = _device(path)
        fault = why_not_device(device)
        if fault:
            raise Invalid(fault)
        if not device.content:
            _run(["mkfs.ext4", "-q", "-m", "0", "-L", POOL_LABEL, path], FORMAT_S_MAX)
            device = _device(path)
        if not device.uuid:
            raise Unavailable(f"{path} has no file system although one was just made on it.")
        given = Given(name=str(self.mounts / device.uuid), uuid=device.uuid)
        mount_given(given)
        return given


def mount_given(given: Given) -> None:
    """Mount the file system of that UUID, unless it is mounted already. Raises `Unavailable`."""
    place = Path(given.name)
    if given.uuid and not place.is_mount():
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        _run(["mount", "-o", "noatime", f"UUID={given.uuid}", given.name], ASK_S_MAX)


def _look_at_directory(place: Path) -> Candidate:
    try:
        names = [path.name for path in place.iterdir()]
        space = os.statvfs(place)
    except OSError as error:
        return Candidate(path=str(place), fault=f"{place} can't be used: {error.strerror}.")
    if place.stat().st_dev == Path("/").stat().st_dev:
        fault = f"{place} is on the system's own file system: a full pool would stop the machine. Mount a disk there."
        return Candidate(path=str(place), fault=fault)
    size_bytes = space.f_blocks * space.f_frsize
    # A disk of the pool that was in another node is welcome with all that it holds.
    fault = "" if "disk.json" in names else why_not_empty(str(place), names)
    return Candidate(path=str(place), fault=fault, size_bytes=size_bytes)


def _device(path: str) -> Device:
    """What lsblk says of one device. Raises `Unavailable`."""
    said = _json(["lsblk", "--json", "--bytes", "--tree", "--output", _COLUMNS, path], dict[str, list[dict[str, Any]]])
    [found] = said["blockdevices"]
    probed = _probe(path)
    return Device(
        path=path,
        kind=found["type"] or "",
        size_bytes=int(found["size"] or 0),
        read_only=bool(found["ro"]),
        content=probed.get("TYPE") or (f"a partition table ({probed['PTTYPE']})" if "PTTYPE" in probed else ""),
        label=probed.get("LABEL", ""),
        uuid=probed.get("UUID", ""),
        mounted_at=tuple(each for each in found["mountpoints"] if each),
        parts=tuple(part["path"] for part in found.get("children", [])),
        model=(found["model"] or "").strip(),
        serial=(found["serial"] or "").strip(),
    )


def _probe(path: str) -> dict[str, str]:
    """What is on a device by its own first and last blocks; what udev remembers of it may be of yesterday.

    Raises `Unavailable` unless blkid(8) is sure, also that nothing is there (status 2).
    """
    done = subprocess.run(
        ["blkid", "--probe", "--output", "export", path], check=False, capture_output=True, text=True, timeout=ASK_S_MAX
    )
    if done.returncode not in (0, 2):
        raise Unavailable(f"What is on {path} can't be told for certain: {' '.join(done.stderr.split())[:300]}")
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _drive_behind(name: str) -> Device:
    """The whole drive on which a directory's file system is. Raises `Unavailable` where none is to be seen."""
    try:
        number = Path(name).stat().st_dev
    except OSError as error:
        raise Unavailable(f"{name} can't be looked at: {error.strerror}.") from error
    link = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not link.exists():
        raise Unavailable(f"{name} is on no block device of this machine.")
    whole = link.resolve()
    if (whole / "partition").exists():
        whole = whole.parent
    return _device(f"/dev/{whole.name}")


def _describe(name: str) -> Hardware:
    drive = _drive_behind(name)
    smart, lacks = _smart(drive.path)
    slot, _ = _slot(drive.path)
    return Hardware(
        device=drive.path,
        model=drive.model,
        serial=drive.serial,
        slot=slot,
        smart=smart,
        lacks=(lacks,) if lacks else (),
    )


def _smart(path: str) -> tuple[Smart | None, str]:
    """What the drive says of itself; or why nothing is known."""
    if shutil.which("smartctl") is None:
        return None, "smartctl is not installed (package smartmontools): nothing is known of the drive's health"
    done = subprocess.run(
        ["smartctl", "--json", "--all", path], check=False, capture_output=True, timeout=ASK_S_MAX
    )  # its exit status is a set of bits, of which some speak of the drive and not of the program
    try:
        return smart_in(msgspec.json.decode(done.stdout)), ""
    except UNREADABLE as error:
        return None, f"smartctl says nothing that can be read of {path}: {error}"
    except LookupError as error:
        return None, f"{path} tells nothing of its health: {error.args[0]}"


def _slot(path: str) -> tuple[str, Path | None]:
    """The drive's slot in its enclosure, as sysfs knows it, and the file that lights it."""
    found = sorted(Path(f"/sys/block/{Path(path).name}/device").glob("enclosure_device:*"))
    if not found:
        return "", None
    return found[0].name.partition(":")[2], found[0] / "locate"


def _locate(name: str, lit: bool) -> Hardware:
    drive = _drive_behind(name)
    slot, light = _slot(drive.path)
    is_lit, lacks = None, []
    if light is not None and light.exists():
        light.write_text("1" if lit else "0")
        is_lit = lit
    elif shutil.which("ledctl") is None:
        lacks = ["the kernel knows no enclosure with lights for it, and ledctl is not installed (package ledmon)"]
    else:
        word = "locate" if lit else "locate_off"
        done = subprocess.run(
            ["ledctl", f"{word}={drive.path}"], check=False, capture_output=True, text=True, timeout=ASK_S_MAX
        )
        if done.returncode:
            lacks = [f"ledctl can't light it: {' '.join(done.stderr.split())[:300]}"]
        else:
            is_lit = lit
    return Hardware(
        device=drive.path, model=drive.model, serial=drive.serial, slot=slot, lit=is_lit, lacks=tuple(lacks)
    )


def _json(command: list[str], form: type[T]) -> T:
    said = _run(command, ASK_S_MAX)
    try:
        return msgspec.json.decode(said, type=form)
    except UNREADABLE as error:
        raise Unavailable(f"{command[0]} says nothing that can be read: {error}.") from error


def _run(command: list[str], seconds_max: float) -> str:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds_max)
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not installed on this node.") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} did not end within {seconds_max:.0f} s.") from error
    if done.returncode:
        raise Unavailable(f"{command[0]} failed: {' '.join(done.stderr.split())[:300]}")
    return done.stdout
