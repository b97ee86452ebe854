"""Nodes come, move, die, are replaced and go, and the cluster goes on: real daemons, a steady load through the API.

Two hosts and a witness found it; a blank machine takes a dead one's place; another joins; all get new addresses, one
after another and all at once; one leaves. Printed: the longest time without an acknowledged write, for each part.
"""

import json
import shutil
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from consensus.calls import Unreachable
from consensus.host.peers_plain import call_node
from consensus.host.tls import member_contexts
from noded.core.errors import Refused
from noded.core.ids import NodeId
from tests.lab.commands import LabError
from tests.lab.lab import Lab, LabHost
from tests.lab.plan import Plan

pytestmark = pytest.mark.root

PATIENCE_S = 90.0
REFUSED_S_MAX = 1.0
GAP_S_MAX = 3.0  # on a quiet machine; a busy one is given more
BUSY = 4.0


class Town:
    """The lab, and what an operator does in it."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory
        self.password = ""

    def on(self) -> list[LabHost]:
        return [host for host in self.lab.hosts if host.pid is not None]

    def listed(self, host: LabHost) -> dict[str, dict[str, Any]]:
        """The nodes by name, as that host's command line lists them."""
        answer = json.loads(host.run("noded", "node", "list", "--json"))
        return {node["name"]: node for node in answer["nodes"]}

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if holds():
                    return
            except (LabError, KeyError):
                pass  # the daemon starts over, or does not know the node yet
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {PATIENCE_S:.0f} s: {what}")
            time.sleep(0.2)

    def until_voters(self, *numbers: int) -> None:
        """Until exactly these hosts' nodes vote, all are up, and each of them knows."""
        names = {f"host{number}" for number in numbers}

        def holds() -> bool:
            for number in numbers:
                nodes = self.listed(self.lab.host(number))
                voters = {name for name, node in nodes.items() if node["role"] == "voter"}
                if voters != names or {nodes[name]["state"] for name in names} != {"up"}:
                    return False
            return True

        self.until(f"hosts {numbers} vote", holds)

    def plan(self, name: str) -> dict[str, Any]:
        """What forgetting that node would do, as host 1 says."""
        command = ("noded", "node", "forget", name, "--plan", "--json")
        told = self.lab.host(1).run(*command, check=False)  # it ends with 1 if something stands against it
        if not told:
            raise LabError(f"host 1 does not say what {' '.join(command)} would do")
        planned: dict[str, Any] = json.loads(told)
        return planned

    def forget(self, name: str, *words: str) -> None:
        """Forget a node at host 1; again where the cluster was too busy to confirm it."""

        def gone() -> bool:
            if name in self.listed(self.lab.host(1)):
                self.lab.host(1).run("noded", "node", "forget", name, *words)
            return True

        self.until(f"{name} is forgotten", gone)

    def open(self) -> None:
        """What a client outside needs."""
        for host in self.on():
            path = host.path("/var/lib/noded/admin-password")
            if path.exists():
                self.password = path.read_text().strip()
        authority = self.lab.host(1).path("/var/lib/noded/tls/ca.crt").read_bytes()
        (self.directory / "ca.crt").write_bytes(authority)

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.directory / "ca.crt"))


class Load:
    """A client at each host that writes without a pause. What counts is that somebody is served."""

    def __init__(self, town: Town, node: str) -> None:
        self._town = town
        self._node = node
        self._stop = threading.Event()
        hosts = [host for host in town.lab.hosts if not host.plan.witness]
        self._threads = [threading.Thread(target=self._run, args=(host,), name=host.name) for host in hosts]
        self._token = ""
        self._lock = threading.Lock()
        self._count = 0
        self._last = 0.0
        self._longest = 0.0
        self.refusals: Counter[str] = Counter()
        self.gaps: dict[str, float] = {}

    def __enter__(self) -> "Load":
        self._sign_in()
        self._last = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    @contextmanager
    def measured(self, part: str) -> Iterator[None]:
        """How long nothing could be written at most while the block ran."""
        with self._lock:
            before, self._longest = self._count, 0.0
        yield
        reached = self._count + 3
        self._town.until(f"writes after {part}", lambda: self._count >= reached)
        self.gaps[part] = self._longest
        print(f"{part}: {self._count - before} writes, longest gap {self.gaps[part]:.2f} s")

    def skip(self) -> None:
        """What was before does not count: everything was off."""
        with self._lock:
            self._last = time.monotonic()

    def _sign_in(self) -> None:
        user = {"name": "admin", "password": self._town.password, "domain": {"id": "default"}}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        url = f"{self._town.lab.host(1).url}/identity/v3/auth/tokens"
        answer = httpx.post(url, json=body, verify=self._town.trust(), timeout=30)
        answer.raise_for_status()
        self._token = answer.headers["x-subject-token"]

    def _run(self, host: LabHost) -> None:
        # A node that is up may wait for an election; one that is gone answers nothing.
        with httpx.Client(verify=self._town.trust(), timeout=httpx.Timeout(5.0, connect=1.0)) as client:
            while not self._stop.is_set():
                if self._write(client, host):
                    with self._lock:
                        now = time.monotonic()
                        self._longest = max(self._longest, now - self._last)
                        self._last = now
                        self._count += 1
                self._stop.wait(0.05)

    def _write(self, client: httpx.Client, host: LabHost) -> bool:
        try:
            answer = client.post(
                f"{host.url}/noded/v1/nodes/{self._node}/label",
                json={"labels": {f"beat{host.number}": str(self._count)}},
                headers={"X-Auth-Token": self._token},
            )
        except httpx.HTTPError:
            return False
        if answer.status_code >= 400:
            self.refusals[f"{answer.status_code}: {answer.text[:200]}"] += 1
        return answer.status_code < 400


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """Four hosts of which the third is a witness; the first three are on and found a cluster."""
    plan = Plan(
        root=tmp_path / "lab", hosts_count=4, subnet="10.176.4", link="noded-life",
        expect=3, witnesses=(3,), soft_addresses=True,
    )  # fmt: skip
    lab = Lab(plan)
    lab.hold()
    try:
        for number in (1, 2, 3):
            lab.host(number).start()
        lab.wait_ready()
        yield Town(lab, tmp_path)
    finally:
        lab.down()


def test_nodes_come_move_die_and_go_while_the_cluster_serves(town: Town) -> None:
    started = time.monotonic()
    lab = town.lab
    town.until_voters(1, 2, 3)
    town.open()
    node = town.listed(lab.host(1))["host1"]["id"]
    with Load(town, node) as load:
        _any_of_three_dies(town, load)
        _a_dead_node_is_forgotten_comes_back_and_joins_anew(town, load)
        _a_fourth_joins_and_a_blank_machine_takes_its_place(town, load)
        _every_node_gets_another_address(town, load)
        _a_node_leaves(town, load)
        _all_move_while_they_are_off(town, load)
    print(f"refused meanwhile: {dict(load.refusals)}; took {time.monotonic() - started:.0f} s")
    for part, gap in load.gaps.items():
        assert gap <= GAP_S_MAX * BUSY, f"{part}: nothing could be written for {gap:.1f} s"


def _any_of_three_dies(town: Town, load: Load) -> None:
    for number in (1, 2, 3):
        with load.measured(f"host {number} of two and a witness dies"):
            town.lab.host(number).kill()
            time.sleep(3)
        town.lab.host(number).start()
        town.until_voters(1, 2, 3)


def _a_dead_node_is_forgotten_comes_back_and_joins_anew(town: Town, load: Load) -> None:
    first, second = town.lab.host(1), town.lab.host(2)
    before = town.listed(first)["host2"]["id"]
    with load.measured("host 2 is dead and forgotten"):
        town.until("host 2 answers, and is not forgotten then", lambda: "answers" in str(town.plan("host2")["refused"]))
        second.kill()
        town.until("host 2 is missed", lambda: town.plan("host2")["refused"] == [])
        town.forget("host2")
    with load.measured("host 2 comes back and is told"):
        second.start()
        note = Path("/var/lib/noded/left.json")
        town.until("host 2 knows that it was forgotten", lambda: second.path(str(note)).exists())
        assert "forgotten" in second.path(str(note)).read_text()
        second.run("noded", "node", "rejoin")
        town.until_voters(1, 2, 3)
    assert town.listed(first)["host2"]["id"] != before


def _a_fourth_joins_and_a_blank_machine_takes_its_place(town: Town, load: Load) -> None:
    first, fourth = town.lab.host(1), town.lab.host(4)
    with load.measured("host 4 joins"):
        fourth.start()
        town.until("host 4 is a member", lambda: town.listed(first)["host4"]["state"] == "up")
    before = town.listed(first)["host4"]["id"]
    with load.measured("host 4 is forgotten alive, and a blank machine takes its place"):
        key = town.directory / "key"
        shutil.copytree(fourth.path("/var/lib/noded/tls"), key / "tls")
        nodes = town.listed(first)
        town.forget("host4", "--force")
        _is_refused_everywhere(town, key, nodes)
        fourth.kill()
        fourth.blank()
        fourth.start()
        town.until("the blank one is a member", lambda: town.listed(first)["host4"]["state"] == "up")
    assert town.listed(first)["host4"]["id"] != before


def _is_refused_everywhere(town: Town, key: Path, nodes: dict[str, dict[str, Any]]) -> None:
    """By the calls of members; links refuse it in the same way (tests/unit/consensus/test_raft.py)."""
    started = time.monotonic()
    context = member_contexts(key).client
    for host in town.lab.hosts[:3]:
        node_id = NodeId(nodes[host.name]["id"])
        while "was forgotten by this cluster" not in _said(context, node_id, host.address):
            assert time.monotonic() - started < REFUSED_S_MAX * BUSY, f"{host.name} still lets the old key in"
    print(f"its key was refused everywhere {time.monotonic() - started:.2f} s later")


def _said(context: ssl.SSLContext, node_id: NodeId, address: str) -> str:
    """With what words a member refuses a call; empty if it answers it."""
    try:
        call_node(context, node_id, [address], "members.heard", b"", 10)
    except Unreachable:
        raise
    except Refused as refusal:
        return refusal.message
    return ""


def _every_node_gets_another_address(town: Town, load: Load) -> None:
    with load.measured("every node gets another address, one after another"):
        for host in town.lab.hosts:
            host.readdress(host.number + 20)
            _until_at_its_address(town, host)


def _until_at_its_address(town: Town, moved: LabHost) -> None:
    other = next(host for host in town.lab.hosts if host is not moved)

    def holds() -> bool:
        node = town.listed(other)[moved.name]
        return bool(node["addresses"] == [moved.address] and node["state"] == "up" and moved.ready())

    town.until(f"{moved.name} is known at {moved.address}", holds)


def _a_node_leaves(town: Town, load: Load) -> None:
    first, fourth = town.lab.host(1), town.lab.host(4)
    with load.measured("host 4 leaves"):
        town.until("host 4 has left", lambda: _has_left(fourth))
        assert "host4" not in town.listed(first)
    with load.measured("host 4 joins again"):
        fourth.run("noded", "node", "rejoin")
        town.until("host 4 is a member", lambda: town.listed(first)["host4"]["state"] == "up")


def _has_left(host: LabHost) -> bool:
    note = host.path("/var/lib/noded/left.json")
    if not note.exists():
        host.run("noded", "node", "leave")  # again if the cluster was too busy to confirm it
    return note.exists()


def _all_move_while_they_are_off(town: Town, load: Load) -> None:
    for host in town.lab.hosts:
        host.kill()
    for host in town.lab.hosts:
        host.readdress(host.number + 40)
    for host in town.lab.hosts:
        host.start()
    for host in town.lab.hosts:
        _until_at_its_address(town, host)
    load.skip()
    with load.measured("all have moved"):
        town.until_voters(1, 2, 3)
    counts = json.loads(town.lab.host(1).run("noded", "status", "--json"))["counts"]
    assert (counts["node"], counts["disk"], counts["hypervisor"]) == (4, 3, 3)
