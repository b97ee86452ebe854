"""The verbs of the doors against a daemon that is a socket: what they ask, print, and never show."""

import json
from pathlib import Path

import msgspec
import pytest

from consensus.calls import Call
from consensus.doors.model import LetIn, TokenWanted
from consensus.entering import EntryStatus, Fault, Offered
from consensus.host.left import Left, write_left
from noded.cli.asking import REFUSED, USAGE
from noded.core.errors import Forbidden
from noded.core.ids import NodeId
from tests.unit.noded.cli.test_main import config, daemon, run, told

__all__ = ["config"]

SECRET = "noded-join-1.secretsecretsecret"
TOKEN = {
    "id": "a1",
    "state": "valid",
    "uses": 2,
    "used": 1,
    "used_by": [{"id": "n" * 32, "name": "[/]"}],
    "created_at": "2026-01-01T00:00:00Z",
    "created_by": "ann",
    "expires_at": "2026-01-01T01:00:00Z",
    "addresses": ["10.0.0.1"],
}
STATUS = EntryStatus(
    node_id=NodeId("0" * 32),
    fingerprint="0" * 64,
    name="[/]two",
    addresses=("10.0.0.2",),
    release="0.1.0",
    url="https://10.0.0.2/",
    claim_code="BCDFG-HJKMN",
    seed_cluster="",
    expect=0,
    sees=0,
    offers=(
        Offered(
            cluster_id="c" * 32,
            cluster_name="town",
            member=NodeId("1" * 32),
            address="10.0.0.1",
            words="bahor-fidut",
            agreed=False,
            approved=True,
            misfit="",
        ),
    ),
    faults=(Fault(door="token", by="10.0.0.1", reason="expired [/]", at_ms=0, count=2),),
)


def asked_with(call: Call, form: type[msgspec.Struct]) -> msgspec.Struct:
    return msgspec.msgpack.decode(call.payload, type=form)


def test_a_token_is_printed_alone_so_that_it_can_be_piped(config: Path) -> None:
    result, call = told(config, {"token": {**TOKEN, "text": SECRET}}, "token", "create", "--uses", "2", "--ttl", "30m")
    assert result.output == SECRET + "\n"
    assert asked_with(call, TokenWanted) == TokenWanted(uses=2, ttl="30m")


def test_tokens_are_listed_whatever_their_users_are_called(config: Path) -> None:
    result, call = told(config, {"tokens": [TOKEN]}, "token", "list")
    assert call.method == "doors.tokens"
    assert all(word in result.output for word in ("a1", "valid", "1 of 2", "[/]"))


@pytest.mark.parametrize("way", ["-", "file"])
def test_a_token_is_read_from_standard_input_or_a_file(config: Path, way: str, tmp_path: Path) -> None:
    import click.testing  # noqa: PLC0415  # its runner feeds standard input

    from noded.cli.main import main  # noqa: PLC0415

    file = tmp_path / "token"
    file.write_text(f"  {SECRET}\n")
    words = ["--config", str(config), "join", "-" if way == "-" else str(file), "--json"]
    with daemon(config.parent, {"cluster": "town"}) as calls:
        result = click.testing.CliRunner().invoke(main, words, input=f"{SECRET}\n")
    assert json.loads(result.output) == {"cluster": "town"}
    assert (calls[0].method, calls[0].payload) == ("entry.join", SECRET.encode())


def test_a_token_on_the_command_line_is_refused_and_not_repeated(config: Path) -> None:
    result = run(config, "join", SECRET)
    assert result.exit_code == USAGE
    assert SECRET not in result.output


def test_why_a_join_was_refused_is_told(config: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)
    result, _ = told(config, Forbidden("Token a1 was revoked."), "join", str(tmp_path / "token"))
    assert (result.exit_code, "Token a1 was revoked." in result.output) == (REFUSED, True)


def test_an_unclaimed_node_shows_its_code_the_clusters_in_sight_and_the_last_faults(config: Path) -> None:
    result, call = told(config, msgspec.to_builtins(STATUS), "claim")
    assert call.method == "entry.status"
    said = " ".join(result.output.split())
    for words in (
        "[/]two",
        "BCDFG-HJKMN",
        "https://10.0.0.2/",
        "bahor-fidut",
        "approved there",
        "expired [/] (2 times)",
    ):
        assert words in said, words


def test_a_node_that_stays_away_says_why_and_what_to_do(config: Path, tmp_path: Path) -> None:
    config.write_text(f'{config.read_text()}state_dir = "{tmp_path}"\n')
    write_left(tmp_path, Left(why="Node [/] was forgotten by this cluster.", at_ms=1, aside="/aside/1"))
    said = " ".join(told(config, msgspec.to_builtins(STATUS), "claim")[0].output.split())
    assert "stays away Node [/] was forgotten by this cluster. To let it join" in said
    assert "noded node rejoin" in said


def test_approving_sends_the_words_or_asks_for_the_code(config: Path) -> None:
    result, call = told(config, {"admitted": None, "request": {}}, "approve", "bahor-fidut")
    assert (call.method, asked_with(call, LetIn)) == ("doors.approve", LetIn(node="", words="bahor-fidut"))
    assert "its own side" in " ".join(result.output.split())


def test_a_claim_code_is_typed_and_not_an_argument(config: Path) -> None:
    import click.testing  # noqa: PLC0415

    from noded.cli.main import main  # noqa: PLC0415

    words = ["--config", str(config), "approve", "--claim-code", "two"]
    with daemon(config.parent, {"admitted": "n" * 32, "request": None}) as calls:
        result = click.testing.CliRunner().invoke(main, words, input="BCDFG-HJKMN\n")
    assert asked_with(calls[0], LetIn) == LetIn(node="two", claim_code="BCDFG-HJKMN")
    assert "BCDFG" not in result.output
    assert "is admitted" in " ".join(result.output.split())


def test_who_waits_and_who_was_turned_away_is_shown_whatever_it_is_called(config: Path) -> None:
    request = {
        "id": "n" * 32, "name": "[/]", "words": "bahor-fidut", "addresses": ["10.0.0.2"], "release": "0.1.0",
        "fingerprint": "f" * 64, "waits_at": "m" * 32, "since": "2026", "approved": True, "agreed": False, "misfit": "",
    }  # fmt: skip
    shown = told(config, {"requests": [request], "unclaimed": []}, "node", "pending")[0].output
    assert all(word in " ".join(shown.split()) for word in ("[/]", "bahor-fidut", "yes here"))
    (config.parent / "peers.sock").unlink()
    line = {
        "node": "m" * 32, "node_name": "[/]", "port": 7402, "kind": "wrong_secret", "address": "10.0.0.9", "count": 7,
        "first_at": "2026", "last_at": "2027", "detail": "a [/] guess",
    }  # fmt: skip
    answer = {"refusals": [line], "total": 7, "silent": []}
    shown = " ".join(told(config, answer, "node", "refusals")[0].output.split())
    assert all(word in shown for word in ("[/]", "7402", "10.0.0.9", "7"))


def test_a_rotation_says_how_far_it_is(config: Path) -> None:
    rotation = {
        "number": 1,
        "stage": "trust",
        "waits_for": [{"id": "n" * 32, "name": "[/]"}],
        "begun_at": "2026",
        "changed_at": "2026",
    }
    answer = {"fingerprint": "ab" * 32, "certificate": "PEM", "rotation": rotation}
    result, call = told(config, answer, "cluster", "rotate-ca", "--plan")
    assert call.method == "certificates.show"
    assert "waits for [/]" in " ".join(result.output.split())
    (config.parent / "peers.sock").unlink()
    assert told(config, answer, "cluster", "rotate-ca")[1].method == "certificates.rotate"


@pytest.mark.parametrize("way", ["-", "file"])
def test_a_token_file_that_is_no_text_is_wrong_words(config: Path, tmp_path: Path, way: str) -> None:
    import click.testing  # noqa: PLC0415  # its runner feeds standard input

    from noded.cli.main import main  # noqa: PLC0415

    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe" * 100)
    words = ["--config", str(config), "join", "-" if way == "-" else str(file)]
    result = click.testing.CliRunner().invoke(main, words, input=file.read_bytes())
    assert (result.exit_code, type(result.exception)) == (USAGE, SystemExit), result.output
