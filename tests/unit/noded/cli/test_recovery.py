"""Backups and recovery on the command line: what is asked, what is refused before anything is touched."""

import http.server
import io
import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import click.testing
import msgspec
import pytest
from rich.console import Console

from consensus.incarnation import Incarnation
from consensus.recovery.model import LogStanding, OpenBackupCall, RecoveryPlan, Seen
from consensus.recovery.plan import plan_recovery
from noded.cli.asking import REFUSED, USAGE
from noded.cli.backup import _upload, _write
from noded.cli.main import main
from noded.cli.show_recovery import plan as plan_shown
from noded.cli.show_recovery import plan_facts
from noded.core.errors import Refused
from noded.core.ids import NodeId
from tests.unit.noded.cli.test_main import daemon

WORDS = "a passphrase for a test\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "noded.toml"
    file.write_text(f'run_dir = "{tmp_path}"\nstate_dir = "{tmp_path}/state"\nhttps_port = 8443\n')
    return file


def run(config: Path, *words: str, stdin: str | None = None) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, ["--config", str(config), *words], input=stdin)


def test_a_backup_needs_a_place_and_a_secret(config: Path, tmp_path: Path) -> None:
    assert run(config, "backup", "take").exit_code == USAGE
    assert run(config, "backup", "file", "--to", "https://there/").exit_code == USAGE
    for words, stdin in (
        (("backup", str(tmp_path / "x")), None),
        (("backup", str(tmp_path / "x"), "--passphrase-file", "-"), "tiny\n"),
        (("backup", str(tmp_path / "x"), "--passphrase-file", str(tmp_path / "none")), None),
        (("backup", str(tmp_path / "x"), "--recipient", "AAAA"), None),
        (("backup", "--to", "ftp://there/", "--passphrase-file", "-"), WORDS),
    ):
        refused = run(config, *words, stdin=stdin)
        assert refused.exit_code == REFUSED, (words, refused.output)
        assert "tiny" not in refused.output
    assert list(tmp_path.glob("x*")) == []


def test_a_daemon_that_refuses_leaves_no_file_and_the_passphrase_goes_over_the_socket_alone(
    config: Path, tmp_path: Path
) -> None:
    with daemon(tmp_path, Refused("Too many backups.")) as asked:
        result = run(config, "backup", str(tmp_path / "x"), "--passphrase-file", "-", stdin=WORDS)
    assert result.exit_code == REFUSED
    assert "Too many backups" in result.output
    assert asked[0].method == "recovery.open_backup"
    assert msgspec.msgpack.decode(asked[0].payload, type=OpenBackupCall).passphrase == WORDS.strip()
    assert list(tmp_path.glob("*x*")) == []


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file"
    os.mkfifo(pipe)
    link.symlink_to(file)
    reader = threading.Thread(target=lambda: file.write_bytes(pipe.read_bytes()))
    reader.start()
    assert _write(iter([b"a", b"bc"]), pipe) == 3
    reader.join()
    assert (stat.S_ISFIFO(pipe.stat().st_mode), file.read_bytes()) == (True, b"abc")
    assert _write(iter([b"d"]), link) == 1
    assert (link.is_symlink(), file.read_bytes()) == (True, b"d")
    for place in (tmp_path, tmp_path / "none" / "x", Path("/dev/full")):
        with pytest.raises(Refused, match="can't be written"):
            _write(iter([b"a"]), place)


def test_a_key_pair_is_made_once_and_the_private_half_is_private(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "recovery.key"
    made = run(config, "backup", "keygen", str(file), "--json")
    assert made.exit_code == 0
    assert len(json.loads(made.output)["recipient"]) == 44
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_text()
    again = run(config, "backup", "keygen", str(file))
    assert again.exit_code == REFUSED
    assert file.read_text() == before


def test_what_is_no_backup_is_refused_and_nothing_is_changed(config: Path, tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"NBK1 and no more")
    for words in (("backup", "verify", str(junk)), ("restore", str(junk), "--yes"), ("restore", str(junk), "--plan")):
        result = run(config, *words, "--passphrase-file", "-", stdin=WORDS)
        assert result.exit_code == REFUSED, result.output
        assert "junk" in result.output
    assert not (tmp_path / "state" / "log").exists()
    assert not (tmp_path / "state" / "membership.json").exists()


def test_there_is_nothing_to_recover_on_a_node_that_is_no_member(config: Path, tmp_path: Path) -> None:
    for words in (("cluster", "recover", "--plan"), ("cluster", "recover", "--yes")):
        result = run(config, *words)
        assert result.exit_code == REFUSED
        assert "no node ever ran here" in result.output
    (tmp_path / "state").mkdir()
    assert "no member of a cluster" in run(config, "cluster", "recover", "--plan").output


class _Store(http.server.BaseHTTPRequestHandler):
    """An object store that takes one object, if its length is told first."""

    def do_PUT(self) -> None:
        self.server.got = self.rfile.read(int(self.headers["content-length"]))  # type: ignore[attr-defined]
        self.send_response(200 if self.path == "/good" else 403)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def store() -> Iterator[http.server.HTTPServer]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Store)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_backup_is_put_to_an_object_store(store: http.server.HTTPServer) -> None:
    url = f"http://127.0.0.1:{store.server_port}"
    assert _upload(iter([b"abc", b"de"]), f"{url}/good") == 5
    assert store.got == b"abcde"  # type: ignore[attr-defined]
    with pytest.raises(Refused, match="403"):
        _upload(iter([b"abc"]), f"{url}/bad?signature=secret")
    store.shutdown()
    with pytest.raises(Refused) as refused:
        _upload(iter([b"abc"]), "http://127.0.0.1:1/x?signature=secret")
    assert "secret" not in refused.value.message


def a_plan() -> RecoveryPlan:
    standing = LogStanding(
        node_id=NodeId("a"), incarnation=Incarnation(1, "aa"), last_term=3, last_index=10, committed_index=8,
        voters=(NodeId("a"), NodeId("b")), leader_id=None,
    )  # fmt: skip
    silent = Seen(node_id=NodeId("b"), name="[/] odd [bold]", votes=True, standing=None, silent="no route")
    return plan_recovery("town", "host1", standing, [silent])


def test_a_plan_is_shown_as_words_never_as_markup() -> None:
    page = io.StringIO()
    Console(width=200, file=page).print(plan_shown(a_plan()))
    shown = page.getvalue()
    assert "[/] odd [bold]" in shown
    assert "What may be lost" in shown
    facts = plan_facts(a_plan())
    assert facts["others"][0] == {
        "node": "b", "name": "[/] odd [bold]", "votes": True, "answers": False, "holds": None, "why_not": "no route",
    }  # fmt: skip
