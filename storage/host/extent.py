"""What does a disk hold of an extent of a volume? The overlay of the journal's two segments over the settled files."""

import errno
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from storage.extents.frame import ZERO_BLOCK_HASH, hash_of
from storage.extents.layout import BLOCK_BYTES, BLOCK_SHIFT
from storage.extents.messages import BLOCK_LINE, STAMPS_BLOCKS_MAX, STAMPS_LINES_MAX, BlockState, Hello
from storage.host.extent_files import (
    NOWHERE,
    STAMP_UNKNOWN,
    Entry,
    ExtentFiles,
    VolumeFacts,
    open_extent,
)
from storage.host.windows import settled_blocks

# An entry whose bytes are settled: they lie at the block's own place in the data file.
AT_HOME: Final = -2
ABSENT: Final[Entry] = (0, 0, NOWHERE)


class Extent:
    """One extent. `fresh` belongs to the segment that is being filled, `frozen` to the one that is being settled."""

    __slots__ = ("_files", "_missing", "directory", "fresh", "frozen", "index")

    def __init__(self, directory: Path, index: int) -> None:
        self.directory = directory
        self.index = index
        self.fresh: dict[int, Entry] = {}
        self.frozen: dict[int, Entry] = {}
        self._files: ExtentFiles | None = None
        # Remembered, so that a volume that nothing was written to costs no system call a block.
        self._missing = False

    def entry(self, block: int) -> Entry:
        """The newest that is known of one block."""
        found = self.fresh.get(block) or self.frozen.get(block)
        if found is None:
            files = self.files()
            if files is None:
                return ABSENT
            digest, stamp = files.table.line(block)
            return stamp, digest, AT_HOME
        return found

    def entries(self, first: int, count: int) -> list[Entry]:
        """The newest that is known of `count` blocks."""
        found = [ABSENT] * count
        files = self.files()
        if files is not None:
            lines = files.table.lines(first, count)
            found = [(stamp, digest, AT_HOME) for digest, stamp in zip(lines[::2], lines[1::2], strict=True)]
        for overlay in (self.frozen, self.fresh):
            if overlay:
                for block in range(first, first + count):
                    entry = overlay.get(block)
                    if entry is not None:
                        found[block - first] = entry
        return found

    def known(self, first: int, count: int) -> bytes:
        """For each of `count` blocks a byte: 1 if it is there, 0 if not. Empty if none of them is."""
        files = self.files()
        found = settled_blocks(files, first, count) if files is not None else b""
        if not self.frozen and not self.fresh:
            return found
        marked = bytearray(found or bytes(count))
        for overlay in (self.frozen, self.fresh):
            inside = range(first, first + count) if len(overlay) > count else overlay
            for block in inside:
                if first <= block < first + count and (entry := overlay.get(block)) is not None:
                    marked[block - first] = bool(entry[0])
        return bytes(marked)

    def newest_stamp(self, first: int, count: int, newest: int) -> int:
        """The newest stamp among some blocks, of those that were given: what is beyond `newest` is rotten or lost."""
        return max((entry[0] for entry in self.entries(first, count) if entry[0] <= newest), default=0)

    def next_known(self, block: int, stop: int) -> int:
        """The first block from `block` on of which something may be known; `stop` if there is none before it."""
        files = self.files()
        found = stop if files is None else files.table.next_line(block, stop)
        for overlay in (self.frozen, self.fresh):
            found = min((each for each in overlay if block <= each < found), default=found)
        return found

    def files(self) -> ExtentFiles | None:
        """The settled files, opened if need be."""
        if self._files is None and not self._missing:
            self._files = open_extent(self.directory, self.index)
            self._missing = self._files is None
        return self._files

    def settled(self) -> None:
        """The frozen overlay is in the files now."""
        self.frozen = {}
        self._missing = False

    def close(self) -> None:
        """Give the files back; they are opened again when needed."""
        if self._files is not None:
            self._files.close()
            self._files = None

    @property
    def is_open(self) -> bool:
        """Whether it holds file descriptors."""
        return self._files is not None

    def load(
        self, entries: Sequence[Entry], first: int, journal: int, into: memoryview, *, data: int | None = None
    ) -> list[int]:
        """Read the blocks from `first` on, in as few reads as possible; the numbers of those whose hash is wrong.

        Blocks that are absent or zero are left as `into` has them. `data` is another opening of the data file.
        """
        damaged: list[int] = []
        for start, stop in _runs(entries):
            place = entries[start][2]
            part = into[start << BLOCK_SHIFT : stop << BLOCK_SHIFT]
            if place == AT_HOME:
                files = self.files()
                assert files is not None, "the table was read from them"
                got = _read(files.data if data is None else data, part, (first + start) << BLOCK_SHIFT)
            else:
                got = _read(journal, part, place)
            for number in range(start, stop):
                begin = (number - start) << BLOCK_SHIFT
                if begin + BLOCK_BYTES > got or hash_of(part[begin : begin + BLOCK_BYTES]) != entries[number][1]:
                    damaged.append(first + number)
        return damaged

    def check(self, first: int, count: int, journal: int, newest: int) -> bytes:
        """Lines of some blocks, read from the disk itself and not from what is kept of it in memory.

        Blocks that do not match what the table says of them have no hash, and nor have those whose lines are lost.
        """
        files = self.files()
        if files is not None:
            files.table.forget(first, count)
        entries = self.entries(first, count)
        into = memoryview(mmap.mmap(-1, count << BLOCK_SHIFT))  # aligned, as O_DIRECT asks
        data = self._open_past_cache() if files is not None else None
        try:
            damaged = set(self.load(entries, first, journal, into, data=data))
        finally:
            if data is not None:
                os.close(data)
        return b"".join(
            BLOCK_LINE.pack(block, min(stamp, newest) or 1, 0 if block in damaged else digest)
            for block, (stamp, digest, _) in enumerate(entries, first)
            if stamp
        )

    def _open_past_cache(self) -> int | None:
        try:
            return os.open(self.directory / f"{self.index}.data", os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return None  # the file system knows no such reading

    def stamps(self, first: int, blocks: int, above: int, newest: int) -> tuple[bytes, int]:
        """Lines of the blocks from `first` on that are newer than `above`; the block to go on at, or 0 for the end.

        A stamp beyond `newest` was never given: it has rotted. Taken for what it says it would pass for a write that is
        on its way, and what the block missed would never be brought. So it is told as the oldest that is of interest.
        So are the lines that are lost; they have no hash (`BlockState.is_lost`).
        """
        states: dict[int, tuple[int, int]] = {}
        stop = blocks
        files = self.files()
        if files is not None:
            start = files.table.next_line(first, blocks)
            stop = min(start + STAMPS_BLOCKS_MAX, blocks)
            table = files.table.lines(start, stop - start) if start < stop else memoryview(b"").cast("Q")
            # Nearly always nothing is newer; finding that out must not cost a loop in Python.
            if max(table[1::2], default=0) > above:
                stamps = enumerate(table[1::2], start)
                states = {
                    block: (stamp if stamp <= newest else above + 1, table[2 * (block - start)])
                    for block, stamp in stamps
                    if stamp > above
                }
        for overlay in (self.frozen, self.fresh):
            for block, (stamp, digest, _) in overlay.items():
                if first <= block < stop:
                    states[block] = (stamp, digest)
        lines = [BLOCK_LINE.pack(block, *state) for block, state in sorted(states.items()) if state[0] > above]
        if len(lines) > STAMPS_LINES_MAX:
            lines = lines[:STAMPS_LINES_MAX]
            stop = BLOCK_LINE.unpack(lines[-1])[0] + 1
        return b"".join(lines), stop if stop < blocks else 0


def _read(fd: int, into: memoryview, position: int) -> int:
    """Read into all of `into`; how much was there. A block that the disk can't read stays as `into` has it: its hash
    does not match, so it is mended like one that has rotted. Raises OSError for anything else."""
    try:
        return os.preadv(fd, [into], position)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    if len(into) > BLOCK_BYTES:
        for at in range(0, len(into), BLOCK_BYTES):
            _read(fd, into[at : at + BLOCK_BYTES], position + at)
    return len(into)


def _runs(entries: Sequence[Entry]) -> Iterator[tuple[int, int]]:
    """The parts of `entries` that one read brings in; nothing for blocks that need no read."""
    at = 0
    while at < len(entries):
        place = entries[at][2]
        start = at
        at += 1
        if needs_no_read(entries[start]):
            continue
        step = 0 if place == AT_HOME else BLOCK_BYTES
        while at < len(entries) and entries[at][2] == place + step * (at - start) and not needs_no_read(entries[at]):
            at += 1
        yield start, at


def needs_no_read(entry: Entry) -> bool:
    """Whether a block is absent or all zero: its bytes are nowhere."""
    return entry[2] == NOWHERE or entry[0] == 0 or entry[1] == ZERO_BLOCK_HASH


def state_of(entry: Entry) -> BlockState:
    """An entry as it is told to the owner."""
    return BlockState(entry[0], entry[1])


class DiskReplica:
    """A volume on this disk: its facts and its extents."""

    def __init__(
        self, key: int, directory: Path, facts: VolumeFacts, sequence: int, parent: "DiskReplica | None"
    ) -> None:
        self.key = key
        self.directory = directory
        self.volume_id = facts.volume_id
        self.size_bytes = facts.size_bytes
        self.extent_bytes = facts.extent_bytes
        self.parents = facts.parents
        self.sealed_epoch = facts.sealed_epoch
        self.watermark = facts.watermark
        self.layout_changes = facts.layout_changes
        self.newest_stamp = min(facts.newest_stamp, STAMP_UNKNOWN)
        self.children: set[DiskReplica] = set()
        self.parent: DiskReplica | None = None
        # From the lowest layer up to this one, and how many they are.
        self.chain: tuple[DiskReplica, ...] = (self,)
        self.depth = 1
        self.rest_on(parent)
        self.writer: object = None
        self.removed = False
        self.extents: dict[int, Extent] = {}
        # Which slot of the facts file is the newest.
        self.facts_sequence = sequence

    def extent(self, index: int) -> Extent:
        """An extent, known from now on."""
        found = self.extents.get(index)
        if found is None:
            found = self.extents[index] = Extent(self.directory, index)
        return found

    def rest_on(self, parent: "DiskReplica | None") -> None:
        """Show the blocks of `parent` where there are none of its own."""
        if self.parent is not None:
            self.parent.children.discard(self)
        self.parent = parent
        if parent is not None:
            parent.children.add(self)
        changed = [self]
        while changed:
            layer = changed.pop()
            layer.chain = (*(layer.parent.chain if layer.parent is not None else ()), layer)
            layer.depth = len(layer.chain)
            changed += layer.children

    @property
    def is_empty_place(self) -> bool:
        """Whether it was made only for clones to rest on, which are gone: nobody ever claimed it on this disk."""
        return not (self.sealed_epoch or self.children or any(self.directory.glob("*.table")))

    def facts(self) -> VolumeFacts:
        """What is to be kept of it."""
        return VolumeFacts(
            volume_id=self.volume_id,
            size_bytes=self.size_bytes,
            extent_bytes=self.extent_bytes,
            parents=self.parents,
            sealed_epoch=self.sealed_epoch,
            watermark=self.watermark,
            layout_changes=self.layout_changes,
            newest_stamp=self.newest_stamp,
        )

    def forget_extent(self, index: int) -> None:
        """Nothing is known of an extent any more: it has no files."""
        extent = self.extents.pop(index, None)
        if extent is not None:
            extent.close()

    def close(self) -> None:
        """Give all files back."""
        for extent in self.extents.values():
            extent.close()


def facts_from(hello: Hello) -> VolumeFacts:
    """The facts of a volume that a writer greets this disk with for the first time."""
    return VolumeFacts(
        volume_id=hello.volume_id,
        size_bytes=hello.size_bytes,
        extent_bytes=hello.extent_bytes,
        parents=hello.parents,
        newest_stamp=0,
    )
