"""What a disk keeps of each block is read as it was written; whatever rots in it is noticed."""

import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.host.block_table import LOST_STAMP, SECTOR_BYTES, SECTOR_LINES, BlockTable, place_of, table_bytes

BLOCKS = 2000
PLACE = place_of(0xFEDC_BA98_7654_3210, 3)
LOST = (0, LOST_STAMP)
Open = Callable[[int], BlockTable]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    fd = os.open(tmp_path / "3.lines", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, table_bytes(BLOCKS))
    yield lambda place: BlockTable(fd, place)
    os.close(fd)


@pytest.fixture
def table(opened: Open) -> BlockTable:
    return opened(PLACE)


def lines(table: BlockTable, block: int, count: int) -> list[tuple[int, int]]:
    numbers = table.lines(block, count).tolist()
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def put(table: BlockTable, entries: dict[int, tuple[int, ...]]) -> None:
    table.write(entries, sorted(entries))


def flip(table: BlockTable, byte: int, bit: int) -> None:
    os.pwrite(table.fd, bytes([os.pread(table.fd, 1, byte)[0] ^ 1 << bit]), byte)


@pytest.mark.parametrize("seed", range(3))
def test_lines_are_read_as_they_were_written(table: BlockTable, seed: int) -> None:
    dice = random.Random(seed)
    model = [(0, 0)] * BLOCKS
    for number in range(1, 60):
        first, count = dice.randrange(BLOCKS - 500), dice.choice((1, 1, 2, 40, 500))
        chosen = [block for block in range(first, first + count) if dice.random() < 0.8]
        put(table, {block: (number, block + number, -1) for block in chosen})
        for block in chosen:
            model[block] = (block + number, number)
        first, count = dice.randrange(BLOCKS - 300), dice.choice((1, 31, 32, 300))
        assert lines(table, first, count) == model[first : first + count]
        assert table.line(first) == model[first]
    assert lines(table, 0, BLOCKS) == model


def test_where_nothing_was_written_is_found_without_reading_it(table: BlockTable) -> None:
    assert table.next_line(0, BLOCKS) == BLOCKS
    put(table, {1500: (1, 1)})
    found = table.next_line(3, BLOCKS)
    assert 3 < found <= 1500
    assert lines(table, 3, found - 3) == [(0, 0)] * (found - 3)
    assert table.next_line(1500, BLOCKS) == 1500
    assert table.next_line(3, found - 1) == found - 1


def test_any_bit_that_rots_loses_the_lines_of_its_sector_and_no_others(table: BlockTable) -> None:
    put(table, {block: (block + 1, block + 7) for block in range(3 * SECTOR_LINES)})
    before = lines(table, 0, 3 * SECTOR_LINES)
    wanted = before[:SECTOR_LINES] + [LOST] * SECTOR_LINES + before[2 * SECTOR_LINES :]
    for byte in range(SECTOR_BYTES, 2 * SECTOR_BYTES):
        flip(table, byte, byte % 8)
        assert lines(table, 0, 3 * SECTOR_LINES) == wanted
        assert table.line(SECTOR_LINES + 1) == LOST
        flip(table, byte, byte % 8)
    assert lines(table, 0, 3 * SECTOR_LINES) == before


def test_a_bit_that_rots_where_nothing_was_written_is_noticed(table: BlockTable) -> None:
    flip(table, SECTOR_BYTES + 40, 3)
    assert lines(table, 0, 40) == [(0, 0)] * SECTOR_LINES + [LOST] * (40 - SECTOR_LINES)


def test_what_is_lost_stays_so_until_it_is_written(table: BlockTable) -> None:
    put(table, dict.fromkeys(range(SECTOR_LINES), (1, 1)))
    flip(table, 5, 1)
    put(table, {4: (2, 9)})
    assert lines(table, 0, SECTOR_LINES) == [LOST] * 4 + [(9, 2)] + [LOST] * (SECTOR_LINES - 5)
    put(table, dict.fromkeys(range(SECTOR_LINES), (3, 3)))
    assert lines(table, 0, SECTOR_LINES) == [(3, 3)] * SECTOR_LINES


@pytest.mark.parametrize("place", [place_of(0xFEDC_BA98_7654_3210, 4), place_of(0xFEDC_BA98_7654_2210, 3)])
def test_lines_of_another_extent_or_volume_are_not_believed(opened: Open, place: int) -> None:
    put(opened(PLACE), {0: (1, 1)})
    assert lines(opened(place), 0, 1) == [LOST]


def test_lines_of_another_sector_are_not_believed(table: BlockTable) -> None:
    put(table, {0: (1, 1)})
    os.pwrite(table.fd, os.pread(table.fd, SECTOR_BYTES, 0), SECTOR_BYTES)
    assert lines(table, SECTOR_LINES, 2) == [LOST, LOST]


def test_a_file_that_is_cut_off_has_lost_its_lines(table: BlockTable) -> None:
    put(table, {BLOCKS - 1: (1, 1)})
    os.ftruncate(table.fd, table_bytes(BLOCKS) - SECTOR_BYTES)
    assert table.line(BLOCKS - 1) == LOST


def test_who_reads_while_another_thread_writes_loses_nothing(table: BlockTable) -> None:
    written = dict.fromkeys(range(0, 8 * SECTOR_LINES, 2), (1, 1))
    put(table, written)
    ends = threading.Event()

    def write() -> None:
        number = 2
        while not ends.is_set():
            put(table, dict.fromkeys(range(1, 8 * SECTOR_LINES, 2), (number, number)))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            assert LOST not in lines(table, 0, 8 * SECTOR_LINES)
    finally:
        ends.set()
        writer.join()
