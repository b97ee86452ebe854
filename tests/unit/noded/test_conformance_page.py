"""The page of conformance says what a run of tempest left, and nothing else."""

from pathlib import Path

from tests.acceptance.conformance import Failure, failures, page


def test_each_failure_has_the_last_thing_that_was_said(tmp_path: Path) -> None:
    names = [f"tempest.api.volume.test_x.X.test_{letter}[id-{letter}]" for letter in "abc"]
    (tmp_path / "failed.txt").write_text(f"fail\t{names[1]}\nnoresult\t{names[2]}\n")
    report = f"== {names[1]}\nTraceback\n  ^^^^\nNotFound: gone\nDetails: 404\n  ^^^\n\n"
    (tmp_path / "details.txt").write_text(report)
    failed = failures(tmp_path)
    assert [failure.reason for failure in failed] == ["Details: 404", "its class could not be prepared"]
    written = page([name.split("[")[0] for name in names], failed)
    assert "| `tempest.api.volume` | 3 | 1 | 2 |" in written
    assert "- `tempest.api.volume.test_x.X.test_b`: Details: 404" in written
    assert "## What failed" not in page(["tempest.api.volume.test_x.X.test_a"], [])


def test_what_is_said_of_other_suites_stays() -> None:
    volume, image = "tempest.api.volume.test_x.X.test_a", "tempest.api.image.test_x.X.test_a"
    before = page([volume, image], [Failure(volume, "broken"), Failure(image, "old")])
    written = page([image], [Failure(image, "new")], before)
    assert written == page([volume, image], [Failure(volume, "broken"), Failure(image, "new")])
    healed = page([image], [], before)
    assert healed == page([volume, image], [Failure(volume, "broken")])
