"""The page of conformance says what a run of tempest left, and nothing else."""

from pathlib import Path

from tests.acceptance.conformance import failures, page


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
