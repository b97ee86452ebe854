#!/usr/bin/python3
"""What must be on this machine before noded can run from its sources? Installs what is missing, and nothing twice.

    packaging/prepare.py run lab        Debian packages of these sections, and .venv as the locks say
    packaging/prepare.py --no-venv run  the packages alone

Standard library only: it runs before anything is installed.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = PROJECT / "packaging" / "debian-packages.txt"
VENV = PROJECT / ".venv"
STAMP = VENV / "prepared"
LOCKS = (PROJECT / "requirements.lock", PROJECT / "requirements-test.lock")
PYTHON = "/usr/bin/python3"  # the distribution's own: its libraries match the Debian packages
PYTHON_MIN = (3, 11)


class CannotPrepareError(Exception):
    """Something this script may not or cannot change; the message says what to do."""


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def progress(label: str, percent: float) -> None:
    """One line that keeps changing on a terminal; whole lines at every quarter elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{label}: {percent:3.0f} %" + ("\n" if percent >= 100 else ""))
    elif percent >= progress_next.get(label, 0):
        say(f"{label}: {percent:.0f} %")
        progress_next[label] = percent - percent % 25 + 25


progress_next: dict[str, float] = {}


def packages_of(sections: list[str], text: str) -> list[str]:
    """The packages that the list names in these sections."""
    found, section = [], ""
    for raw in text.splitlines():
        line = raw.split("#")[0].strip()
        if line.startswith("["):
            section = line.strip("[]")
        elif line and section in sections:
            found.append(line)
    return found


def missing_packages(wanted: list[str]) -> list[str]:
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in wanted if package not in installed]


def install_packages(sections: list[str]) -> None:
    missing = missing_packages(packages_of(sections, PACKAGES.read_text()))
    if not missing:
        return
    if os.geteuid():
        raise CannotPrepareError(f"these packages are missing and only root can install them: {' '.join(missing)}")
    say(f"installing Debian packages: {' '.join(missing)}")
    run_apt("reading Debian's package lists", ["update"], stages=("dl",))
    install = ["install", "--yes", "--no-install-recommends", *missing]
    run_apt("installing Debian packages", install, stages=("dl", "pm"))


def run_apt(label: str, arguments: list[str], stages: tuple[str, ...]) -> None:
    """Run apt-get, with its own account of how far it is (APT::Status-Fd) as progress: 0 to 100 in each stage."""
    reading, writing = os.pipe()
    command = ["apt-get", "-qq", "-o", f"APT::Status-Fd={writing}", "-o", "Dpkg::Use-Pty=0", *arguments]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    log = PROJECT / "build" / "apt.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("a") as output:
        process = subprocess.Popen(
            command, env=environment, pass_fds=(writing,), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    os.close(writing)
    with os.fdopen(reading) as status:
        for line in status:
            match = re.match(r"(dl|pm)status:[^:]*:([0-9.]+):", line)
            if match and match[1] in stages:
                progress(label, (100 * stages.index(match[1]) + float(match[2])) / len(stages))
    if process.wait():
        raise CannotPrepareError(f"{label} failed; apt's last words, from {log}:\n{tail(log)}")
    progress(label, 100)


def tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def make_venv() -> None:
    """Make .venv hold exactly what the locks pin, and the project itself, editable."""
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    check_python()
    if not (VENV / "bin" / "pip").exists():
        say(f"making {VENV.name} with {PYTHON}")
        subprocess.run([PYTHON, "-m", "venv", str(VENV)], check=True)
    pip = [str(VENV / "bin" / "pip"), "install", "--disable-pip-version-check", "--no-input"]
    locked = [option for lock in LOCKS for option in ("-r", str(lock))]
    run_pip("installing Python packages", [*pip, "--no-deps", *locked])
    run_pip("installing noded, editable", [*pip, "--no-deps", "-e", str(PROJECT)])
    STAMP.write_text(wanted)


def fingerprint() -> str:
    """What .venv depends on; another value means that it is out of date."""
    digest = hashlib.sha256(str(VENV).encode())
    for file in (*LOCKS, PROJECT / "pyproject.toml"):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def check_python() -> None:
    question = [PYTHON, "-c", "import sys; print(*sys.version_info[:2])"]
    answer = subprocess.run(question, capture_output=True, text=True, check=False)
    version = tuple(int(part) for part in answer.stdout.split())
    if answer.returncode or version < PYTHON_MIN:
        raise CannotPrepareError(f"{PYTHON} must be 3.11 or newer; Debian 12, Ubuntu 24.04 and later have one")


def run_pip(label: str, command: list[str]) -> None:
    """Run pip, counting the packages that it comes to as progress."""
    total = sum(len(Path(name).read_text().splitlines()) for name in command if name.endswith(".lock")) or 1
    log = PROJECT / "build" / "pip.log"
    log.parent.mkdir(exist_ok=True)
    with (
        log.open("a") as record,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
    ):
        assert process.stdout is not None
        seen = 0
        for line in process.stdout:
            record.write(line)
            # The last tenth is the installation, of which pip says nothing until it is done.
            seen += line.startswith(("Collecting ", "Requirement already satisfied"))
            progress(label, min(90, 90 * seen / total))
    if process.returncode:
        raise CannotPrepareError(f"{label} failed; pip's last words, from {log}:\n{tail(log)}")
    progress(label, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="+", help="sections of packaging/debian-packages.txt")
    parser.add_argument("--no-venv", action="store_true", help="Debian packages only")
    options = parser.parse_args()
    try:
        install_packages(options.sections)
        if not options.no_venv:
            make_venv()
    except CannotPrepareError as reason:
        sys.exit(f"prepare: {reason}")


if __name__ == "__main__":
    main()
