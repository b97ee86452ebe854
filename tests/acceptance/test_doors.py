"""The three doors, between hosts that know nothing of one another but the network; and who gets nowhere at them."""

import contextlib
import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from consensus.admission import Greet
from consensus.authority import found_authority, sign_node
from consensus.door import DoorClosed, Seed
from consensus.host.door import ask_to_be_let_in, knock
from consensus.host.files import write_durably
from consensus.host.identity import NodeIdentity
from consensus.host.tls import authority_file, door_client, door_server, member_contexts, node_certificate_file
from tests.acceptance.nodes import NODED
from tests.lab.commands import LabError
from tests.lab.lab import Lab, LabHost
from tests.lab.plan import Plan

pytestmark = pytest.mark.root

CLUSTER_S_MAX = 20.0  # from the last host's start to one cluster, on a quiet machine
PATIENCE_S = 90.0
PORTS = (443, 7400, 7401, 7402, 7410)


T = TypeVar("T")


def until(true: Callable[[], T | None], what: str, patience_s: float = PATIENCE_S) -> T:
    """What comes by itself, sooner or later; fail with `what` if it does not."""
    deadline = time.monotonic() + patience_s
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s: {what}"
        time.sleep(0.2)
    return found


def configure(host: LabHost, **keys: object) -> None:
    """Switch the host on with that configuration, and start its daemon."""
    host._lab.request("boot", host=host.number)
    here = {"name": host.name, "address": host.address, "disks": ["/var/lib/noded/disks/d1"], "guest_memory_mib": 1024}
    words = {**here, **keys}
    host.path("/etc/noded/noded.toml").write_text("".join(f"{key} = {json.dumps(words[key])}\n" for key in words))
    host.start_daemon()


@contextlib.contextmanager
def street(root: Path, hosts: int, link: str, subnet: str) -> Iterator[Lab]:
    """Hosts that are switched off, on one network. What their daemons said is shown if the test fails."""
    lab = Lab(Plan(root=root, hosts_count=hosts, subnet=subnet, link=link))
    lab.hold()
    try:
        yield lab
    except BaseException:
        for host in lab.hosts:
            log = host.plan.logs / "noded.log"
            if log.exists():
                print(f"--- {host.name}", *log.read_text(errors="replace").splitlines()[-25:], sep="\n")
        raise
    finally:
        lab.down()


def noded(host: LabHost, *words: str, stdin: str | None = None) -> Any:
    """What the command answers, as JSON."""
    return json.loads(host.run(NODED, *words, "--json", stdin=stdin))


def refused(host: LabHost, *words: str, stdin: str | None = None) -> str:
    """Why the command says no."""
    with pytest.raises(LabError) as no:
        host.run(NODED, *words, stdin=stdin)
    return " ".join(str(no.value).split())


def asked(host: LabHost, *words: str) -> Callable[[], Any]:
    """The same, again and again: until the daemon is there."""

    def ask() -> Any:
        with contextlib.suppress(LabError):
            return noded(host, *words)
        return None

    return ask


def members(host: LabHost) -> list[str]:
    return sorted(node["name"] for node in noded(host, "status")["nodes"])


def refusals(host: LabHost) -> set[tuple[str, int, str]]:
    """Who was turned away anywhere in the cluster: node, port, kind."""
    found = noded(host, "node", "refusals")["refusals"]
    return {(each["node_name"], each["port"], each["kind"]) for each in found}


def await_ready(*hosts: LabHost) -> None:
    until(lambda: all(host.ready() for host in hosts), "the daemons serve")


# -- the hands-off door


def test_three_fresh_hosts_with_one_seed_become_one_cluster_and_a_wrong_secret_gets_nowhere(tmp_path: Path) -> None:
    seed = {"cluster": "lab", "secret": "the same sixteen characters", "expect": 3}
    with street(tmp_path / "lab", 4, "noded-doors0", "10.74.0") as lab:
        three, stranger = lab.hosts[:3], lab.host(4)
        for host in three:
            configure(host, **seed)
        started = time.monotonic()
        await_ready(*three)
        took_s = time.monotonic() - started
        print(f"three fresh hosts were one cluster {took_s:.1f} s after the last was started")
        assert members(three[0]) == [host.name for host in three]
        assert took_s < CLUSTER_S_MAX or _busy(), f"one cluster after {took_s:.1f} s"
        configure(stranger, **(seed | {"secret": "another sixteen characters"}))
        until(lambda: (asked(stranger, "claim")() or {}).get("faults"), "the stranger knows why")
        assert "does not know the same secret" in " ".join(stranger.run(NODED, "claim").split())
        assert "belongs to no cluster" in refused(stranger, "status")
        until(lambda: _kinds(three[0], 7402) & {"wrong_secret"}, "the wrong secret is reported")
        assert members(three[0]) == [host.name for host in three]


def _busy() -> bool:
    """Whether other programs want this machine's processors: then it says nothing about how long a thing takes."""
    return float(Path("/proc/loadavg").read_text().split()[0]) > 4.0


def _kinds(host: LabHost, port: int) -> set[str]:
    return {kind for _, at, kind in refusals(host) if at == port}


# -- the human door and the token door, on one street


@dataclass
class Town:
    """A cluster that people make by hand: host 1 founds it, the others come one by one."""

    lab: Lab
    password: str = ""
    members: list[str] = field(default_factory=list)

    def host(self, number: int) -> LabHost:
        return self.lab.host(number)

    def page(self, host: LabHost, path: str, **body: str) -> tuple[int, Any]:
        """Ask the page of an unclaimed host."""
        request = urllib.request.Request(f"{host.url}{path}", json.dumps(body).encode(), method="POST")
        with contextlib.closing(_open(request, ssl._create_unverified_context())) as answer:
            return answer.status, json.loads(answer.read())

    def api(self, verb: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask noded's own API as administrator, as the dashboard does."""
        url = self.host(1).url
        context = ssl.create_default_context(cafile=str(self.host(1).path("/var/lib/noded/tls/ca.crt")))
        user = {"name": "admin", "password": self.password, "domain": {"id": "default"}}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
        }
        signing_in = urllib.request.Request(
            f"{url}/identity/v3/auth/tokens", json.dumps({"auth": auth}).encode(), {"content-type": "application/json"}
        )
        with contextlib.closing(_open(signing_in, context)) as answer:
            token = answer.headers["x-subject-token"]
        content = None if body is None else json.dumps(body).encode()
        headers = {"x-auth-token": token, "content-type": "application/json"}
        request = urllib.request.Request(f"{url}/noded/v1{path}", content, headers, method=verb)
        with contextlib.closing(_open(request, context)) as answer:
            said = answer.read()
            return answer.status, json.loads(said) if said else None

    def waiting(self, host: LabHost) -> dict[str, Any] | None:
        _, found = self.api("GET", "/join-requests")
        return next((each for each in found["requests"] if each["name"] == host.name), None)


def _open(request: urllib.request.Request, context: ssl.SSLContext) -> Any:
    try:
        return urllib.request.urlopen(request, context=context, timeout=60)
    except urllib.error.HTTPError as fault:
        return fault


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with street(tmp_path_factory.mktemp("town"), 6, "noded-doors1", "10.73.0") as lab:
        for host in lab.hosts:
            configure(host)
        yield Town(lab)


def test_a_person_creates_a_cluster_and_lets_others_in(town: Town) -> None:
    one, two, three = (town.host(number) for number in (1, 2, 3))
    claim = until(asked(one, "claim"), "an unclaimed host shows how to claim it")
    assert claim["url"] == f"{one.url}/"
    issue = one.path("/run/issue.d/noded.issue")
    until(lambda: issue.exists() and claim["claim_code"] in issue.read_text(), "the login prompt shows the code")
    status, said = town.page(one, "/noded/v1/claim", claim_code="BBBBB-BBBBB", cluster="town")
    assert (status, "not this node's claim code" in said["error"]["what"]) == (403, True)
    assert "belongs to no cluster" in refused(one, "status")
    status, made = town.page(one, "/noded/v1/claim", claim_code=claim["claim_code"].lower(), cluster="town")
    assert (status, made["user"]) == (200, "admin")
    town.password = made["password"]
    await_ready(one)
    assert not one.path("/run/issue.d/noded.issue").exists()

    # By words: neither side's yes is enough alone.
    offer = until(lambda: _offer_of(two, one), "host 2 shows words")
    request = until(lambda: town.waiting(two), "the cluster shows that host 2 waits")
    assert request["words"] == offer["words"]
    status, said = town.api("POST", f"/join-requests/{two.name}/approve", {"words": "wrong-words"})
    assert status == 403, said
    assert offer["words"] in said["error"]["what"]
    status, _ = town.api("POST", f"/join-requests/{two.name}/approve", {"words": offer["words"]})
    assert status == 200
    until(lambda: (_offer_of(two, one) or {}).get("approved"), "host 2 hears of the yes")
    assert members(one) == [one.name]
    two.run(NODED, "approve", offer["words"])
    await_ready(two)

    # By its claim code, in one step.
    until(lambda: _announced(town, three), "the cluster sees host 3")
    code = noded(three, "claim")["claim_code"]
    status, said = town.api("POST", f"/join-requests/{three.name}/approve", {"claim_code": "CCCCC-CCCCC"})
    assert status == 409, said
    assert code not in json.dumps(said)
    status, said = town.api("POST", f"/join-requests/{three.name}/approve", {"claim_code": code})
    assert (status, said["request"]) == (200, None)
    await_ready(three)
    assert members(two) == [one.name, two.name, three.name]


def _announced(town: Town, host: LabHost) -> bool:
    return host.name in {each["name"] for each in town.api("GET", "/join-requests")[1]["unclaimed"]}


def _offer_of(host: LabHost, founder: LabHost) -> dict[str, Any] | None:
    offers = (asked(host, "claim")() or {"offers": ()})["offers"]
    cluster = (asked(founder, "status")() or {"nodes": ()})["nodes"]
    ids = {node["id"] for node in cluster}
    return next((offer for offer in offers if offer["member"] in ids), None)


def test_a_second_cluster_of_the_same_name_is_told_apart(town: Town) -> None:
    one, other, fresh = town.host(1), town.host(4), town.host(5)
    noded(other, "claim", "--create", "town")
    await_ready(other)
    offers = until(lambda: _two_offers(fresh), "host 5 sees two clusters")
    assert {offer["cluster_name"] for offer in offers} == {"town"}
    assert len({offer["cluster_id"] for offer in offers}) == 2
    assert len({offer["words"] for offer in offers}) == 2
    assert members(other) == [other.name]
    assert other.name not in members(one)


def _two_offers(host: LabHost) -> list[dict[str, Any]] | None:
    offers: list[dict[str, Any]] = (asked(host, "claim")() or {"offers": []})["offers"]
    return offers if len(offers) == 2 else None


def test_a_token_lets_in_once_and_says_why_it_does_not(town: Town) -> None:
    one, two, other, five, six = (town.host(number) for number in (1, 2, 4, 5, 6))
    before = members(one)
    assert "no join token" in refused(five, "join", "-", stdin="hello")
    revoked = noded(one, "token", "create")["token"]
    assert "not copied whole" in refused(five, "join", "-", stdin=revoked["text"][:-6] + "AAAAAA")
    assert town.api("DELETE", f"/tokens/{revoked['id']}")[0] == 204
    assert "was revoked" in refused(five, "join", "-", stdin=revoked["text"])
    expired = noded(two, "token", "create", "--ttl", "1s")["token"]
    until(lambda: _state(one, expired["id"]) == "expired", "the token expires")
    assert "expired at" in refused(five, "join", "-", stdin=expired["text"])
    astray = noded(other, "token", "create", "--address", one.address)["token"]
    assert "No member let this node in" in refused(five, "join", "-", stdin=astray["text"])
    assert members(one) == before
    status, made = town.api("POST", "/tokens", {"uses": 1, "ttl": "10m", "addresses": [two.address]})
    assert status == 201
    five.path("/run/token").write_text(made["token"]["text"] + "\n")
    assert noded(five, "join", "/run/token") == {"cluster": "town"}
    await_ready(five)
    assert members(one) == sorted([*before, five.name])
    assert _state(one, made["token"]["id"]) == "used_up"
    assert "has been used 1 of 1 times" in refused(six, "join", "-", stdin=made["token"]["text"])
    assert any(fault["door"] == "token" for fault in noded(six, "claim")["faults"])
    assert "not_admitted" in _kinds(one, 7402)
    for host in (one, two, five, six):
        log = (host.plan.logs / "noded.log").read_text()
        assert made["token"]["text"] not in log
        assert town.password not in log


def _state(host: LabHost, token_id: str) -> str | None:
    tokens = noded(host, "token", "list")["tokens"]
    return next((token["state"] for token in tokens if token["id"] == token_id), None)


def test_the_authority_is_rotated_by_one_command_though_a_daemon_is_killed_meanwhile(town: Town) -> None:
    one, two, three, five = (town.host(number) for number in (1, 2, 3, 5))
    before = noded(one, "cluster", "rotate-ca", "--plan")["fingerprint"]
    two.stop_daemon(kill=True)
    noded(one, "cluster", "rotate-ca")
    until(lambda: _rotation(one)["waits_for"] == [two.name], "all but host 2 trust the new authority")
    assert _rotation(one)["stage"] == "trust"
    two.start_daemon()
    until(lambda: _rotation(one)["stage"] == "done", "the rotation is done")
    assert noded(three, "cluster", "rotate-ca", "--plan")["fingerprint"] != before
    # `ready` trusts what the host's own file says now: the new authority alone.
    await_ready(one, two, three, five)
    until(lambda: all(node["up"] for node in noded(five, "status")["nodes"]), "every node is up")
    assert one.path("/var/lib/noded/tls/ca.crt").read_text() == two.path("/var/lib/noded/tls/ca.crt").read_text()


def _rotation(host: LabHost) -> dict[str, Any]:
    found = noded(host, "cluster", "rotate-ca", "--plan")["rotation"]
    return {"stage": found["stage"], "waits_for": [node["name"] for node in found["waits_for"]]}


# -- who gets nowhere


class Relay(threading.Thread):
    """A man in the middle: ends TLS with a key of his own on one side, begins another on the other side."""

    def __init__(self, directory: Path, listen: str, target: LabHost) -> None:
        super().__init__(daemon=True)
        NodeIdentity.load_or_create(directory)
        self._server, self._client = door_server(directory), door_client()
        self._target = target
        self._listener = socket.create_server((listen, 7402))
        self._listener.settimeout(60)
        self.passed_bytes = 0

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(plain,), daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join()

    def _relay(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), self._server.wrap_socket(plain, server_side=True) as near:
            onward = socket.create_connection((self._target.address, 7402), timeout=10)
            with self._client.wrap_socket(onward) as far:
                back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
                back.start()
                self._pump(near, far)
                back.join(10)

    def _pump(self, source: ssl.SSLSocket, target: ssl.SSLSocket) -> None:
        with contextlib.suppress(OSError, ValueError):
            while piece := source.recv(65536):
                self.passed_bytes += len(piece)
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)


def test_a_man_in_the_middle_gets_nowhere_and_is_reported(town: Town, tmp_path: Path) -> None:
    one, six = town.host(1), town.host(6)
    machine = town.lab.plan.machine_address
    relay = Relay(tmp_path / "eve", machine, one)
    relay.start()
    try:
        token = noded(one, "token", "create", "--address", machine)["token"]
        assert "No member let this node in" in refused(six, "join", "-", stdin=token["text"])
        assert _state(one, token["id"]) == "valid"
        with pytest.raises(DoorClosed):
            trio.run(_ask_to_be_let_in, tmp_path / "newcomer", machine)
        assert relay.passed_bytes > 0, "nothing went through the relay, so nothing was proved"
    finally:
        relay.close()
    assert "belongs to no cluster" in refused(six, "status")
    assert six.name not in members(one)
    found = noded(one, "node", "refusals")["refusals"]
    assert (7402, "wrong_secret") in {(each["port"], each["kind"]) for each in found if each["address"] == machine}


async def _ask_to_be_let_in(directory: Path, address: str) -> None:
    """The handshake of words, through the relay; the member closes the door, and the newcomer hears of it."""
    identity = NodeIdentity.load_or_create(directory)
    async with ask_to_be_let_in(identity, [address]) as (session, _name):
        await session.ask(Greet())


def test_a_scan_of_every_port_a_stranger_and_a_guess_are_refused_and_counted(town: Town, tmp_path: Path) -> None:
    one = town.host(1)
    before = members(one)
    stranger = NodeIdentity.load_or_create(tmp_path / "stranger")
    authority = found_authority("town", datetime.now(UTC))
    write_durably(authority_file(tmp_path / "stranger"), authority.certificate_pem)
    certificate = sign_node(authority, stranger.public_key, datetime.now(UTC))
    write_durably(node_certificate_file(tmp_path / "stranger"), certificate)
    strangers = member_contexts(tmp_path / "stranger").client
    strangers.verify_mode = ssl.CERT_NONE
    for port in PORTS:
        until(lambda port=port: _is_open(one.address, port), f"port {port} is served")  # type: ignore[misc]
        for noise in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(300)):
            _poke(one.address, port, noise)
        if port != 443:
            _show_certificate(one.address, port, strangers)
    with pytest.raises((DoorClosed, OSError)):
        trio.run(_guess, stranger, one.address)
    wanted: set[tuple[str, int, str]] = {(one.name, port, "no_tls") for port in PORTS}
    wanted |= {(one.name, port, "unknown_certificate") for port in (7400, 7401, 7410)}
    wanted |= {(one.name, 7402, "no_protocol"), (one.name, 7402, "wrong_secret")}
    until(lambda: wanted <= refusals(one), f"all is reported; missing: {wanted - refusals(one)}")
    status, found = town.api("GET", "/refusals")
    assert status == 200
    assert wanted <= {(each["node_name"], each["port"], each["kind"]) for each in found["refusals"]}
    # Many more make no more lines: neither here nor in the log.
    lines = len(noded(one, "node", "refusals")["refusals"])
    logged = _log_lines(one)
    for _ in range(100):
        _poke(one.address, 7401, b"again")
    until(lambda: _count(one, 7401, "no_tls") >= 100, "a hundred more are counted")
    assert len(noded(one, "node", "refusals")["refusals"]) == lines
    assert _log_lines(one) - logged < 20
    assert members(one) == before


def _is_open(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=10):
        return True
    return False


def _poke(address: str, port: int, noise: bytes) -> None:
    # Some ports end the connection before all is said; ENOTCONN is no ConnectionError in Python.
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=10) as plain:
        plain.sendall(noise)
        plain.shutdown(socket.SHUT_WR)
        plain.recv(1000)


def _show_certificate(address: str, port: int, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError), context.wrap_socket(socket.create_connection((address, port), 10)) as secure:
        secure.sendall(b"\xff" * 4096)
        secure.recv(1000)


async def _guess(identity: NodeIdentity, address: str) -> None:
    seed = Seed(cluster="town", secret="a guess of sixteen characters", expect=1)
    async with knock(seed.key, identity, [address]):
        raise AssertionError("the door opened to a guess")


def _count(host: LabHost, port: int, kind: str) -> int:
    found = noded(host, "node", "refusals")["refusals"]
    return sum(each["count"] for each in found if (each["port"], each["kind"]) == (port, kind))


def _log_lines(host: LabHost) -> int:
    return (host.plan.logs / "noded.log").read_text().count("\n")
