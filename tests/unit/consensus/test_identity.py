"""A node's identity: made once, private, whole on disk, and the same ever after."""

import stat
from pathlib import Path

import pytest

from consensus.admission import EntryConfig
from consensus.host.files import write_durably
from consensus.host.identity import NodeIdentity
from consensus.host.membership import (
    MembershipFault,
    found,
    founding_command,
    read_membership,
    read_promise,
    settle_founding,
    write_promise,
)
from consensus.naming import node_id_of
from noded.core.ids import NodeId

CONFIG = EntryConfig(seed=None, name="n1", addresses=("10.0.0.1",), release="0.1.0")


def test_an_identity_is_made_once(tmp_path: Path) -> None:
    first, second = NodeIdentity.load_or_create(tmp_path), NodeIdentity.load_or_create(tmp_path)
    assert first == second
    assert first.node_id == node_id_of(first.public_key) == first.fingerprint[:32]
    assert "PRIVATE" not in repr(first)


def test_its_files_are_its_owners_alone(tmp_path: Path) -> None:
    NodeIdentity.load_or_create(tmp_path / "state")
    for path in (tmp_path / "state").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_broken_key_is_not_replaced(tmp_path: Path) -> None:
    NodeIdentity.load_or_create(tmp_path).key_file.write_bytes(b"not a key")
    with pytest.raises(ValueError, match=r"."):
        NodeIdentity.load_or_create(tmp_path)


def test_what_a_crash_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".file.new").write_bytes(b"half")
    write_durably(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_founder_is_one_until_the_log_says_so(tmp_path: Path) -> None:
    identity = NodeIdentity.load_or_create(tmp_path)
    assert read_membership(tmp_path, identity) is None
    made = found(tmp_path, identity, "town")
    again = read_membership(tmp_path, identity)
    assert again is not None
    assert (again.cluster_id, again.founder, again.authority) == (made.cluster_id, True, made.authority)
    assert founding_command(again, CONFIG, identity, 1).cluster_id == made.cluster_id
    settle_founding(tmp_path)
    settled = read_membership(tmp_path, identity)
    assert settled is not None
    assert (settled.founder, settled.authority) == (False, None)
    assert not (tmp_path / "tls" / "ca.key").exists()


def test_a_key_left_behind_by_a_crash_while_settling_is_removed(tmp_path: Path) -> None:
    identity = NodeIdentity.load_or_create(tmp_path)
    found(tmp_path, identity, "town")
    key = (tmp_path / "tls" / "ca.key").read_bytes()
    settle_founding(tmp_path)
    (tmp_path / "tls" / "ca.key").write_bytes(key)
    read_membership(tmp_path, identity)
    assert not (tmp_path / "tls" / "ca.key").exists()


def test_a_membership_of_another_key_is_refused(tmp_path: Path) -> None:
    found(tmp_path / "a", NodeIdentity.load_or_create(tmp_path / "a"), "town")
    with pytest.raises(MembershipFault, match=r"node\.key"):
        read_membership(tmp_path / "a", NodeIdentity.load_or_create(tmp_path / "b"))


def test_a_promise_is_remembered(tmp_path: Path) -> None:
    assert read_promise(tmp_path) is None
    write_promise(tmp_path, NodeId("a" * 32))
    assert read_promise(tmp_path) == "a" * 32
    (tmp_path / "promise.json").write_bytes(b"{")
    with pytest.raises(MembershipFault):
        read_promise(tmp_path)
