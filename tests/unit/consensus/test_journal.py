"""The journal: what was synced survives, what was torn is cut off, what was lost is refused."""

import errno
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.host.journal import TRAIL_BYTES_MAX, Journal, JournalDamaged, JournalInUse
from consensus.log import StorageFailed

TRAIL = 2000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def reopen(journal: Journal, path: Path) -> Journal:
    journal.close()
    return Journal(path)


def filled(path: Path, count: int) -> Journal:
    """A journal with one frame for each entry."""
    journal = Journal(path)
    for index in range(1, count + 1):
        journal.add(b"entry %d" % index, index, 1)
        journal.sync()
    return journal


def test_what_was_synced_is_there_again(path: Path) -> None:
    journal = filled(path, 3)
    journal.set_vote(7, "node b")
    journal.sync()
    journal = reopen(journal, path)
    assert journal[:] == [(b"entry 1", 1, 1), (b"entry 2", 2, 1), (b"entry 3", 3, 1)]
    assert (journal.term, journal.voted_for) == (7, "node b")
    assert journal.torn_bytes == 0
    journal.close()


def test_what_was_not_synced_is_gone(path: Path) -> None:
    journal = filled(path, 2)
    journal.add(b"entry 3", 3, 1)
    assert journal.is_dirty
    journal = reopen(journal, path)
    assert len(journal) == 2
    journal.close()


def test_a_cut_is_remembered(path: Path) -> None:
    journal = filled(path, 5)
    journal.cut_from(3)
    journal.add(b"other", 3, 2)
    journal.sync()
    journal = reopen(journal, path)
    assert journal[:] == [(b"entry 1", 1, 1), (b"entry 2", 2, 1), (b"other", 3, 2)]
    journal.close()


def test_every_torn_tail_is_cut_off_and_written_over(path: Path) -> None:
    filled(path, 2).close()
    whole = path.read_bytes()
    journal = Journal(path)
    journal.add(b"entry 3", 3, 1)
    journal.sync()
    journal.close()
    longer = path.read_bytes()
    for end in range(len(whole), len(longer)):
        path.write_bytes(longer[:end])
        journal = Journal(path)
        assert len(journal) == 2
        assert journal.torn_bytes == end - len(whole)
        journal.add(b"entry 3 again", 3, 2)
        journal.sync()
        journal = reopen(journal, path)
        assert journal[2] == (b"entry 3 again", 3, 2)
        journal.close()


def test_a_tail_of_zeros_is_cut_off(path: Path) -> None:
    filled(path, 2).close()
    path.write_bytes(path.read_bytes() + bytes(4096))
    journal = Journal(path)
    assert len(journal) == 2
    assert journal.torn_bytes == 4096
    journal.close()


def test_damage_before_a_later_sync_is_refused(path: Path) -> None:
    filled(path, 3).close()
    content = bytearray(path.read_bytes())
    content[content.index(b"entry 2")] ^= 1
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match="remove it from the voters"):
        Journal(path)


@settings(max_examples=60, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_read_as_an_entry(
    tmp_path_factory: pytest.TempPathFactory, where: float, bit: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "journal"
    filled(path, 4).close()
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        journal = Journal(path)
    except JournalDamaged:
        return
    assert journal[:] == [(b"entry %d" % index, index, 1) for index in range(1, 4)]
    journal.close()


def test_trimming_keeps_a_trail_and_survives(path: Path) -> None:
    journal = Journal(path)
    for index in range(1, TRAIL + 1001):
        journal.add(b"x", index, 1)
    journal.set_vote(3, "a")
    journal.set_commit_hint(TRAIL + 900)
    journal.sync()
    before = path.stat().st_size
    journal.trim(TRAIL + 501, TRAIL)
    journal.sync()
    assert path.stat().st_size < before
    journal.add(b"after", TRAIL + 1001, 3)
    journal.sync()
    journal = reopen(journal, path)
    assert journal.first_index == 501
    assert journal[-1] == (b"after", TRAIL + 1001, 3)
    assert (journal.term, journal.voted_for, journal.commit_hint) == (3, "a", TRAIL + 900)
    journal.close()


def test_a_trail_of_large_entries_is_bounded_in_bytes(path: Path) -> None:
    journal = Journal(path)
    size = TRAIL_BYTES_MAX // 16
    for index in range(1, 41):
        journal.add(bytes(size), index, 1)
    journal.trim(40, TRAIL)
    assert journal.first_index == 24
    assert journal.content_bytes == 17 * size
    journal.close()


def test_what_was_added_since_the_trim_is_in_the_new_file(path: Path) -> None:
    journal = filled(path, 3)
    journal.add(bytes(TRAIL_BYTES_MAX), 4, 1)
    journal.trim(4, TRAIL)
    journal.add(b"entry 5", 5, 1)
    journal.sync()
    journal = reopen(journal, path)
    assert [index for _, index, _ in journal[:]][-2:] == [4, 5]
    journal.close()


def test_the_commit_hint_never_points_behind_the_log(path: Path) -> None:
    journal = filled(path, 3)
    journal.set_commit_hint(3)
    journal.set_vote(1, None)
    journal.cut_from(3)
    journal.sync()
    journal = reopen(journal, path)
    assert journal.commit_hint == 2
    journal.close()


def test_a_failing_fdatasync_is_the_end(path: Path) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "the disk is gone")

    journal = Journal(path, fdatasync=fail)
    journal.add(b"entry", 1, 1)
    with pytest.raises(StorageFailed, match="the disk is gone"):
        journal.sync()
    journal.close()


def test_a_second_process_is_kept_out(path: Path) -> None:
    journal = Journal(path)
    with pytest.raises(JournalInUse):
        Journal(path)
    reopen(journal, path).close()


def test_a_new_term_is_not_durable_before_its_sync(path: Path) -> None:
    journal = filled(path, 1)
    assert journal.term_is_durable
    journal.set_vote(2, "a")
    assert not journal.term_is_durable
    journal.sync()
    assert journal.term_is_durable
    journal.close()
