"""docs/volume-verbs.md names every verb of block storage that the client of the tests knows, and none failed."""

from importlib.metadata import entry_points
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "volume-verbs.md"


def test_the_page_of_verbs_is_whole() -> None:
    lines = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    ended = {line[1].strip().strip("`"): line[2].strip() for line in lines}
    known = {point.name.replace("_", " ") for point in entry_points(group="openstack.volume.v3")}
    assert set(ended) == known, "write it anew: python -m tests.acceptance.volume_verbs"
    assert {verb: said for verb, said in ended.items() if said != "✓" and not said.startswith("not offered: ")} == {}
