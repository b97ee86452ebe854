"""The command against a daemon that is a socket with one answer: what it prints, and how it ends."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click.testing
import msgspec
import pytest

from consensus.calls import Call, body_length, denied_frame, done_frame, read_call
from consensus.liveness.model import Lost, Outlook, State
from noded.cli.asking import NO_DAEMON, REFUSED, USAGE
from noded.cli.host.local import SOCKET_NAME
from noded.cli.main import main
from noded.core.errors import NotFound, Refused, Unavailable
from noded.core.ids import NodeId, Revision
from noded.core.units import GIB
from noded.inspection.model import ClusterStatus, ExplainCall, NodeStatus, Space, Vitals

PATIENCE_S = 10.0


@contextmanager
def daemon(directory: Path, answer: object) -> Iterator[list[Call]]:
    """A daemon that answers one call; `answer` is a refusal, or what is told. Gives what was asked."""
    asked: list[Call] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(directory / SOCKET_NAME))
    listener.listen()
    listener.settimeout(PATIENCE_S)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            asked.append(read_call(stream.read(body_length(stream.read(4)))))
            if isinstance(answer, Refused):
                connection.sendall(denied_frame(answer))
            else:
                connection.sendall(done_frame(msgspec.msgpack.encode(answer)))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        thread.join()
        listener.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "noded.toml"
    file.write_text(f'run_dir = "{tmp_path}"\n')
    return file


def run(config: Path, *words: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, ["--config", str(config), *words])


def told(config: Path, answer: object, *words: str) -> tuple[click.testing.Result, Call]:
    with daemon(config.parent, answer) as asked:
        result = run(config, *words)
    return result, asked[0]


def node(name: str, *, up: bool = True, leader: bool = False, state: State | None = None) -> NodeStatus:
    space = Space(total_bytes=8 * GIB, used_bytes=2 * GIB)
    vitals = Vitals(cpus=4, cpu_percent=25.0, load_1min=1.0, memory=space, disks={"/d": space}, uptime_s=9.0)
    return NodeStatus(
        id=NodeId(name * 8),
        name=name,
        addresses=("10.0.0.1",),
        up=up,
        state=state or (State.UP if up else State.DOWN),
        since="2026-01-02T03:04:05Z",
        seen_by=("[/]",),
        missed_by=("gray[/]",),
        leader=leader,
        voter=True,
        release="0.1.0",
        replicas=3,
        replicas_behind=0 if up else 2,
        vitals=vitals if up else None,
    )


def cluster(leader: str | None = "blue", *, has_majority: bool = True, hints: tuple[str, ...] = ()) -> ClusterStatus:
    blue, gray = NodeId("blue" * 8), NodeId("gray" * 8)
    return ClusterStatus(
        cluster="home",
        answered_by=NodeId("blue" * 8),
        leader=None if leader is None else NodeId(leader * 8),
        revision=Revision(77),
        outlook=Outlook(
            has_majority=has_majority,
            voters=(blue, gray),
            voters_seen=(blue,),
            lost=(Lost(node_id=gray, name="gray[/]", since_ms=1_767_000_000_000),),
            minority_since_ms=None if has_majority else 1_767_000_001_000,
        ),
        hints=hints,
        nodes=(node("blue", leader=leader == "blue"), node("gray", up=False)),
        counts={"server": 2, "port": 0},
    )


def test_status_shows_the_cluster_on_one_screen(config: Path) -> None:
    result, asked = told(config, cluster(), "status")
    assert result.exit_code == 0, result.output
    assert asked.method == "inspection.status"
    for words in ("cluster home: 1 of 2 nodes up", "server 2"):
        assert words in result.output
    assert "no leader" not in result.output
    assert "port 0" not in result.output


def test_status_takes_names_for_texts_and_leaves_them_whole(config: Path) -> None:
    names = ("[/]", "host[red]7", "n" * 64)
    answer = msgspec.structs.replace(cluster(), nodes=tuple(map(node, names)))
    result, _ = told(config, answer, "status")
    assert result.exit_code == 0, result.exception
    for name in names:
        assert f"{name} " in result.output, "for a pipe, whole and in one line"


@pytest.mark.parametrize(
    "words",
    [
        ("node", "show", "\udcff"),
        ("claim", "--create", "\udcff"),
        ("token", "create", "--uses", "9" * 30),
        ("diff", "--from", "9" * 30),
    ],
)
def test_what_can_not_be_asked_is_wrong_words(config: Path, words: tuple[str, ...]) -> None:
    result = run(config, *words)
    assert (result.exit_code, type(result.exception)) == (USAGE, SystemExit)
    assert "no UTF-8, or a number too large" in result.output


def test_status_says_when_nobody_leads(config: Path) -> None:
    assert "no leader" in told(config, cluster(None), "status")[0].output


def test_status_says_what_a_node_that_is_cut_off_can_not_do_and_who_is_missing(config: Path) -> None:
    said = " ".join(told(config, cluster(None, has_majority=False), "status")[0].output.split())
    assert "sees only 1 of 2 voting nodes since 2025-12-29T09:20:01Z: nothing can be changed from here" in said
    assert "as of revision 77. Not reached: gray[/] since 2025-12-29T09:20:00Z." in said


def test_status_says_who_does_not_hear_a_node_and_what_should_be_known_before_it_matters(config: Path) -> None:
    answer = cluster(hints=("[/] is full",))
    partly = msgspec.structs.replace(answer, nodes=(node("blue", state=State.PARTLY), node("gray", up=False)))
    said = told(config, partly, "status")[0].output
    assert "partly" in said
    assert "not heard by gray[/]" in said
    assert "! [/] is full" in said


def test_a_daemon_that_refuses_because_it_is_cut_off_is_not_asked_whether_it_runs(config: Path) -> None:
    result, _ = told(config, Unavailable("This node sees only 1 of 3 voting nodes."), "node", "drain", "blue")
    assert result.exit_code == REFUSED
    assert "sees only 1 of 3 voting nodes." in result.output
    assert "running" not in result.output


@pytest.mark.parametrize("words", [("status",), ("node", "list")])
def test_json_is_the_whole_answer(config: Path, words: tuple[str, ...]) -> None:
    found = json.loads(told(config, cluster(), *words, "--json")[0].output)
    nodes = found if isinstance(found, list) else found["nodes"]
    assert [each["name"] for each in nodes] == ["blue", "gray"]
    assert nodes[1]["vitals"] is None


def test_routes_are_listed(config: Path) -> None:
    line = {"verb": "GET", "path": "/v/{id}", "handler": "volumes.show", "allow": "reader"}
    shown = told(config, [line], "routes")[0].output
    assert all(word in shown for word in line.values())
    assert json.loads(told_again(config, [line], "routes", "--json").output) == [line]


def told_again(config: Path, answer: object, *words: str) -> click.testing.Result:
    (config.parent / SOCKET_NAME).unlink()
    return told(config, answer, *words)[0]


def test_an_explanation_is_a_tree_whatever_is_written_in_it(config: Path) -> None:
    answer = {"desired": {"power": "on", "tags": ["[/bold]", {"[a]": "[/]"}], "none": []}, "steps": ["start [x]"]}
    result, asked = told(config, answer, "explain", "server", "web")
    assert result.exit_code == 0, result.exception
    assert msgspec.msgpack.decode(asked.payload, type=ExplainCall) == ExplainCall(noun="server", id="web")
    for words in ("desired", "power on", "[/bold]", "[a] [/]", "none -", "start [x]"):
        assert words in result.output
    assert json.loads(told_again(config, answer, "explain", "server", "web", "--json").output) == answer


def test_a_volume_is_verified_by_its_id(config: Path) -> None:
    result, asked = told(config, {"equal": True}, "volume", "verify", "v1")
    assert (result.exit_code, asked.method, asked.payload) == (0, "volume.verify", b"v1")
    assert "equal True" in result.output


def test_a_refusal_is_one_sentence_and_exit_code_1(config: Path) -> None:
    result, _ = told(config, NotFound.of("server", "web"), "explain", "server", "web")
    assert result.exit_code == REFUSED
    assert result.stderr == "noded: No server with id or name web was found.\n"


@pytest.mark.parametrize("words", [("nonsense",), ("explain", "server"), ("status", "--yaml"), ("node", "lisst")])
def test_wrong_words_are_exit_code_2(config: Path, words: tuple[str, ...]) -> None:
    assert run(config, *words).exit_code == USAGE


def test_a_wrong_file_is_exit_code_2_and_named(config: Path) -> None:
    config.write_text("nmae = 'x'")
    result = run(config, "status")
    assert result.exit_code == USAGE
    assert "noded.toml" in result.stderr
    assert "nmae" in result.stderr


@pytest.mark.parametrize(
    "words", [("status",), ("node", "list"), ("routes",), ("explain", "server", "x"), ("volume", "verify", "x")]
)
def test_no_daemon_is_exit_code_3(config: Path, words: tuple[str, ...]) -> None:
    result = run(config, *words)
    assert result.exit_code == NO_DAEMON
    assert "Is the daemon running?" in result.stderr


@pytest.mark.parametrize("verb", ["leave", "forget"])
@pytest.mark.parametrize(("refused", "code"), [([], 0), (["n1 answers"], REFUSED)])
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_plan_ends_as_the_removal_would(
    config: Path, verb: str, refused: list[str], code: int, form: tuple[str, ...]
) -> None:
    answer = {"verb": verb, "node": {"id": "1", "name": "n1"}, "steps": ["n1 goes"], "losses": [], "refused": refused}
    result, _ = told(config, answer, "node", verb, "n1", "--plan", *form)
    assert result.exit_code == code
    assert "n1 goes" in result.output
    assert all(reason in result.output for reason in refused)


def test_a_configuration_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    result = run(tmp_path / "typo.toml", "status")
    assert result.exit_code == USAGE
    assert "typo.toml is not there" in result.output


DISKS = {
    "disks": [
        {
            "id": "a" * 32, "node": "node1", "name": "/disks/[one]", "state": "in use", "fault": "", "weight": 1.0,
            "used_bytes": GIB, "size_bytes": 8 * GIB, "replicas": 3, "behind": 1, "coming": 2, "going": 0,
            "to_remove": 1, "moved_in_bytes": GIB,
            "scrub": {"checked": 0.5, "oldest_ms": 0, "rotten_blocks": 2, "different_blocks": 1},
        }
    ],
    "pool": {
        "size_bytes": 8 * GIB, "used_bytes": GIB, "promised_bytes": GIB, "volumes": 1, "degraded_volumes": 1,
        "moves": 2,
    },
}  # fmt: skip


def test_disks_are_listed_with_what_moves(config: Path) -> None:
    result, call = told(config, DISKS, "disk", "list")
    assert call.method == "disks.list"
    assert result.exit_code == 0
    assert "/disks/[one]" in result.output
    assert "2 coming, 1 to remove" in result.output
    assert "50 %, 3 blocks mended" in result.output


def test_disks_are_listed_as_json(config: Path) -> None:
    result, _ = told(config, DISKS, "disk", "list", "--json")
    assert json.loads(result.output) == DISKS


def test_a_disk_is_drained_and_says_first_what_that_means(config: Path) -> None:
    answer = {"disk": "a", "steps": ["nothing new"], "warnings": ["it is full"], "done": False}
    result, call = told(config, answer, "disk", "drain", "node1:/disks/one", "--plan")
    assert msgspec.msgpack.decode(call.payload) == {"disk": "node1:/disks/one", "draining": True, "plan": True}
    assert "nothing is done yet" in result.output


def test_the_policy_is_shown_and_changed(config: Path) -> None:
    answer = {
        "patience_s": 60, "at_once": 8, "per_disk": 2, "bytes_s": 64 << 20, "balances": True, "overcommit": 2.0,
        "scrub_days": 7, "scrub_bytes_s": 32 << 20,
    }  # fmt: skip
    result, call = told(config, answer, "disk", "policy", "--patience", "60", "--rate", "64", "--no-balance")
    asked = msgspec.msgpack.decode(call.payload)
    assert (asked["patience_s"], asked["bytes_s"], asked["balances"], asked["at_once"]) == (60, 64 << 20, False, None)
    assert "64 MiB/s" in result.output
    assert "every 7 days at 32 MiB/s" in result.output
    assert "at most 2 times the size of all disks" in result.output
