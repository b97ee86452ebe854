"""How the guest image is built, and when an earlier build will do: `python -m tests.guest.build` prints its path.

The key of the cache is made of every file in this directory: the list of packages, the scripts, the overlay.
"""

import dataclasses
import hashlib
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.guest import disk, packages, tree

CACHE = Path(__file__).resolve().parents[2] / ".lab" / "cache"


@dataclasses.dataclass(frozen=True)
class GuestImage:
    """The same disk in both formats."""

    qcow2: Path
    raw: Path


def guest_image(cache: Path = CACHE, say: Callable[[str], None] = lambda _: None) -> GuestImage:
    """The image for today's inputs; built in about ten seconds if no earlier run did."""
    cache.mkdir(parents=True, exist_ok=True)
    key = _key()
    image = GuestImage(cache / f"guest-{key}.qcow2", cache / f"guest-{key}.raw")
    if not image.qcow2.exists() or not image.raw.exists():
        _build(image, cache, say)
    return image


def _build(image: GuestImage, cache: Path, say: Callable[[str], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="guest-", dir=cache) as directory:
        work = Path(directory)
        say("guest image: fetching Debian packages (0 %)")
        files = packages.fetch(cache / "debs")
        say("guest image: unpacking them (30 %)")
        packages.unpack(files.pop("busybox"), work / "busybox")
        for file in files.values():
            packages.unpack(file, work / "packages")
        say("guest image: root file system and kernel modules (50 %)")
        sources = tree.Sources(work / "packages", work / "busybox")
        tree.make_root(sources, work / "root")
        tree.make_initramfs(sources, work / "initramfs")
        say("guest image: disk (70 %)")
        raw = disk.make_disk(sources, work / "root", work / "initramfs", work)
        say("guest image: qcow2 (80 %)")
        disk.to_qcow2(raw, image.qcow2)
        shutil.move(raw, image.raw)
        for earlier in {*cache.glob("guest-*.qcow2"), *cache.glob("guest-*.raw")} - {image.qcow2, image.raw}:
            earlier.unlink()
        say(f"guest image: {image.qcow2.stat().st_size / 1e6:.0f} MB (100 %)")


def _key() -> str:
    digest = hashlib.sha256(platform.freedesktop_os_release().get("VERSION_ID", "").encode())
    for file in sorted(tree.HERE.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts and not file.name.startswith("test_"):
            digest.update(str(file.relative_to(tree.HERE)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    print(guest_image(say=lambda line: print(line, file=sys.stderr)).qcow2)
