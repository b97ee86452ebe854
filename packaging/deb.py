#!/usr/bin/python3
"""How the Debian package is made: noded and its locked Python packages in one tree, its units and settings beside.

    packaging/deb.py        writes build/noded_<version>_<architecture>.deb and says its name

Standard library only. The tree is a virtual environment made for the path at which it will stand, not for the path at
which it is built; it uses the distribution's python3, and so depends on exactly that minor version.
"""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from prepare import LOCKS, PACKAGES, PROJECT, PYTHON, CannotPrepareError, packages_of, run_pip, say

HOME = Path("/usr/lib/noded")
BUILD = PROJECT / "build" / "deb"
SOURCES = PROJECT / "packaging" / "debian"
CONTROL = """\
Package: noded
Version: {version}
Architecture: {architecture}
Section: admin
Priority: optional
Maintainer: noded <noded@localhost>
Installed-Size: {size_kib}
Depends: {depends}
Recommends: smartmontools, ledmon
Description: a whole private cloud in one daemon
 Install it on a handful of machines: they find each other, form a cluster, and
 each gives its CPUs, disks and network to it. Any node answers OpenStack's APIs
 and serves a dashboard.
"""


def build() -> Path:
    """Make the package; its path."""
    root = BUILD / "root"
    shutil.rmtree(BUILD, ignore_errors=True)
    root.mkdir(parents=True)
    make_environment(root)
    say("deb: units, configuration, control files")
    copy_files(root)
    version, architecture = project_version(), output("dpkg", "--print-architecture")
    write_control(root, version, architecture)
    package = PROJECT / "build" / f"noded_{version}_{architecture}.deb"
    say("deb: packing")
    run("dpkg-deb", "--root-owner-group", "-Zxz", "-z2", "--build", str(root), str(package))
    return package


def make_environment(root: Path) -> None:
    """The virtual environment below `root`, with every mention of the building path replaced by the final one."""
    environment = root / HOME.relative_to("/")
    run(PYTHON, "-m", "venv", str(environment))
    pip = [str(environment / "bin" / "pip"), "install", "--no-deps", "--no-compile", "--no-input"]
    run_pip("deb: Python packages", [*pip, "-r", str(LOCKS[0])])
    # setuptools would put modules that an earlier build left here into the package.
    shutil.rmtree(PROJECT / "build" / "lib", ignore_errors=True)
    run_pip("deb: noded itself", [*pip, str(PROJECT)])
    run(*pip[:1], "uninstall", "--quiet", "--yes", "pip", "setuptools")
    shutil.rmtree(environment / "include")
    for program in (environment / "bin").iterdir():
        if program.name != "noded" and not program.name.startswith("python"):
            program.unlink()
    for file in (environment / "bin" / "noded", environment / "pyvenv.cfg"):
        file.write_text(file.read_text().replace(str(environment), str(HOME)))
    # Compiled here, with the final paths and without time stamps: the node's copy is never written to.
    compile_all = ("-m", "compileall", "-q", "-j2", "--invalidation-mode", "unchecked-hash")
    run(PYTHON, *compile_all, "-s", str(root), "-p", "/", str(environment / "lib"))
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/noded").symlink_to(HOME / "bin" / "noded")


def copy_files(root: Path) -> None:
    """Units, users, directories, the configuration file and the package's own scripts, each to its place."""
    places = {
        SOURCES / "sysusers.conf": "usr/lib/sysusers.d/noded.conf",
        SOURCES / "tmpfiles.conf": "usr/lib/tmpfiles.d/noded.conf",
        SOURCES / "noded.toml": "etc/noded/noded.toml",
        SOURCES / "apparmor-qemu": "etc/apparmor.d/abstractions/noded-qemu",
        PROJECT / "LICENSE": "usr/share/doc/noded/copyright",
        PROJECT / "README.md": "usr/share/doc/noded/README.md",
    }
    places |= {unit: f"lib/systemd/system/{unit.name}" for unit in (PROJECT / "systemd").glob("*.service")}
    places |= {SOURCES / script: f"DEBIAN/{script}" for script in ("postinst", "prerm", "postrm")}
    for source, place in places.items():
        target = root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if place.startswith("DEBIAN/") else 0o644)
    (root / "etc/noded/noded.toml").chmod(0o600)  # it may hold the cluster's secret
    (root / "DEBIAN/conffiles").write_text("/etc/noded/noded.toml\n/etc/apparmor.d/abstractions/noded-qemu\n")


def write_control(root: Path, version: str, architecture: str) -> None:
    minor = output(PYTHON, "-c", "import sys; print(sys.version_info.minor)")
    depends = [package for package in packages_of(["run"], PACKAGES.read_text()) if package != "python3"]
    depends += [f"python3 (>= 3.{minor})", f"python3 (<< 3.{int(minor) + 1})", "systemd"]
    size_kib = sum(file.lstat().st_size for file in root.rglob("*")) // 1024
    fields = {"version": version, "architecture": architecture, "size_kib": size_kib, "depends": ", ".join(depends)}
    (root / "DEBIAN/control").write_text(CONTROL.format(**fields))


def project_version() -> str:
    return str(tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"])


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{build()}\n")
    except CannotPrepareError as reason:
        sys.exit(f"deb: {reason}")
    except subprocess.CalledProcessError as fault:
        sys.exit(f"deb: {' '.join(map(str, fault.cmd))} ended with status {fault.returncode}")
