"""`noded admin`: what is asked of the daemon, and how its answer reads."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from noded.cli.asking import REFUSED, USAGE
from noded.cli.host.local import SOCKET_NAME
from noded.cli.main import main
from noded.core.errors import NotFound
from tests.unit.noded.cli.test_main import daemon

TOLD = {"id": "u", "name": "admin", "was_enabled": False, "was_locked": True}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "noded.toml"
    file.write_text(f'run_dir = "{tmp_path}"\n')
    return file


def run(config: Path, *words: str, typed: str = "") -> Any:
    return CliRunner().invoke(main, ["--config", str(config), "admin", *words], input=typed)


def test_a_password_is_set_and_not_shown(config: Path, tmp_path: Path) -> None:
    with daemon(tmp_path, TOLD) as asked:
        done = run(config, "reset-password", "--stdin", typed="hush hush\n")
    assert (done.exit_code, "hush" in done.output) == (0, False)
    assert "disabled and locked no more" in done.stdout
    assert msgspec.msgpack.decode(asked[0].payload) == {"user": "admin", "domain": "default", "password": "hush hush"}
    (tmp_path / SOCKET_NAME).unlink()
    with daemon(tmp_path, TOLD) as asked:
        done = run(config, "reset-password", "ann", "--generate", "--json")
    assert json.loads(done.stdout)["password"] == msgspec.msgpack.decode(asked[0].payload)["password"]
    assert run(config, "reset-password", "--generate", "--stdin").exit_code == USAGE
    assert run(config, "reset-password", "--stdin", typed="\n").exit_code == USAGE
    (tmp_path / SOCKET_NAME).unlink()
    with daemon(tmp_path, NotFound.of("user", "nobody")):
        assert run(config, "reset-password", "nobody", "--stdin", typed="x\n").exit_code == REFUSED


def test_users_come_from_a_file(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "users.json"
    file.write_text(json.dumps([{"name": "ann"}]))
    with daemon(tmp_path, {"imported": 1, "were_there": ["bob"]}) as asked:
        done = run(config, "import-users", str(file))
    assert (done.exit_code, done.stdout.strip()) == (0, "1 users imported; there already: bob.")
    assert msgspec.msgpack.decode(asked[0].payload) == [{"name": "ann"}]
    file.write_text("{}")
    assert run(config, "import-users", str(file)).exit_code == REFUSED
