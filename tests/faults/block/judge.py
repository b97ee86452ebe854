"""Did a volume keep every block? What its guests saw, against what they had written.

Each block is written by one guest alone, one write after the other, and read by all. So the writes of a block have
versions, and a read is right exactly if it shows a version that is not older than any that was acknowledged, or seen,
before the read began, and that was begun before the read ended. A write that nobody answered may count from then on,
or never; if its guest is gone and another has written the block since, never: by then the dead one's server is fenced
off. Zeroes show any version that was a trim.
"""

import struct
from collections.abc import Iterable, Sequence

import msgspec

from tests.faults.log.judge import FOREVER, Verdict

BLOCK_BYTES = 4096
_LABEL = struct.Struct("<4sIQ")
_MAGIC = b"blok"

ZEROES = 0  # what a read shows of a block that was trimmed, or never written
TORN = -1
STRANGE = -2  # another block's bytes


class Write(msgspec.Struct):
    """A write or trim of one block; times by one clock."""

    version: int
    zeroes: bool
    start: float
    end: float = FOREVER


class Read(msgspec.Struct):
    """A read of one block, and the version that stood in it: or ZEROES, TORN, STRANGE."""

    shown: int
    start: float
    end: float
    where: str


class Register:
    """One block. `floor` is the oldest version that a read may still show, `zero_floor` whether that may be zeroes."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.writes: list[Write] = [Write(0, True, 0.0, 0.0)]
        self.reads: list[Read] = []
        self._floor = 0

    @property
    def newest(self) -> Write:
        return self.writes[-1]

    def write(self, start: float, *, zeroes: bool) -> Write:
        """The next version. Its `end` is set when it is acknowledged."""
        write = Write(self.newest.version + 1, zeroes, start)
        self.writes.append(write)
        return write

    def read(self, content: bytes, start: float, end: float, where: str) -> None:
        self.reads.append(Read(shown_by(self.block, content), start, end, where))

    def judge(self, verdict: Verdict) -> None:
        """Judge the reads since the last time, and forget what no later read may show."""
        seen: list[tuple[float, int]] = []  # when a read ended, and the oldest version that it can have shown
        for read in sorted(self.reads, key=lambda one: one.end):
            version = self._judge_read(read, seen, verdict)
            if version is not None:
                seen.append((read.end, version))
        self._floor = max([self._acknowledged_before(FOREVER), *(version for _, version in seen)])
        self.writes = [write for write in self.writes if write.version >= self._floor]
        self.reads.clear()

    def _judge_read(self, read: Read, seen: Sequence[tuple[float, int]], verdict: Verdict) -> int | None:
        acknowledged = self._acknowledged_before(read.start)
        met = max((version for end, version in seen if end < read.start), default=0)
        least = max(acknowledged, met)
        may_be = [
            write.version
            for write in self.writes
            if write.version >= least
            and write.start < read.end
            and (write.zeroes if read.shown == ZEROES else write.version == read.shown and not write.zeroes)
        ]
        if may_be:
            return min(may_be)
        told = f"block {self.block} shows {_told(read.shown)} at {read.where}"
        when = f"read from {read.start:.3f} to {read.end:.3f}"
        if read.shown in (TORN, STRANGE):
            verdict.wrong.append(f"{told}, {when}")
        elif read.shown > self.newest.version:
            verdict.wrong.append(f"{told}, which was never written, {when}")
        elif acknowledged >= met:
            verdict.lost.append(f"{told}, {when}; version {acknowledged} was acknowledged before")
        else:
            verdict.stale.append(f"{told}, {when}; version {met} had been seen before")
        return None

    def _acknowledged_before(self, moment: float) -> int:
        """The newest version that was acknowledged by then; what came before it is of no more account."""
        return max([self._floor, *(write.version for write in self.writes if write.end < moment)])


def judge(registers: Iterable[Register]) -> Verdict:
    """Judge what was read since the last judgement."""
    verdict = Verdict()
    for register in registers:
        register.judge(verdict)
    return verdict


def content_of(block: int, version: int) -> bytes:
    """What a guest writes."""
    return _LABEL.pack(_MAGIC, block, version) * (BLOCK_BYTES // _LABEL.size)


def shown_by(block: int, content: bytes) -> int:
    """Which version a block shows."""
    if content == bytes(BLOCK_BYTES):
        return ZEROES
    magic, written_to, version = _LABEL.unpack_from(content)
    if magic != _MAGIC or content != _LABEL.pack(magic, written_to, version) * (BLOCK_BYTES // _LABEL.size):
        return TORN
    return int(version) if written_to == block else STRANGE


def _told(shown: int) -> str:
    names = {ZEROES: "zeroes", TORN: "a torn block, or one that nobody wrote", STRANGE: "another block's bytes"}
    return names.get(shown, f"version {shown}")
