"""The guest's root and initramfs as directory trees: busybox, a few programs, kernel modules, overlay."""

import re
import shutil
import stat
from pathlib import Path

from tests.lab.commands import LabError, call

HERE = Path(__file__).parent
OVERLAY = HERE / "overlay"
INIT = HERE / "boot" / "init"
DIRECTORIES = (
    *("bin", "sbin", "usr/bin", "usr/sbin", "usr/lib", "lib64", "proc", "sys", "dev", "run", "mnt", "var/log"),
    *("etc/dropbear", "var/lib/cloud", "root", "home/guest"),
)
# Where a program is found (in the unpacked packages, else on the machine that builds) and its place in the guest.
PROGRAMS = (
    ("usr/sbin/dropbear", "usr/sbin/dropbear"),
    ("usr/bin/dropbearkey", "usr/bin/dropbearkey"),
    ("usr/bin/dropbearconvert", "usr/bin/dropbearconvert"),
    ("usr/bin/dbclient", "usr/bin/ssh"),
    ("usr/lib/openssh/sftp-server", "usr/lib/sftp-server"),
    ("sbin/resize2fs", "sbin/resize2fs"),
    ("sbin/mke2fs", "sbin/mkfs.ext4"),
)
MODULES = (
    *("virtio_pci", "virtio_blk", "virtio_net", "virtio_scsi", "virtio-rng", "virtio_balloon", "virtio_console"),
    *("sd_mod", "ahci", "button", "evdev", "af_packet"),
)
BOOT_MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "virtio-rng", "sd_mod", "ahci")


class Sources:
    """The unpacked packages: all but busybox's dynamic build in one tree."""

    def __init__(self, packages: Path, busybox: Path) -> None:
        self.packages = packages
        self.busybox = _first(busybox / "bin/busybox", busybox / "usr/bin/busybox")
        self.busybox_static = _first(packages / "bin/busybox", packages / "usr/bin/busybox")
        self.modules = next((packages / "lib/modules").iterdir())
        self.kernel = next((packages / "boot").glob("vmlinuz-*"))
        call(str(self.busybox_static), "depmod", "-b", str(packages), self.modules.name)

    def program(self, path: str) -> Path:
        return _first(self.packages / path, Path("/") / path)

    def libraries(self, program: Path) -> list[Path]:
        """The shared libraries that `program` loads, by absolute path (those of the packages before the machine's)."""
        own = ":".join(str(self.packages / path) for path in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
        listed = call("env", f"LD_LIBRARY_PATH={own}", "ldd", str(program))
        return [Path(path) for path in re.findall(r"(?:=> |^\t)(/\S+)", listed, re.MULTILINE)]

    def module_files(self, names: tuple[str, ...]) -> list[Path]:
        """The files of these modules and of all they need, relative to the modules' directory."""
        needs = {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            path, _, rest = line.partition(":")
            needs[Path(path).name.split(".")[0].replace("-", "_")] = [path, *rest.split()]
        wanted = [path for name in names for path in needs.get(name.replace("-", "_"), [])]
        return [Path(path) for path in dict.fromkeys(wanted)]


def make_root(sources: Sources, root: Path) -> None:
    """The root file system: busybox first, then what it lacks, then our own files over both."""
    for directory in DIRECTORIES:
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "lib").symlink_to("usr/lib")
    # The dynamic busybox resolves names (the static one crashes in getaddrinfo); the static one has more applets.
    shutil.copy(sources.busybox_static, root / "bin" / "busybox-static")
    for applet in call(str(sources.busybox_static), "--list").split():
        _link(root / "bin" / applet, "/bin/busybox-static")
    for applet in call(str(sources.busybox), "--list").split():
        _link(root / "bin" / applet, "/bin/busybox")
    _install(sources, sources.busybox, root / "bin" / "busybox", root)
    for name in ("init", "getty"):
        _link(root / "sbin" / name, "/bin/busybox")
    for path, place in PROGRAMS:
        (root / "bin" / Path(place).name).unlink(missing_ok=True)
        _install(sources, sources.program(path), root / place, root)
    _copy_modules(sources, MODULES, root)
    _copy_overlay(root)


def make_initramfs(sources: Sources, tree: Path) -> None:
    for directory in ("bin", "dev", "proc", "sys", "root"):
        (tree / directory).mkdir(parents=True)
    shutil.copy(sources.busybox_static, tree / "bin" / "busybox")
    _copy_modules(sources, BOOT_MODULES, tree)
    shutil.copy(INIT, tree / "init")
    (tree / "init").chmod(0o755)


def _copy_modules(sources: Sources, names: tuple[str, ...], root: Path) -> None:
    target = root / "lib/modules" / sources.modules.name
    for file in sources.module_files(names):
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sources.modules / file, target / file)
    for index in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(sources.modules / index, target / index)
    call(str(sources.busybox_static), "depmod", "-b", str(root), sources.modules.name)


def _copy_overlay(root: Path) -> None:
    for source in sorted(OVERLAY.rglob("*")):
        if source.is_file():
            target = root / source.relative_to(OVERLAY)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copyfile(source, target)
            is_program = source.read_bytes().startswith(b"#!")
            target.chmod(0o755 if is_program else 0o644)
    (root / "etc/shadow").chmod(0o600)
    for home in ("root", "home/guest"):
        (root / home).chmod(stat.S_IRWXU)  # dropbear refuses keys in a home that others may write to


def _install(sources: Sources, program: Path, target: Path, root: Path) -> None:
    """Copy a program and its libraries; the loader keeps its own place, the rest goes to /usr/lib."""
    target.unlink(missing_ok=True)
    shutil.copy(program, target)
    target.chmod(0o755)
    for library in sources.libraries(program):
        place = root / ("lib64" if library.parent == Path("/lib64") else "usr/lib") / library.name
        if not place.exists():
            shutil.copy(library, place)


def _link(link: Path, target: str) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _first(*paths: Path) -> Path:
    for path in paths:
        if path.is_file():
            return path
    raise LabError(f"none of these exists: {', '.join(map(str, paths))}")
