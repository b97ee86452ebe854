"""Does an image file name other files, or is it a part of something? Asked beside oslo.utils' own checks. Pure.

QEMU's drivers follow what a file says of others. So whatever could name one is refused, before any program opens the
file, although those programs may refuse it too. Sources: QEMU's docs/interop/qcow2.txt; VMware's "Virtual Disk Format
5.0"; Microsoft's "Virtual Hard Disk Image Format Specification"; the header that QEMU's block/vdi.c describes.
"""

import re
import struct
from collections.abc import Callable, Mapping
from typing import Final

from noded.core.units import KIB

HEAD_BYTES: Final = 128 * KIB  # everything that is asked here must be in the file's first bytes
SECTOR_BYTES: Final = 512
_VMDK_EXTENT: Final = re.compile(r"(rw|rdonly|noaccess)\s+\d+\s+(\w+)\s+\"([^\"/\\:]*)\"(\s+\d+)?", re.ASCII)
_VMDK_WHOLE: Final = "ffffffff"  # the content id of no parent
_VHD_KINDS: Final = {2: "fixed", 3: "dynamic"}
_VDI_KINDS: Final = {1: "dynamic", 2: "fixed"}


def fault(disk_format: str, head: bytes) -> str | None:
    """Why a file with these first bytes is refused; None if nothing stands against it. `head` may be the whole file."""
    ask = _QUESTIONS.get(disk_format)
    if ask is None:
        return None
    try:
        return ask(head)
    except (struct.error, ValueError, IndexError):
        return "its header is cut off or can't be read"


def _qcow2(head: bytes) -> str | None:
    (crypt,) = struct.unpack_from(">I", head, 32)
    if crypt:
        return "it is encrypted, and nothing here has its key"
    (version,) = struct.unpack_from(">I", head, 4)
    if version >= 3:
        (incompatible,) = struct.unpack_from(">Q", head, 72)
        if incompatible & 2:
            return "it says of itself that it is corrupt"
    return None


def _vmdk(head: bytes) -> str | None:
    magic, _, _, capacity, _, place, size = struct.unpack_from("<4sIIQQQQ", head, 0)
    if magic != b"KDMV":
        return "it is a descriptor of other files, not a disk"
    if not capacity:
        return "its header leaves its size to its descriptor, which may name other files"
    start, end = place * SECTOR_BYTES, (place + size) * SECTOR_BYTES
    if not place or end > HEAD_BYTES or end > len(head):
        return "its descriptor is not at its start"
    return _descriptor(head[start:end].split(b"\0", 1)[0].decode("ascii"))


def _descriptor(text: str) -> str | None:
    extents = 0
    for line in (each.strip() for each in text.lower().splitlines()):
        word = line.split("=", 1)[0].strip()
        value = line.partition("=")[2].strip().strip('"')
        if word == "parentcid" and value != _VMDK_WHOLE:
            return "it is only what changed since another disk"
        if word == "parentfilenamehint":
            return "it names another disk as its parent"
        if line.startswith(("rw", "rdonly", "noaccess")):
            extent = _VMDK_EXTENT.fullmatch(line)
            if extent is None or extent[2] != "sparse":
                return "its descriptor names other files"
            extents += 1
    return None if extents == 1 else f"its descriptor has {extents} extents, not one"


def _vhd(head: bytes) -> str | None:
    (kind,) = struct.unpack_from(">I", head, 60)
    return None if kind in _VHD_KINDS else "it is only what changed since another disk, or of an unknown type"


def _vdi(head: bytes) -> str | None:
    (kind,) = struct.unpack_from("<I", head, 0x4C)
    if kind not in _VDI_KINDS:
        return "it is only what changed since another disk, or of an unknown type"
    parent = head[0x1A8:0x1B8]
    if len(parent) < 16:
        raise ValueError
    return "it has another disk as its parent" if any(parent) else None


def _ova(head: bytes) -> str | None:
    """A tar file whose first member is the description (DMTF DSP0243, 5.1). It is never unpacked here."""
    if head[257:262] != b"ustar":
        return "it is not a tar file"
    name = head[:100].split(b"\0", 1)[0].decode("utf-8")
    return None if name.lower().endswith(".ovf") else "its first member is not its description (.ovf)"


_QUESTIONS: Final[Mapping[str, Callable[[bytes], str | None]]] = {
    "qcow2": _qcow2,
    "vmdk": _vmdk,
    "vhd": _vhd,
    "vdi": _vdi,
    "ova": _ova,
}
