"""What a node's file may say, and how it is told what is wrong with it."""

import socket
from pathlib import Path

import pytest

from noded.config import Config, ConfigFault, read_config


def test_a_missing_file_and_an_empty_one_are_a_node_that_waits(tmp_path: Path) -> None:
    assert read_config(tmp_path / "none.toml") == Config()
    empty = tmp_path / "empty.toml"
    empty.touch()
    assert read_config(empty) == Config()
    assert Config().node_name == socket.gethostname().split(".")[0]
    assert (Config().state, Config().run) == (Path("/var/lib/noded"), Path("/run/noded"))


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"typo\.toml is not there"):
        read_config(tmp_path / "typo.toml", must_exist=True)


def test_a_secret_is_not_shown() -> None:
    shown = repr(Config(name="blue", cluster="home", secret="0123456789abcdef"))
    assert "name='blue'" in shown
    assert "secret='<hidden>'" in shown
    assert "0123456789abcdef" not in shown
    assert "secret=''" in repr(Config())


def test_every_key_is_read(tmp_path: Path) -> None:
    file = tmp_path / "noded.toml"
    file.write_text(
        'name = "blue"\ncluster = "home"\nsecret = "0123456789abcdef"\nexpect = 3\ndisks = ["/a", "/b"]\n'
        'https_port = 8443\nlog_dir = "/logs"\n'
    )
    config = read_config(file)
    assert (config.node_name, config.cluster, config.expect, config.https_port) == ("blue", "home", 3, 8443)
    assert config.disks == ("/a", "/b")
    assert config.logs == Path("/logs")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"name = ", "Invalid value"),
        (b"nmae = 'x'", "nmae"),
        (b"https_port = 'x'", "https_port"),
        (b"disks = '/a'", "disks"),
        (b"cluster = 'home'", "`cluster` and `secret`"),
        (b"secret = '0123456789abcdef'", "`cluster` and `secret`"),
        (b"cluster = 'home'\nsecret = 'short'", "`secret` has 5"),
        (b"expect = 0", "`expect` is 0"),
        (b"cluster = 'home'\nsecret = '0123456789abcdef'", "`expect` goes with `cluster`"),
        (b"name = '\xff'", "UTF-8"),
        (b"name = 'a'\nname = 'b'", "overwrite"),
    ],
)
def test_a_bad_file_is_refused_by_its_name_and_the_keys(tmp_path: Path, content: bytes, named: str) -> None:
    file = tmp_path / "noded.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigFault, match=r"noded\.toml") as refused:
        read_config(file)
    assert named in str(refused.value)
    assert "0123456789abcdef" not in str(refused.value)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match="can't be read"):
        read_config(tmp_path)
