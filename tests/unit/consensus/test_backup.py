"""Is a backup secret, whole or refused, and the same state when it is read?"""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from consensus.codec import Codec
from consensus.incarnation import Incarnation
from consensus.machine import Machine
from consensus.members import SERVICE as MEMBERS
from consensus.members.commands import FoundCluster
from consensus.members.model import Node
from consensus.recovery.archive import BackupHeader, BackupRefused, read_blocks, read_header, write
from consensus.recovery.authority import secret_of
from consensus.recovery.host.reading import header_of, read_backup
from consensus.recovery.sealing import (
    CHUNK_BYTES,
    TAG_BYTES,
    Passphrase,
    PassphraseLock,
    SealBroken,
    lock_for,
    master_key,
    new_recipient,
    seal,
    unseal,
)
from noded.core.errors import Invalid
from noded.core.ids import NodeId
from noded.core.origin import of_node

WORDS = Passphrase("correct horse battery")
MASTER = bytes(range(32))
PRIVATE, PUBLIC = new_recipient()
CODEC = Codec(MEMBERS.commands, MEMBERS.records)


def sealed(content: bytes, bound: bytes = b"bound") -> bytes:
    return b"".join(seal(MASTER, bound, [content[:10], content[10:]]))


def opened(content: bytes, bound: bytes = b"bound") -> bytes:
    return b"".join(unseal(MASTER, bound, io.BytesIO(content).read))


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_is_sealed_can_be_opened(size: int) -> None:
    content = bytes(size)
    assert opened(sealed(content)) == content
    assert len(sealed(content)) == size + TAG_BYTES * max(1, -(-size // CHUNK_BYTES))


def test_no_chunk_can_be_changed_moved_dropped_or_added() -> None:
    whole = sealed(bytes(3 * CHUNK_BYTES))
    size = CHUNK_BYTES + TAG_BYTES
    first, second, third = (whole[start : start + size] for start in (0, size, 2 * size))
    flipped = bytearray(whole)
    flipped[size + 5] ^= 1
    broken = {
        "cut short": first + second,
        "cut in a chunk": whole[:-1],
        "moved": second + first + third,
        "dropped": first + third,
        "added": whole + third,
        "changed": bytes(flipped),
        "nothing": b"",
    }
    for name, content in broken.items():
        with pytest.raises(SealBroken):
            pytest.fail(f"{name}: {len(opened(content))} bytes were opened")
    with pytest.raises(SealBroken):
        opened(whole, bound=b"another header")


def test_only_the_passphrase_or_the_private_key_opens() -> None:
    private, public = new_recipient()
    stranger, _ = new_recipient()
    lock, master = lock_for(public)
    assert master_key(lock, private) == master
    for wrong in (stranger, WORDS):
        with pytest.raises(SealBroken):
            master_key(lock, wrong)
    lock, master = lock_for(WORDS)
    assert master_key(lock, WORDS) == master
    assert master_key(lock, Passphrase("correct horse batterz")) != master
    with pytest.raises(SealBroken):
        master_key(lock, private)
    assert "correct" not in repr(WORDS)
    assert private.key.hex() not in repr(private)


def test_a_file_that_asks_for_endless_work_is_refused() -> None:
    with pytest.raises(SealBroken, match="do harm"):
        master_key(PassphraseLock(salt=b"", log_n=30, r=8, p=1), WORDS)


def state() -> Machine:
    machine = Machine(CODEC)
    founder = Node(
        id=NodeId("n1"), name="host1", addresses=("10.0.0.1",), fingerprint="n1", admitted_at_ms=1, release="0.1.0"
    )
    found = FoundCluster(
        cluster_id="c1", name="town", authority_certificate_pem="pem", authority_key_pem="TOP SECRET",
        founder=founder, now_ms=1,
    )  # fmt: skip
    machine.apply(7, CODEC.encode_entry(of_node(NodeId("n1"), 1), [found]))
    return machine


def header(lock: object = None, level: int = 1) -> BackupHeader:
    return BackupHeader(
        cluster_id="c1", cluster_name="town", incarnation=Incarnation(2, "ab"), revision=7, release="0.1.0",
        level=level, taken_at_ms=5, taken_by="n1", lock=lock or lock_for(PUBLIC)[0],  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture(scope="module")
def backup() -> bytes:
    lock, master = lock_for(WORDS)
    return b"".join(write(header(lock), master, state().capture().blocks()))


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "town.nbk"
    path.write_bytes(content)
    return path


def test_a_backup_is_the_state_again_and_tells_nothing_without_its_secret(tmp_path: Path, backup: bytes) -> None:
    path = written(tmp_path, backup)
    found, machine = read_backup(path, WORDS, CODEC, 1)
    assert machine.digest() == state().digest()
    assert (found.cluster_name, found.revision, found.incarnation) == ("town", 7, Incarnation(2, "ab"))
    assert header_of(path) == found
    assert b"TOP SECRET" not in backup
    assert b"10.0.0.1" not in backup


def test_a_backup_that_is_not_whole_or_not_ours_is_refused(tmp_path: Path, backup: bytes) -> None:
    position = backup.index(b"town")
    wrong = {
        "passphrase or key is wrong": (backup, Passphrase("another passphrase")),
        "no backup of noded": (b"something else altogether", WORDS),
        "can't be opened": (backup[:-1], WORDS),
        "wrong, or it was changed": (backup[:position] + b"tawn" + backup[position + 4 :], WORDS),
        "not with a passphrase|not for a key": (backup, new_recipient()[0]),
    }
    for words, (content, secret) in wrong.items():
        with pytest.raises(BackupRefused, match=words):
            read_backup(written(tmp_path, content), secret, CODEC, 1)
    with pytest.raises(BackupRefused, match="No such file"):
        read_backup(tmp_path / "none", WORDS, CODEC, 1)


def test_a_backup_of_a_later_release_is_refused_before_it_is_read(tmp_path: Path) -> None:
    lock, master = lock_for(PUBLIC)
    path = written(tmp_path, b"".join(write(header(lock, level=9), master, state().capture().blocks())))
    with pytest.raises(BackupRefused, match=r"release 0\.1\.0, which knows more"):
        read_backup(path, PRIVATE, CODEC, 1)


def test_blocks_of_any_size_come_back_as_they_were() -> None:
    blocks = [b"", b"a", bytes(3 * CHUNK_BYTES), b"z" * 1000]
    head = header()
    content = io.BytesIO(b"".join(write(head, MASTER, blocks)))
    assert read_header(content) == head
    assert list(read_blocks(content, head, MASTER)) == blocks


def test_an_end_mark_that_says_something_else_is_seen() -> None:
    def lying() -> Iterator[bytes]:
        yield b"\x00\x00\x00\x01x"

    head = header()
    start = next(write(head, MASTER, []))
    content = io.BytesIO(start + b"".join(seal(MASTER, start, lying())))
    read_header(content)
    with pytest.raises(BackupRefused):
        list(read_blocks(content, head, MASTER))


def test_a_secret_is_asked_for_and_must_be_strong() -> None:
    _, public = new_recipient()
    assert secret_of(None, public.public_key) == public
    for passphrase, recipient in (
        (None, None),
        ("long enough for it", public.public_key),
        ("short", None),
        (None, "?"),
    ):
        with pytest.raises(Invalid) as refused:
            secret_of(passphrase, recipient)
        assert "short" not in refused.value.message


def test_a_header_of_which_any_bit_turned_is_refused_in_words(tmp_path: Path) -> None:
    lock, master = lock_for(PUBLIC)
    whole = b"".join(write(header(lock), master, state().capture().blocks()))
    for at in range(8 + int.from_bytes(whole[4:8], "big")):
        for bit in range(8):
            turned = bytearray(whole)
            turned[at] ^= 1 << bit
            with pytest.raises(BackupRefused):
                read_backup(written(tmp_path, bytes(turned)), PRIVATE, CODEC, 1)


@pytest.mark.parametrize("numbers", [{"log_n": 0}, {"log_n": -1}, {"r": 0}, {"p": 0}])
def test_work_that_can_not_be_done_is_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(SealBroken, match="damaged"):
        master_key(PassphraseLock(salt=b"", **{"log_n": 16, "r": 8, "p": 1} | numbers), WORDS)


def test_a_recipient_of_zeros_is_none() -> None:
    with pytest.raises(Invalid, match="public key"):
        secret_of(None, bytes(32))
