"""Do Ansible's openstack.cloud modules keep identity, and leave alone what is as they want it?

    python -m tests.acceptance.ansible_twice --url URL --ca FILE      (a cloud of `python -m tests.twins.serve`)

Runs the playbook beside this file twice, with ansible-core and the collection as `ansible.lock` pins them, laid below
`build/ansible` the first time. The second run must change nothing. Not a part of the tests that run each time: it
brings 54 MB, and takes minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import yaml

from tests.twins.cloud import ADMIN_PASSWORD

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
PLACE = PROJECT / "build" / "ansible"
# Of this module a second run makes a new one by its own design: what was made can't be changed, so it never compares.
ALWAYS_NEW = {"credential"}
COLLECTION = "ansible_collections/openstack/cloud/"


def prepare() -> None:
    """Lay Ansible and the collection below `build/ansible`, unless they are there as the lock says."""
    pins = [line for line in (HERE / "ansible.lock").read_text().splitlines() if line and line[0] != "#"]
    stamp = PLACE / "pins"
    if stamp.exists() and stamp.read_text() == "\n".join(pins):
        return
    PLACE.mkdir(parents=True, exist_ok=True)
    whole = [pin for pin in pins if pin.startswith("ansible==")]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run(
        [*pip, "install", "--no-deps", "--upgrade", "--target", str(PLACE), *(pin for pin in pins if pin not in whole)],
        check=True,
    )
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([*pip, "download", "--no-deps", "-d", directory, *whole], check=True)
        for wheel in Path(directory).glob("*.whl"):
            with ZipFile(wheel) as archive:
                archive.extractall(PLACE, [name for name in archive.namelist() if name.startswith(COLLECTION)])
    stamp.write_text("\n".join(pins))


def play(url: str, ca: str, directory: Path) -> dict[str, Any]:
    """One run, as Ansible's JSON callback tells it."""
    auth = {
        "auth_url": f"{url}/identity/v3", "username": "admin", "password": ADMIN_PASSWORD, "project_name": "admin",
        "user_domain_name": "Default", "project_domain_name": "Default",
    }  # fmt: skip
    cloud = {"auth": auth, "cacert": ca, "region_name": "RegionOne"}
    (directory / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"noded": cloud}}))
    environment = {
        **os.environ,
        "PYTHONPATH": str(PLACE),
        "ANSIBLE_COLLECTIONS_PATH": str(PLACE),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_HOME": str(directory),
        "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
        "OS_CLIENT_CONFIG_FILE": str(directory / "clouds.yaml"),
        "LC_ALL": "C.UTF-8",
    }
    words = [
        sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local",
        "-e", f"ansible_python_interpreter={sys.executable}", str(HERE / "ansible_identity.yml"),
    ]  # fmt: skip
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, cwd=directory)
    tasks = [line for line in done.stdout.splitlines() if line.startswith(("TASK", "ok:", "changed:", "fatal:"))]
    return {"code": done.returncode, "tasks": tasks, "said": done.stdout[-3000:] + done.stderr[-2000:]}


def changed(tasks: Iterable[str]) -> list[str]:
    """The tasks that changed something."""
    found, task = [], ""
    for line in tasks:
        if line.startswith("TASK"):
            task = line.partition("[")[2].partition("]")[0]
        elif line.startswith("changed:"):
            found.append(task)
    return found


def main() -> None:
    """Run it twice, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--ca", required=True)
    arguments = parser.parse_args()
    prepare()
    faults = []
    with tempfile.TemporaryDirectory() as directory:
        for number in (1, 2):
            run = play(arguments.url, arguments.ca, Path(directory))
            moved = changed(run["tasks"])
            print(f"run {number}: exit code {run['code']}, changed {len(moved)}: {json.dumps(moved)}")
            if run["code"]:
                faults.append(run["said"])
            if number == 2 and set(moved) - ALWAYS_NEW:
                faults.append(f"the second run changed {moved}")
    print("\n".join(faults) or f"the second run changed nothing but {', '.join(ALWAYS_NEW)}, which is always made anew")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
