"""`noded policy`: what is asked of the daemon, and how its answer reads."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from noded.cli.asking import REFUSED, USAGE
from noded.cli.main import main
from noded.core.errors import Invalid
from tests.unit.noded.cli.test_main import daemon

ACTION = "compute:servers:create_server"
LISTED = {
    "rules": [{"name": "member", "rule": "role:member", "default": "role:member", "own": False}],
    "actions": [
        {"action": ACTION, "rule": "role:boss", "default": "rule:member", "own": True, "routes": ["POST /x"]},
    ],
}
REASONS: dict[str, Any] = {
    "action": ACTION, "routes": ["POST /x"], "rule": "rule:member", "is_own": False, "allowed": False,
    "why": "The rule does not hold for ann on project p.", "way_out": "With one of member they may", "roles": [],
    "steps": [
        {"depth": 0, "check": "rule:member", "holds": False},
        {"depth": 1, "check": "role:member", "holds": False},
    ],
}  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "noded.toml"
    file.write_text(f'run_dir = "{tmp_path}"\n')
    return file


def run(config: Path, *words: str) -> Any:
    return CliRunner().invoke(main, ["--config", str(config), "policy", *words])


def test_rules_are_set_by_hand_or_from_a_file(config: Path, tmp_path: Path) -> None:
    with daemon(tmp_path, LISTED) as asked:
        done = run(config, "set", ACTION, "role:boss")
    assert done.exit_code == 0
    assert [word in done.stdout for word in (ACTION, "role:boss", "POST /x", "role:member")] == [
        True,
        True,
        True,
        False,
    ]
    assert msgspec.msgpack.decode(asked[0].payload) == {"policy": {ACTION: "role:boss"}}
    file = tmp_path / "policy.yaml"
    file.write_text(f'# of ours\n"{ACTION}": "role:boss"\n"ours": "@"\n')
    (tmp_path / "peers.sock").unlink()
    with daemon(tmp_path, LISTED) as asked:
        assert run(config, "set", "--file", str(file)).exit_code == 0
    assert msgspec.msgpack.decode(asked[0].payload) == {"policy": {ACTION: "role:boss", "ours": "@"}}


def test_what_is_no_set_of_rules_is_refused_before_anyone_is_asked(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("- role:boss\n")
    done = run(config, "set", "--file", str(file))
    assert (done.exit_code, "holds no rules" in done.stderr) == (REFUSED, True)
    assert run(config, "set", ACTION).exit_code == USAGE
    assert run(config, "explain", ACTION, "--user", "ann", "--target", "x").exit_code == USAGE


def test_a_refused_rule_says_why(config: Path, tmp_path: Path) -> None:
    with daemon(tmp_path, Invalid("The rule `x` can't be read: it is no check.")):
        done = run(config, "set", ACTION, "x")
    assert (done.exit_code, done.stderr) == (REFUSED, "noded: The rule `x` can't be read: it is no check.\n")


def test_an_explanation_shows_each_check_and_the_way_out_and_ends_as_the_verdict(config: Path, tmp_path: Path) -> None:
    with daemon(tmp_path, REASONS) as asked:
        done = run(config, "explain", ACTION, "--user", "ann", "--project", "p", "--target", "server_id=s1")
    assert done.exit_code == REFUSED
    assert done.stdout.splitlines()[:3] == ["not allowed", f"  {REASONS['why']}", f"  {REASONS['way_out']}"]
    assert "    no  role:member" in done.stdout
    call = msgspec.msgpack.decode(asked[0].payload)
    assert (call["user"], call["project"], call["target"]) == ("ann", "p", {"server_id": "s1"})
    (tmp_path / "peers.sock").unlink()
    with daemon(tmp_path, {**REASONS, "allowed": True}):
        done = run(config, "explain", ACTION, "--user", "ann", "--json")
    assert (done.exit_code, json.loads(done.stdout)["allowed"]) == (0, True)
