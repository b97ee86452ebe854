"""Is a journal closed to other users, and does nothing that a guest writes pass for a part of it?"""

import secrets
from pathlib import Path

import pytest

from storage.extents import frame
from storage.extents.frame import HEADER_BYTES, PAYLOAD, Op, hash_of
from storage.host.journal import ALIGNMENT, Batch, Journal, UnknownJournal, _batch_header

SEGMENT_BYTES = 64 * 1024


def written(content: bytes, stamp: int) -> tuple[bytes, bytes]:
    """The frame of a write, and its hash."""
    head = frame.pack(Op.WRITE, flags=PAYLOAD, length=len(content), stamp=stamp, payload_hash=hash_of(content))
    return head + content, head[-8:]


def append(journal: Journal, *contents: bytes) -> None:
    """One batch."""
    frames = [written(content, stamp) for stamp, content in enumerate(contents, 1)]
    journal.append([each for each, _ in frames], [digest for _, digest in frames])


def replayed(path: Path) -> tuple[list[bytes], bool]:
    """What a journal holds after a power cut, and whether it is damaged."""
    journal = Journal(path, SEGMENT_BYTES)
    contents = [bytes(record.payload) for record in journal.replay()]
    journal.close()
    return contents, journal.damaged


def test_what_guests_write_is_not_for_other_users_of_the_host(tmp_path: Path) -> None:
    Journal(tmp_path / "journal", SEGMENT_BYTES).close()
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600


def test_batches_of_any_size_are_found_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, 4 << 20)
    batches = [[secrets.token_bytes(size) for size in sizes] for sizes in ((4096,), (1, 2, 3), (), (1 << 20, 1 << 20))]
    for batch in batches:
        append(journal, *batch)
    journal.close()
    assert replayed(path) == ([content for batch in batches for content in batch], False)


def test_no_guest_can_write_a_batch(tmp_path: Path) -> None:
    """What lies where a lost batch would be looked for is a guest's to choose, but the seed of the hashes is not."""
    path = tmp_path / "journal"
    journal = Journal(path, SEGMENT_BYTES)
    forged = _batch_header(Batch(0, (1 << 64) - 1, 0, 0, 0, hash_of(b"")), seed=0)
    content = bytearray(3 * ALIGNMENT)
    place = -(2 * HEADER_BYTES) % ALIGNMENT
    content[place : place + len(forged)] = forged
    append(journal, bytes(content))
    journal.close()
    with path.open("r+b") as file:
        file.seek(ALIGNMENT)
        file.write(bytes(HEADER_BYTES))  # the batch that it came with has rotted: what is behind it is looked through
    assert replayed(path) == ([], False)


def test_one_rotten_sector_does_not_cost_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, SEGMENT_BYTES)
    append(journal, b"kept")
    journal.close()
    with path.open("r+b") as file:
        file.write(bytes(512))
    assert replayed(path) == ([b"kept"], False)
    with path.open("r+b") as file:
        file.write(bytes(ALIGNMENT))
    with pytest.raises(UnknownJournal, match="replace the disk"):
        Journal(path, SEGMENT_BYTES)
