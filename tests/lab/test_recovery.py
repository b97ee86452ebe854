"""What is lost can be brought back: two of three hosts at once, then all three. One cluster in the end, each time."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consensus.host.peers_plain import call_daemon
from noded.core.errors import Unavailable
from noded.core.ids import NodeId
from noded.inspection.model import StoreDigest
from tests.lab.commands import LabError
from tests.lab.lab import Lab, LabHost
from tests.lab.plan import Plan

pytestmark = pytest.mark.root

NODED = str(Path(sys.executable).with_name("noded"))
PATIENCE_S = 120.0
PASSPHRASE = "a passphrase of this test\n"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(Plan(root=tmp_path_factory.mktemp("lost"), subnet="10.78.0", link="noded-lost")) as lab:
        yield lab


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if true():
                return
        except (LabError, Unavailable):
            pass  # a daemon that is on its way
        if time.monotonic() > deadline:
            pytest.fail(f"not within {PATIENCE_S:.0f} s: {what}")
        time.sleep(0.1)


def noded(host: LabHost, *words: str, stdin: str | None = None) -> Any:
    answer = host.run(NODED, *words, "--json", stdin=stdin)
    return json.loads(answer) if answer.strip() else None


def members(host: LabHost) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in noded(host, "node", "list")["nodes"]}


def voters(host: LabHost) -> set[str]:
    return {name for name, node in members(host).items() if node["role"] == "voter" and node["state"] == "up"}


def digest(host: LabHost) -> StoreDigest:
    answer = call_daemon(host.path("/run/noded/peers.sock"), NodeId(host.name), "inspection.digest", b"", 10)
    return msgspec.msgpack.decode(answer, type=StoreDigest)


def alike(lab: Lab) -> bool:
    return len({digest(host) for host in lab.hosts}) == 1


def whole(lab: Lab) -> None:
    everyone = {host.name for host in lab.hosts}
    until(lambda: all(voters(host) == everyone for host in lab.hosts), "three voters on every host")
    until(lambda: alike(lab), "the same state on every host")


def labels(host: LabHost) -> dict[str, str]:
    found: dict[str, str] = members(host)["host1"]["labels"]
    return found


def test_one_of_three_goes_on_alone_and_the_two_others_follow_when_they_come_back(lab: Lab) -> None:
    whole(lab)
    one, others = lab.host(1), lab.hosts[1:]
    noded(one, "node", "label", "host1", "before=the loss")
    with pytest.raises(LabError, match="that is a majority"):
        noded(one, "cluster", "recover", "--yes")
    for host in others:
        host.kill()
    # The survivor may even start anew: it then waits for a state that only a majority could tell it.
    one.stop_daemon(kill=True)
    one.start_daemon()
    until(lambda: noded(one, "cluster", "recover", "--plan"), "the survivor's console answers")
    plan = noded(one, "cluster", "recover", "--plan")
    assert [other["answers"] for other in plan["others"]] == [False, False]
    assert plan["obstacles"] == []
    with pytest.raises(LabError, match="needs a yes"):
        noded(one, "cluster", "recover")
    until(lambda: not noded(one, "cluster", "recover", "--plan")["warnings"], "nobody is believed to lead")
    done = noded(one, "cluster", "recover", "--yes")
    assert (done["leads"], done["life"]) == (True, 2)
    until(one.ready, "the API of the survivor")
    noded(one, "node", "label", "host1", "after=the loss")
    for host in others:
        host.start()
    lab.wait_ready()
    whole(lab)
    for host in lab.hosts:
        assert labels(host) == {"before": "the loss", "after": "the loss"}
        assert [life["beginning"] for life in noded(host, "cluster", "lives")] == ["recovered"]
    for host in others:
        assert "node steps back" in (host.plan.logs / "noded.log").read_text()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the backup lies, outside of all hosts."""
    return tmp_path_factory.mktemp("backups") / "lab.nbk"


def forget_all_but(host: LabHost, *names: str) -> None:
    for name in members(host).keys() - set(names):
        noded(host, "node", "forget", name, "--force")


def restore(host: LabHost, kept: Path, *words: str) -> Any:
    return noded(host, "restore", str(kept), "--yes", "--passphrase-file", "-", *words, stdin=PASSPHRASE)


def test_a_backup_brings_everything_back_on_one_blank_host_and_the_others_join_it(lab: Lab, kept: Path) -> None:
    one = lab.host(1)
    noded(one, "node", "label", "host1", "kept=in the backup")
    taken = noded(one, "backup", str(kept), "--passphrase-file", "-", stdin=PASSPHRASE)
    noded(one, "node", "label", "host1", "lost=after the backup")
    with pytest.raises(LabError, match="in use by another process"):
        restore(one, kept)
    for host in lab.hosts:
        host.kill()
        for image in (host.plan.system_image, host.plan.disk_image):
            image.unlink()
    lab.request("boot", host=1)
    checked = noded(one, "backup", "verify", str(kept), "--passphrase-file", "-", stdin=PASSPHRASE)
    assert (checked["revision"], checked["life"]) == (taken["revision"], 2)
    restored = restore(one, kept)
    assert (restored["digest"], restored["new_life"]) == (checked["digest"], 3)
    one.start_daemon()
    until(one.ready, "the API of the restored host")
    assert len(members(one)) == 4, "itself, both others, and what it was before"
    forget_all_but(one, "host1")
    for host in lab.hosts[1:]:
        host.start()
    lab.wait_ready()
    whole(lab)
    assert members(one).keys() == {host.name for host in lab.hosts}
    assert [life["beginning"] for life in noded(lab.host(2), "cluster", "lives")] == ["recovered", "restored"]
