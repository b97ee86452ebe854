"""`noded gateway`: what is asked of the daemon, and how its answer reads."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from noded.cli.asking import USAGE
from noded.cli.main import main
from tests.unit.noded.cli.test_main import daemon

SET = {"requests_s": 5, "burst": 0, "origins": ["https://app.example"]}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "noded.toml"
    file.write_text(f'run_dir = "{tmp_path}"\n')
    return file


def run(config: Path, *words: str) -> Any:
    return CliRunner().invoke(main, ["--config", str(config), "gateway", *words])


def test_rules_are_shown_and_set_in_words(config: Path, tmp_path: Path) -> None:
    with daemon(tmp_path, SET) as asked:
        done = run(config, "set", "--requests-s", "5", "--origin", "https://app.example")
    assert done.exit_code == 0, done.output
    assert "5 requests a second, 50 at once" in done.stdout
    assert "https://app.example" in done.stdout
    assert msgspec.msgpack.decode(asked[0].payload) == {"requests_s": 5, "origins": ["https://app.example"]}
    (tmp_path / "peers.sock").unlink()
    with daemon(tmp_path, SET | {"requests_s": 0, "origins": []}) as asked:
        done = run(config, "set", "--no-origins")
    assert "as many requests as they like" in done.stdout
    assert msgspec.msgpack.decode(asked[0].payload) == {"origins": []}


def test_there_must_be_something_to_set(config: Path) -> None:
    assert run(config, "set").exit_code == USAGE
