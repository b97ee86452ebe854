"""Does a machine get exactly the Debian packages that it lacks, and no section that it does not need?"""

import runpy

from tests.lab.plan import PROJECT

SCRIPT = runpy.run_path(str(PROJECT / "packaging" / "prepare.py"))
packages_of, missing_packages = SCRIPT["packages_of"], SCRIPT["missing_packages"]

LIST = """\
[run]   # comment
alpha
beta    # why

[test]
gamma
"""


def test_sections_are_read_with_comments_left_out() -> None:
    assert packages_of(["run"], LIST) == ["alpha", "beta"]
    assert packages_of(["test", "run"], LIST) == ["alpha", "beta", "gamma"]
    assert packages_of(["none"], LIST) == []


def test_only_what_is_not_installed_is_missing() -> None:
    assert missing_packages(["dpkg", "no-such-package-anywhere"]) == ["no-such-package-anywhere"]


def test_the_list_names_each_package_once() -> None:
    sections = ["run", "build", "lab", "test", "bench"]
    packages = packages_of(sections, SCRIPT["PACKAGES"].read_text())
    assert len(packages) == len(set(packages)) > 20
