"""One suite for the lines of history in files and in memory; then what only files meet: crashes, damage, bad disks."""

import os
from pathlib import Path

import pytest

from consensus.chain import START, Line, Link, next_line
from consensus.history.links import Span, Stretch
from consensus.host.history_files import HistoryFiles
from tests.twins.history import MemoryBook, whole

Book = HistoryFiles | MemoryBook


def chain(count: int, link: Link = START, first: int = 4) -> list[tuple[Link, Line]]:
    """Lines of entries that nobody can read, and the links that they follow."""
    made = []
    for revision in range(first, first + count):
        line = next_line(link, revision, f"entry {revision} ".encode() * 8, (), None)
        made.append((link, line))
        link = line.link
    return made


def keep(book: Book, pairs: list[tuple[Link, Line]]) -> None:
    for link, line in pairs:
        book.keep(line, link)


def lines_of(book: Book) -> list[Line]:
    return [line for span in book.spans() for line in stretch_of(book, span).lines]


def stretch_of(book: Book, span: Span) -> Stretch:
    found = book.stretch(span.base.revision)
    assert found is not None
    assert found.base == span.base
    assert (found.lines[-1].revision if found.lines else found.base.revision) == span.end
    return found


@pytest.fixture(params=["files", "memory"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Book:
    return MemoryBook() if request.param == "memory" else HistoryFiles(tmp_path / "history", file_bytes=4096)


def test_what_is_kept_is_read_back_in_order(book: Book) -> None:
    pairs = chain(200)
    keep(book, pairs)
    assert lines_of(book) == [line for _, line in pairs]
    assert len(book.spans()) > 2
    assert whole(book.spans())
    keep(book, more := chain(5, pairs[-1][1].link, 204))
    assert lines_of(book)[-5:] == [line for _, line in more]


def test_where_the_state_jumps_ahead_a_gap_stays_until_it_is_filled(book: Book) -> None:
    pairs = chain(300)
    keep(book, pairs[:100])
    book.resume(pairs[200][0])
    keep(book, pairs[200:])
    assert not whole(book.spans())
    missing = Stretch(pairs[100][0], [line for _, line in pairs[100:200]], [])
    assert book.fill(missing)
    assert whole(book.spans())
    assert lines_of(book) == [line for _, line in pairs]


def test_what_lies_beyond_the_state_comes_again(book: Book) -> None:
    pairs = chain(150)
    keep(book, pairs)
    book.resume(pairs[120][0])
    assert lines_of(book) == [line for _, line in pairs[:120]]
    keep(book, pairs[120:])
    assert lines_of(book) == [line for _, line in pairs]


def test_a_stretch_that_is_not_kept_is_none(book: Book) -> None:
    assert book.stretch(17) is None
    assert book.spans() == []


# -- files


def test_a_new_life_finds_what_was_made_durable_and_goes_on(tmp_path: Path) -> None:
    pairs = chain(300)
    before = HistoryFiles(tmp_path, file_bytes=4096)
    keep(before, pairs[:200])
    before.settle()
    keep(before, pairs[200:250])  # these die with the process
    after = HistoryFiles(tmp_path, file_bytes=4096)
    assert lines_of(after) == [line for _, line in pairs[:200]]
    after.resume(pairs[150][0])
    keep(after, pairs[150:])
    assert lines_of(after) == [line for _, line in pairs]
    assert whole(after.spans())


@pytest.mark.parametrize("torn", [1, 5, 30])
def test_half_a_line_at_the_end_is_written_anew(tmp_path: Path, torn: int) -> None:
    pairs = chain(20)
    before = HistoryFiles(tmp_path)
    keep(before, pairs)
    before.settle()
    [path] = tmp_path.iterdir()
    os.truncate(path, path.stat().st_size - torn)
    after = HistoryFiles(tmp_path)
    assert lines_of(after) == [line for _, line in pairs][: len(lines_of(after))]
    assert len(lines_of(after)) == 19
    after.resume(pairs[10][0])
    keep(after, pairs[10:])
    assert lines_of(after) == [line for _, line in pairs]


def test_a_node_without_a_checkpoint_makes_all_lines_anew(tmp_path: Path) -> None:
    pairs = chain(20)
    before = HistoryFiles(tmp_path)
    keep(before, pairs)
    before.settle()
    after = HistoryFiles(tmp_path)
    keep(after, pairs[:5])
    assert lines_of(after) == [line for _, line in pairs[:5]]


def test_a_damaged_line_is_told_and_hides_no_other(tmp_path: Path) -> None:
    pairs = chain(20)
    book = HistoryFiles(tmp_path)
    keep(book, pairs)
    book.settle()
    [path] = tmp_path.iterdir()
    content = path.read_bytes()
    place = content.index(pairs[5][1].covered)
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    stretch = HistoryFiles(tmp_path).stretch(0)
    assert stretch is not None
    assert stretch.damaged == [pairs[4][1].revision]
    assert stretch.lines == [line for _, line in pairs[:5] + pairs[6:]]


def test_the_oldest_go_first(tmp_path: Path) -> None:
    book = HistoryFiles(tmp_path, bytes_max=20_000, file_bytes=4096)
    pairs = chain(1000)
    keep(book, pairs)
    kept = lines_of(book)
    assert 20 < len(kept) < 500
    assert kept == [line for _, line in pairs[-len(kept) :]]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000 + 4096
    older = Stretch(pairs[0][0], [line for _, line in pairs[:100]], [])
    assert not book.fill(older), "what would be dropped at once is not taken"
    assert lines_of(book) == kept


def test_what_is_no_history_is_left_alone(tmp_path: Path) -> None:
    for name in ("notes.lines", f"{1:020d}.lines.bak", "lost+found"):
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / f"{9:020d}.lines").write_bytes(b"no frame")
    book = HistoryFiles(tmp_path)
    keep(book, pairs := chain(3))
    assert lines_of(book) == [line for _, line in pairs]
    assert {path.name for path in tmp_path.iterdir()} == {
        "notes.lines", f"{1:020d}.lines.bak", "lost+found", f"{0:020d}.lines"
    }  # fmt: skip


def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    book = HistoryFiles(tmp_path / "history")
    keep(book, chain(1))
    book.settle()
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "history").iterdir()} == {0o600}
    assert (tmp_path / "history").stat().st_mode & 0o777 == 0o700


def test_what_the_disk_refuses_is_a_gap_and_stops_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "history"
    book = HistoryFiles(directory, file_bytes=4096)
    pairs = chain(900)
    keep(book, pairs[:300])
    book.settle()
    directory.rename(tmp_path / "gone")
    keep(book, pairs[300:600])
    book.settle()
    (tmp_path / "gone").rename(directory)
    keep(book, pairs[600:])
    kept = lines_of(book)
    assert kept == [line for _, line in pairs if line in kept]
    assert 300 < len(kept) < 900
    assert kept[-1] == pairs[-1][1]
    assert not whole(book.spans())
    assert all(not stretch_of(book, span).damaged for span in book.spans())
