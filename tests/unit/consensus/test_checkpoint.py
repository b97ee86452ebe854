"""Checkpoints: whole or refused, on disk and on their way to another node."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consensus.host import checkpoint
from consensus.host.checkpoint import CheckpointRefused, Header, Part
from consensus.host.seams import Node
from consensus.host.shelf import CHUNK_BYTES, Chunk, Shelf

HEADER = Header(previous=(b"\x01", 8, 2), last=(b"\x00last", 9, 3), voters=("a", "b"))
PARTS = [(Part.REQUESTS, b"ids"), (Part.STATE, b"one" * 1000), (Part.STATE, b"two")]


def breathe() -> None:
    """Nobody waits here."""


def written(path: Path, index: int = 9, parts: list[tuple[Part, bytes]] = PARTS) -> Path:
    header = Header(previous=(b"\x01", index - 1, 2), last=(b"\x00last", index, 3), voters=("a", "b"))
    checkpoint.write(path, header, parts, breathe)
    return path


def sent(shelf: Shelf, node: Node) -> list[Chunk]:
    chunks = []
    while True:
        chunk = shelf.next_chunk(node)
        assert chunk is not None
        chunks.append(chunk)
        if chunk.last:
            return chunks


def test_a_checkpoint_says_what_was_written(tmp_path: Path) -> None:
    path = written(tmp_path / "checkpoint")
    assert checkpoint.verify(path) == HEADER
    assert list(checkpoint.read(path)) == PARTS
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint"]


def test_every_flipped_byte_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "checkpoint")
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        with pytest.raises(CheckpointRefused):
            checkpoint.verify(path)


def test_every_shorter_or_longer_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "checkpoint")
    whole = path.read_bytes()
    for damaged in [*(whole[:end] for end in range(len(whole))), whole + b"\x00"]:
        path.write_bytes(damaged)
        with pytest.raises(CheckpointRefused):
            checkpoint.verify(path)


def test_a_missing_block_is_refused(tmp_path: Path) -> None:
    full = written(tmp_path / "full").read_bytes()
    less = written(tmp_path / "less", parts=PARTS[:2]).read_bytes()
    end_mark = full[-17:]
    (tmp_path / "mixed").write_bytes(less[:-17] + end_mark)
    with pytest.raises(CheckpointRefused):
        checkpoint.verify(tmp_path / "mixed")


def test_giving_up_leaves_the_old_one(tmp_path: Path) -> None:
    path = written(tmp_path / "checkpoint")

    def give_up() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoint.write(path, HEADER, [(Part.STATE, b"new")], give_up)
    assert list(checkpoint.read(path)) == PARTS
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint"]


def test_parts_are_drained_one_at_a_time(tmp_path: Path) -> None:
    drained: list[int] = []

    def parts() -> Iterator[tuple[Part, bytes]]:
        for number in range(3):
            drained.append(number)
            yield Part.STATE, b"%d" % number

    seen: list[int] = []
    checkpoint.write(tmp_path / "checkpoint", HEADER, parts(), lambda: seen.append(len(drained)))
    assert seen == [1, 2, 3]


@pytest.fixture
def shelves(tmp_path: Path) -> Iterator[tuple[Shelf, Shelf]]:
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    sender, receiver = Shelf(tmp_path / "from" / "checkpoint"), Shelf(tmp_path / "to" / "checkpoint")
    yield sender, receiver
    sender.close()
    receiver.close()


LEADER, FOLLOWER = Node("leader"), Node("follower")
LARGE = [(Part.STATE, bytes((number * step) % 251 for number in range(CHUNK_BYTES))) for step in range(1, 60)]


def test_a_checkpoint_travels_in_chunks(shelves: tuple[Shelf, Shelf]) -> None:
    sender, receiver = shelves
    written(sender.path, parts=LARGE)
    chunks = sent(sender, FOLLOWER)
    assert sender.finish_sending(FOLLOWER) == 9
    assert not sender.is_sending(FOLLOWER)
    assert [receiver.receive(LEADER, chunk) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    adopted = receiver.adopt_incoming(newer_than=8)
    assert adopted == HEADER
    assert receiver.path.read_bytes() == sender.path.read_bytes()


def test_a_newer_checkpoint_does_not_mix_into_one_that_is_sent(shelves: tuple[Shelf, Shelf]) -> None:
    sender, receiver = shelves
    written(sender.path, parts=LARGE)
    first = sender.next_chunk(FOLLOWER)
    assert first is not None
    written(sender.path, index=20)
    chunks = [first] if first.last else [first, *sent(sender, FOLLOWER)]
    assert sender.finish_sending(FOLLOWER) == 9
    for chunk in chunks:
        receiver.receive(LEADER, chunk)
    assert receiver.adopt_incoming(newer_than=0) == HEADER


def test_after_a_broken_link_it_starts_over(shelves: tuple[Shelf, Shelf]) -> None:
    sender, _ = shelves
    written(sender.path)
    sender.next_chunk(FOLLOWER)
    sender.stop_sending(FOLLOWER)
    again = sender.next_chunk(FOLLOWER)
    assert again is not None
    assert again.first


def test_chunks_that_continue_nothing_are_dropped(shelves: tuple[Shelf, Shelf]) -> None:
    _, receiver = shelves
    assert not receiver.receive(LEADER, Chunk(b"middle", first=False, last=True))
    receiver.receive(LEADER, Chunk(b"start", first=True, last=False))
    assert not receiver.receive(Node("another"), Chunk(b"end", first=False, last=True))


def test_what_is_not_newer_is_left(shelves: tuple[Shelf, Shelf]) -> None:
    sender, receiver = shelves
    written(sender.path)
    written(receiver.path, index=12)
    for chunk in sent(sender, FOLLOWER):
        receiver.receive(LEADER, chunk)
    assert receiver.adopt_incoming(newer_than=9) is None
    assert checkpoint.verify(receiver.path).index == 12


def test_what_arrives_damaged_is_refused_and_forgotten(shelves: tuple[Shelf, Shelf]) -> None:
    sender, receiver = shelves
    written(sender.path)
    damaged = bytearray(sender.path.read_bytes())
    damaged[-20] ^= 1
    receiver.receive(LEADER, Chunk(bytes(damaged), first=True, last=True))
    with pytest.raises(CheckpointRefused):
        receiver.adopt_incoming(newer_than=0)
    assert list(receiver.path.parent.iterdir()) == []
