"""How the trees become a disk that a BIOS boots: MBR, a FAT partition with syslinux and kernel, an ext4 root."""

import gzip
import os
import shutil
import struct
import subprocess
from pathlib import Path

from tests.guest.tree import HERE, Sources
from tests.lab.commands import call

SECTOR = 512
BOOT_START = 2048
BOOT_SECTORS = 24 * 2048
DISK_SECTORS = 96 * 2048
ROOT_START = BOOT_START + BOOT_SECTORS
ROOT_LABEL = "guestroot"  # boot/init looks for it
FAT16_LBA, LINUX = 0x0E, 0x83


def make_disk(sources: Sources, root: Path, initramfs: Path, work: Path) -> Path:
    """The raw image, a sparse file in `work`."""
    disk = work / "guest.raw"
    with disk.open("wb") as blank:
        blank.truncate(DISK_SECTORS * SECTOR)
    _put(_boot_partition(sources, initramfs, work), disk, BOOT_START)
    _put(_root_partition(root, work), disk, ROOT_START)
    _write_mbr(sources, disk)
    return disk


def _boot_partition(sources: Sources, initramfs: Path, work: Path) -> Path:
    image = work / "boot.img"
    with image.open("wb") as blank:
        blank.truncate(BOOT_SECTORS * SECTOR)
    tools = sources.packages / "usr/bin"
    # mtools and syslinux work on the file itself: no mount, no loop device.
    geometry = ("-T", str(BOOT_SECTORS), "-h", "64", "-s", "32", "-H", str(BOOT_START))
    call(str(tools / "mformat"), "-i", str(image), *geometry, "-v", "BOOT", "::")
    files = {
        "vmlinuz": sources.kernel,
        "initrd.gz": _pack_initramfs(sources, initramfs, work),
        "syslinux.cfg": HERE / "boot" / "syslinux.cfg",
    }
    for name, file in files.items():
        call(str(tools / "mcopy"), "-i", str(image), str(file), f"::/{name}")
    # syslinux itself calls mtools.
    call("env", f"PATH={tools}:{os.environ['PATH']}", str(tools / "syslinux"), "--install", str(image))
    return image


def _pack_initramfs(sources: Sources, tree: Path, work: Path) -> Path:
    packed = work / "initrd.gz"
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    archive = subprocess.run(
        [str(sources.busybox_static), "cpio", "-o", "-H", "newc"],
        cwd=tree,
        input="\n".join(names).encode(),
        capture_output=True,
        check=True,
    )
    packed.write_bytes(gzip.compress(archive.stdout, 6, mtime=0))
    return packed


def _root_partition(root: Path, work: Path) -> Path:
    image = work / "root.img"
    with image.open("wb") as blank:
        blank.truncate((DISK_SECTORS - ROOT_START) * SECTOR)
    options = ("-t", "ext4", "-L", ROOT_LABEL, "-m", "0", "-J", "size=4", "-E", "root_owner=0:0,lazy_itable_init=0")
    call("/sbin/mke2fs", "-q", *options, "-d", str(root), str(image))
    return image


def _put(partition: Path, disk: Path, start: int) -> None:
    call(*("dd", f"if={partition}", f"of={disk}", "bs=512", f"seek={start}", "conv=notrunc,sparse", "status=none"))
    partition.unlink()


def _write_mbr(sources: Sources, disk: Path) -> None:
    code = (sources.packages / "usr/lib/syslinux/mbr/mbr.bin").read_bytes()
    with disk.open("r+b") as file:
        file.write(code)
        file.seek(440)
        entries = _entry(0x80, FAT16_LBA, BOOT_START, BOOT_SECTORS)
        entries += _entry(0, LINUX, ROOT_START, DISK_SECTORS - ROOT_START)
        file.write(b"node\0\0" + entries + bytes(32) + b"\x55\xaa")


def _entry(active: int, kind: int, start: int, sectors: int) -> bytes:
    """One partition; the cylinder fields are full, as a disk that is addressed by sector numbers has them."""
    return struct.pack("<B3sB3sII", active, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", start, sectors)


def to_qcow2(raw: Path, target: Path) -> None:
    unfinished = target.with_suffix(".new")
    call("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(unfinished), timeout_s=300)
    shutil.move(unfinished, target)
