"""How a host starts the daemon as its systemd unit does, though no systemd runs there: with the same capabilities.

So every test on simulated hosts also proves that the unit's hardening leaves the daemon what it needs.
"""

import configparser
from functools import cache

from tests.lab.commands import call
from tests.lab.plan import PROJECT

UNIT = PROJECT / "systemd" / "noded.service"


@cache
def confined() -> tuple[str, ...]:
    """The words to put before a command, so that it runs with what the unit grants and no more."""
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys are case-sensitive
    unit.read(UNIT)
    service = unit["Service"]
    granted = {name.removeprefix("CAP_").lower() for name in service["CapabilityBoundingSet"].split()}
    # Only taken away, never added: a machine may itself lack some, and nothing can add those.
    dropped = [f"-{name}" for name in call("setpriv", "--list-caps").split() if name not in granted]
    no_new = ("--no-new-privs",) if service.getboolean("NoNewPrivileges") else ()
    return ("setpriv", *no_new, "--bounding-set", ",".join(dropped), "--")
