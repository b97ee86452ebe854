"""How does a disk keep the hash and the stamp of each block, so that a bit that rots in them is noticed?

    N.lines   sectors of 512 bytes: 31 lines (hash u64, stamp u64; zero: never written), zero u64, xxh3-64 of all before

A disk writes a sector whole or not at all, so a power cut leaves each of them right, old or new. The hash begins with
the place (volume, extent, sector): lines that belong elsewhere are not believed either. The lines of a sector that does
not match are lost, and each of them is shown as `LOST_LINE`: its hash is no block's, so the block counts as damaged
until it is written again.
"""

import errno
import os
import struct
import threading
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final

from storage.extents.frame import hash_of

LINE: Final = struct.Struct("<QQ")
LINE_BYTES: Final = 16
SECTOR_BYTES: Final = 512
SECTOR_LINES: Final = 31
READ_TRIES: Final = 10
READ_AGAIN_S: Final = 0.3
LOST_STAMP: Final = (1 << 64) - 1  # above every stamp
_LINES_BYTES: Final = SECTOR_LINES * LINE_BYTES
_HASHED_BYTES: Final = SECTOR_BYTES - 8
_HASH: Final = struct.Struct("<Q")
_EMPTY: Final = bytes(SECTOR_BYTES)
_LOST: Final = LINE.pack(0, LOST_STAMP) * SECTOR_LINES
# Sectors that are read and written together: what the page cache keeps as one.
_LOST_SECTOR: Final = _LOST + bytes(SECTOR_BYTES - _LINES_BYTES)
_PAGE_SECTORS: Final = 8
_PAGE_BYTES: Final = _PAGE_SECTORS * SECTOR_BYTES
_PAGE_LINES: Final = _PAGE_SECTORS * SECTOR_LINES
# Held while a sector is written, which takes no longer than its copying. Who finds one that does not match looks again
# with it: so it is rot, and not half of what another thread was just writing.
_WRITING: Final = threading.Lock()


class BlockTable:
    """The table of one extent, on an open file. `place` tells it from all others; see `place_of`."""

    __slots__ = ("_place", "fd")

    def __init__(self, fd: int, place: int) -> None:
        self.fd = fd
        self._place = place

    def next_line(self, block: int, stop: int) -> int:
        """The first block from `block` on that may have a line; `stop` if there is none before it."""
        start = block // SECTOR_LINES * SECTOR_BYTES
        try:
            at = os.lseek(self.fd, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return stop
        return block if at == start else min(stop, at // SECTOR_BYTES * SECTOR_LINES)

    def forget(self, block: int, count: int) -> None:
        """Let the lines of `count` blocks be read from the disk the next time, and not from memory."""
        first, last = block // SECTOR_LINES * SECTOR_BYTES, (block + count) // SECTOR_LINES * SECTOR_BYTES
        start = first // _PAGE_BYTES * _PAGE_BYTES
        os.posix_fadvise(self.fd, start, last - start + _PAGE_BYTES, os.POSIX_FADV_DONTNEED)

    def lines(self, block: int, count: int) -> memoryview:
        """The numbers of `count` blocks: hash, stamp, hash, stamp, and so on."""
        return memoryview(self.raw_lines(block, count)).cast("Q")

    def raw_lines(self, block: int, count: int) -> bytes:
        """The same as it is in the file."""
        sector, skipped = divmod(block, SECTOR_LINES)
        sectors = (skipped + count - 1) // SECTOR_LINES + 1
        raw = self._read(sectors * SECTOR_BYTES, sector * SECTOR_BYTES)
        if sectors == 1:
            found = raw if self._is_whole(raw, sector) else self._again(sector)
        else:
            # Long lists are read at each opening of a volume: hence no call for each sector.
            place, starts = self._place + sector, range(0, sectors * SECTOR_BYTES, SECTOR_BYTES)
            hashes = [hash_of(raw[at : at + _HASHED_BYTES], place + at // SECTOR_BYTES) for at in starts]
            parts = [raw[at : at + _LINES_BYTES] for at in starts]
            for number, digest in enumerate(hashes):
                at = number * SECTOR_BYTES
                if raw[at + _HASHED_BYTES : at + SECTOR_BYTES] != digest.to_bytes(8, "little"):
                    part = raw[at : at + SECTOR_BYTES]
                    if not self._is_whole(part, sector + number):
                        parts[number] = self._again(sector + number)[:_LINES_BYTES]
            found = b"".join(parts)
        return found[skipped * LINE_BYTES : (skipped + count) * LINE_BYTES]

    def line(self, block: int) -> tuple[int, int]:
        """The hash and the stamp of one block."""
        sector, number = divmod(block, SECTOR_LINES)
        raw = self._read(SECTOR_BYTES, sector * SECTOR_BYTES)
        if raw[_HASHED_BYTES:] != hash_of(raw[:_HASHED_BYTES], self._place + sector).to_bytes(8, "little"):
            raw = raw if self._is_whole(raw, sector) else self._again(sector)
        digest: int
        digest, stamp = LINE.unpack_from(raw, number * LINE_BYTES)
        return digest, stamp

    def write(self, entries: Mapping[int, tuple[int, ...]], blocks: Sequence[int]) -> None:
        """Put the lines of `blocks`, which are in order, in place: their entries begin with a stamp and a hash.

        Not durable yet. All lines of a page are one write, since a write costs more than the page does. Raises OSError.
        """
        at = 0
        while at < len(blocks):
            page = blocks[at] // _PAGE_LINES
            stop = bisect_left(blocks, (page + 1) * _PAGE_LINES, at)
            self._write_page(page * _PAGE_SECTORS, entries, blocks[at:stop])
            at = stop

    def _write_page(self, first: int, entries: Mapping[int, tuple[int, ...]], blocks: Sequence[int]) -> None:
        raw = self._read_insistently(_PAGE_BYTES, first * SECTOR_BYTES)
        # A page that the disk can't read is written whole: the disk may find another place for it.
        content = bytearray(raw.ljust(_PAGE_BYTES, b"\0")) if raw else self._lost_page(first)
        at = 0
        while at < len(blocks):
            sector = blocks[at] // SECTOR_LINES
            stop = bisect_left(blocks, (sector + 1) * SECTOR_LINES, at)
            start = (sector - first) * SECTOR_BYTES
            if stop - at < SECTOR_LINES and not self._is_whole(content[start : start + SECTOR_BYTES], sector):
                # None of the others may pass for right by what follows.
                content[start : start + SECTOR_BYTES] = _LOST_SECTOR
            if blocks[stop - 1] - blocks[at] == stop - at - 1:
                numbers = [number for block in blocks[at:stop] for number in entries[block][1::-1]]
                line = start + (blocks[at] - sector * SECTOR_LINES) * LINE_BYTES
                struct.pack_into(f"<{len(numbers)}Q", content, line, *numbers)
            else:
                for block in blocks[at:stop]:
                    line = start + (block - sector * SECTOR_LINES) * LINE_BYTES
                    LINE.pack_into(content, line, entries[block][1], entries[block][0])
            _HASH.pack_into(content, start + _HASHED_BYTES, self._hash(content[start : start + _HASHED_BYTES], sector))
            at = stop
        start = (blocks[0] // SECTOR_LINES - first) * SECTOR_BYTES if raw else 0
        stop = (blocks[-1] // SECTOR_LINES + 1 - first) * SECTOR_BYTES if raw else self._page_bytes(first)
        with _WRITING:
            os.pwrite(self.fd, content[start:stop], first * SECTOR_BYTES + start)

    def _lost_page(self, first: int) -> bytearray:
        """A page of which nothing is known."""
        content = bytearray(_PAGE_BYTES)
        for start in range(0, self._page_bytes(first), SECTOR_BYTES):
            content[start : start + SECTOR_BYTES] = _LOST_SECTOR
            digest = self._hash(content[start : start + _HASHED_BYTES], first + start // SECTOR_BYTES)
            _HASH.pack_into(content, start + _HASHED_BYTES, digest)
        return content

    def _page_bytes(self, first: int) -> int:
        """How much there is of the page that begins with a sector: the last one may be shorter."""
        return min(_PAGE_BYTES, os.fstat(self.fd).st_size - first * SECTOR_BYTES)

    def _read(self, size: int, position: int) -> bytes:
        """So many bytes, or nothing if the disk can't read them: those lines are lost."""
        try:
            return os.pread(self.fd, size, position)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b""

    def _read_insistently(self, size: int, position: int) -> bytes:
        """The same before the page is written: then what can't be read is lost for good, so it is tried for a while."""
        for _ in range(READ_TRIES - 1):
            if raw := self._read(size, position):
                return raw
            time.sleep(READ_AGAIN_S)
        return self._read(size, position)

    def _hash(self, content: bytes | bytearray, sector: int) -> int:
        return hash_of(content, self._place + sector)

    def _is_whole(self, raw: bytes | bytearray, sector: int) -> bool:
        if len(raw) < SECTOR_BYTES:
            return False
        digest = _HASH.unpack_from(raw, _HASHED_BYTES)[0]
        return self._hash(raw[:_HASHED_BYTES], sector) == digest if digest else raw == _EMPTY

    def _again(self, sector: int) -> bytes:
        """A sector that did not match."""
        with _WRITING:
            raw = self._read(SECTOR_BYTES, sector * SECTOR_BYTES)
        return raw if self._is_whole(raw, sector) else _LOST


def table_bytes(blocks: int) -> int:
    """How long the file of an extent of so many blocks is."""
    return -(-blocks // SECTOR_LINES) * SECTOR_BYTES


def place_of(volume_key: int, extent: int) -> int:
    """What tells the sectors of one extent's table from those of all others."""
    return (volume_key ^ (extent << 40)) >> 8  # the sectors are counted on from here, within 64 bits
