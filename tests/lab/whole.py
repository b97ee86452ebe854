"""When is a new cloud whole? An API that answers says nothing of the disks and hypervisors behind it."""

import json
import time

from tests.lab.commands import LabError
from tests.lab.lab import Lab

WHOLE_SECONDS_MAX = 60.0


def wait_whole(lab: Lab) -> None:
    """Return when every host has given its disk and its memory to the cloud."""
    deadline = time.monotonic() + WHOLE_SECONDS_MAX
    while True:
        counts = json.loads(lab.host(1).run("noded", "status", "--json"))["counts"]
        if min(counts["disk"], counts["hypervisor"]) >= len(lab.hosts):
            return
        if time.monotonic() > deadline:
            raise LabError(f"{len(lab.hosts)} hosts, but {counts['disk']} disks and {counts['hypervisor']} hypervisors")
        time.sleep(0.2)
