"""Writes docs/conformance.md from a run of OpenStack's own tests: `python -m tests.acceptance.conformance WORKDIR`.

WORKDIR is what such a run leaves: `expected.txt` (what was selected), `failed.txt` (what failed or gave no result) and
`details.txt` (why). The page says how many of each suite passed, and each failure with the last thing that was said.
"""

import argparse
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
REASON_CHARS_MAX = 160
HEAD = """# Conformance: OpenStack's own tests

tempest 47 and its plugins, unmodified, against this cloud. What was selected and gave no result counts as failed;
so does every test of a class whose preparation failed. The page is written by

    python -m tests.acceptance.conformance WORKDIR

from the work directory of a run; nothing in it is written by hand. What it says of suites that were not run stays.
"""


@dataclass(frozen=True)
class Failure:
    """One test that did not pass, and the last thing that was said of it."""

    test: str
    reason: str


def suite_of(test: str) -> str:
    """`tempest.api.volume` of a test's whole name."""
    return ".".join(test.split(".")[:3])


def bare(test: str) -> str:
    """The test's name without the ids in brackets."""
    return test.split("[", maxsplit=1)[0].strip()


def reasons(details: str) -> dict[str, str]:
    """For each test that failed the last line of its report that says something."""
    found: dict[str, str] = {}
    for report in re.split(r"^== ", details, flags=re.MULTILINE)[1:]:
        name, *lines = report.splitlines()
        said = [line.strip() for line in lines if line.strip() and not set(line.strip()) <= set("^~")]
        found[bare(name)] = said[-1][:REASON_CHARS_MAX] if said else "no report"
    return found


def failures(work: Path) -> list[Failure]:
    """What failed, by name."""
    why = reasons((work / "details.txt").read_text())
    found = []
    for line in (work / "failed.txt").read_text().splitlines():
        kind, _, test = line.partition("\t")
        said = why.get(bare(test)) or ("its class could not be prepared" if kind == "noresult" else "no report")
        found.append(Failure(bare(test), said))
    return sorted(found, key=lambda failure: failure.test)


def kept(before: str, suites: set[str], mark: str) -> list[str]:
    """The lines that begin with `mark` on the page as it was, of other suites than these."""
    lines = [line for line in before.splitlines() if line.startswith(f"{mark} `")]
    return [line for line in lines if suite_of(line.split("`")[1]) not in suites]


def page(selected: list[str], failed: list[Failure], before: str = "") -> str:
    """The whole page: this run's suites, and of `before` the others."""
    asked, lost = Counter(map(suite_of, selected)), Counter(suite_of(failure.test) for failure in failed)
    rows = [f"| `{suite}` | {asked[suite]} | {asked[suite] - lost[suite]} | {lost[suite]} |" for suite in asked]
    rows += kept(before, set(asked), "|")
    table = ["| suite | selected | passed or skipped | failed |", "|---|---|---|---|", *sorted(rows)]
    lines = [HEAD, *table, ""]
    told = [f"- `{failure.test}`: {failure.reason}" for failure in failed] + kept(before, set(asked), "-")
    if told:
        lines += ["## What failed, and what it said", "", *sorted(told)]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Read the arguments and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    selected = [bare(line) for line in (arguments.work / "expected.txt").read_text().splitlines() if line.strip()]
    before = arguments.page.read_text() if arguments.page.exists() else ""
    arguments.page.write_text(page(selected, failures(arguments.work), before))


if __name__ == "__main__":
    main()
