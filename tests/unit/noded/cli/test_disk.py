"""What is typed to give a disk to the pool, to find it, to ask for its health, and to examine the cloud."""

from pathlib import Path

import msgspec
import pytest

from noded.cli.doctor import FOUND
from noded.cli.host.local import SOCKET_NAME
from noded.doctor.model import Examination
from tests.unit.noded.cli.test_main import config, told, told_again

__all__ = ["config"]  # a fixture
PLAN = {"disk": "/dev/sdb", "steps": ["a file system is made on it"], "warnings": [], "done": False}
DRIVE = {
    "disk": "d", "name": "/disks/[one]", "device": "/dev/sdb", "model": "M", "serial": "S1", "slot": "", "smart": None,
    "lit": None, "lacks": ["ledctl is not installed"],
}  # fmt: skip


def test_a_device_is_given_to_the_pool_and_its_plan_is_shown_first(config: Path) -> None:
    result, call = told(config, PLAN, "disk", "add", "/dev/sdb", "--node", "host2", "--format", "--plan")
    asked = msgspec.msgpack.decode(call.payload)
    assert call.method == "disks.add"
    assert asked == {"path": "/dev/sdb", "node": "host2", "format": True, "plan": True}
    assert "nothing is done yet" in result.output
    assert "a file system is made on it" in result.output


@pytest.mark.parametrize(("words", "lit"), [((), True), (("--off",), False)])
def test_a_drive_is_located_and_what_is_missing_for_it_is_said(config: Path, words: tuple[str, ...], lit: bool) -> None:
    result, call = told(config, DRIVE, "disk", "locate", "host1:/disks/[one]", *words)
    assert msgspec.msgpack.decode(call.payload) == {"name": "host1:/disks/[one]", "lit": lit}
    assert "/disks/[one]: /dev/sdb, M, serial S1; its light can't be told to shine" in result.output
    assert "! ledctl is not installed" in result.output


def test_the_health_of_drives_is_shown_with_what_is_not_known(config: Path) -> None:
    smart = {"passed": False, "temperature_c": 71, "power_on_hours": None, "warnings": ["it expects to fail"]}
    answer = {"drives": {"a" * 32: DRIVE | {"smart": smart, "lacks": []}, "b" * 32: {"lacks": ["no answer"]}}}
    result, call = told(config, answer, "disk", "health")
    assert call.method == "disks.health"
    assert "FAILING, 71 °C" in result.output
    assert "! it expects to fail" in result.output
    assert "bbbbbbbbbbbb  no drive: nothing is known of its health" in result.output


def test_a_sweep_shows_its_plan(config: Path) -> None:
    _, call = told(config, PLAN, "disk", "sweep", "abcdefgh", "--plan")
    assert call.method == "disks.sweep"
    assert msgspec.msgpack.decode(call.payload) == {"disk": "abcdefgh", "plan": True}


def test_the_doctors_exit_code_says_whether_anything_was_found(config: Path) -> None:
    clean = {"answered_by": "n", "revision": 7, "nodes": ["a"], "looks": 1, "findings": []}
    result, call = told(config, clean, "doctor")
    assert (call.method, result.exit_code) == ("doctor.examine", 0)
    assert "Everything is as the records say. 1 nodes looked at (a), revision 7." in result.output
    finding = {
        "kind": "orphan tap",
        "subject": "ndt1",
        "what": "a tap [x]",
        "why": "y",
        "mend": "m",
        "node_id": "n" * 32,
    }
    result = told_again(config, clean | {"findings": [finding], "looks": 2}, "doctor", "--json")
    assert result.exit_code == FOUND
    assert msgspec.json.decode(result.output, type=Examination).findings[0].what == "a tap [x]"


def test_a_key_for_the_metrics_is_printed_bare_once(config: Path) -> None:
    result, call = told(config, {"key": "abc"}, "metrics", "key")
    assert (call.method, result.output) == ("metrics.make_key", "abc\n")
    (config.parent / SOCKET_NAME).unlink()
    result, call = told(config, {"key": None}, "metrics", "key", "--drop")
    assert (call.method, result.output) == ("metrics.drop_key", "")
