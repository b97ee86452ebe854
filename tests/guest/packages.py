"""Where the guest's programs come from: Debian packages, downloaded by apt and unpacked, never installed."""

import os
from pathlib import Path

from tests.lab.commands import LabError, call

LIST = Path(__file__).with_name("packages.txt")
KERNEL = "linux-image-cloud-amd64"
# As root apt would fetch as its own user, who may not write to our cache.
APT = ("-qq", "-o", "APT::Sandbox::User=root")


def names() -> list[str]:
    lines = (line.split("#")[0].strip() for line in LIST.read_text().splitlines())
    return [line for line in lines if line]


def fetch(cache: Path) -> dict[str, Path]:
    """Package name → downloaded file, for the whole list and the kernel (under its metapackage's name)."""
    cache.mkdir(parents=True, exist_ok=True)
    wanted = {name: name for name in names()} | {KERNEL: _kernel_package()}
    missing = [package for package in wanted.values() if not _file(cache, package)]
    if missing:
        call("env", "-C", str(cache), "apt-get", *APT, "download", *missing, timeout_s=300)
    files = {name: _file(cache, package) for name, package in wanted.items()}
    for name, file in files.items():
        if file is None:
            raise LabError(f"apt-get download left no file for {name} in {cache}")
    return {name: file for name, file in files.items() if file is not None}


def unpack(file: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    call("dpkg-deb", "-x", str(file), str(target))


def _kernel_package() -> str:
    """The kernel that the metapackage stands for today, say linux-image-6.1.0-40-cloud-amd64."""
    for line in _apt_depends().splitlines():
        if "Depends: linux-image-" in line:
            return line.split()[-1]
    raise LabError(f"apt knows no {KERNEL}; is this machine's apt set up for Debian?")


def _apt_depends() -> str:
    command = ("apt-cache", "depends", KERNEL)
    try:
        return call(*command)
    except LabError:
        call("apt-get", *APT, "update", timeout_s=300)  # a fresh machine has no package lists yet
        return call(*command)


def _file(cache: Path, package: str) -> Path | None:
    found = sorted(cache.glob(f"{package}_*.deb"), key=os.path.getmtime)
    return found[-1] if found else None
