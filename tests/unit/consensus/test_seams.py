"""The engine stands on one release of pysyncobj, and on private names that it has."""

import re
import socket
from pathlib import Path

from consensus.host import seams


def test_the_installed_pysyncobj_is_the_one_the_engine_was_made_for() -> None:
    assert seams.missing_names() == []
    assert seams.source_sha256() == seams.SOURCE_SHA256


def test_private_names_are_used_in_one_file_only() -> None:
    users = [
        path.name
        for path in Path(seams.__file__).parent.glob("*.py")
        if re.search(r"_SyncObj__|\bSyncObj\b\.", path.read_text())
    ]
    assert users == ["seams.py"]


def test_every_overridden_method_is_checked_by_name() -> None:
    source = Path(seams.__file__).read_text()
    overridden = set(re.findall(r"def _SyncObj(__\w+)", source))
    assert overridden == set(seams.OVERRIDDEN)


def test_importing_the_skeleton_leaves_the_process_its_own_addresses() -> None:
    """pysyncobj puts Windows' `inet_ntop` into the socket module; what it would break is netlink, not the log."""
    assert socket.inet_ntop(socket.AF_INET, bytes((10, 77, 0, 1))) == "10.77.0.1"
