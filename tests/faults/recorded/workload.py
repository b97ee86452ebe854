"""What an extent server's store goes through while it is recorded: `python -m tests.faults.recorded.workload DIR SEED`.

Two volumes, of which one was cloned from the other, are written, trimmed and repaired; extents are dropped, a third
volume is removed, the store is closed and opened again. What is about to be sent, and what was acknowledged, is noted
in a file of its own, so that it is recorded in its place between the writes.
"""

import json
import os
import random
import sys
from pathlib import Path
from typing import Final

from noded.core.ids import DiskId
from storage.extents.frame import Op
from storage.extents.layout import BLOCK_BYTES
from storage.host.extent_store import ExtentStore
from tests.unit.storage.talk import CLONE, VOLUME, Talk

NOTES: Final = "notes"
DISK: Final = "store"
DISK_ID: Final = DiskId("d")
SEGMENT_BYTES: Final = 4 << 20
GONE: Final = "33333333-7c3b-4d1e-9a55-3f2b8c9d0e01"
EXTENTS: Final = 2
BLOCKS: Final = 160  # of each extent
ZEROES: Final = 0

Place = tuple[str, int, int]  # volume, extent, block


def content_of(place: Place, version: int) -> bytes:
    """What is written to a block: nobody writes the same twice."""
    return random.Random(f"{place} {version}").randbytes(BLOCK_BYTES) if version else bytes(BLOCK_BYTES)


class Work:
    """The store, and what it was told."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._dice = random.Random(seed)
        self._directory = directory
        self._notes = os.open(directory / NOTES, os.O_WRONLY | os.O_CREAT)
        self._version = 0
        self._epoch = self._changes = 0
        self._open()

    def _open(self) -> None:
        self._epoch += 1
        self._store = ExtentStore(self._directory / DISK, DISK_ID, segment_bytes=SEGMENT_BYTES)
        self._talks = {VOLUME: Talk(self._store, VOLUME, self._epoch), GONE: Talk(self._store, GONE, self._epoch)}
        self._talks[CLONE] = Talk(self._store, CLONE, self._epoch, parents=(VOLUME,), changes=self._changes)

    def note(self, **facts: object) -> None:
        os.write(self._notes, json.dumps(facts).encode() + b"\n")

    def batch(self) -> None:
        """Some frames of one volume, which the store commits together."""
        dice, frames, versions = self._dice, [], []
        volume = dice.choice((VOLUME, VOLUME, CLONE, GONE))
        talk = self._talks[volume]
        for _ in range(dice.randint(1, 3)):
            extent, count = dice.randrange(EXTENTS), dice.choice((1, 1, 8, 32))
            first = dice.randrange(BLOCKS - count)
            self._version += 1
            version = ZEROES if dice.random() < 0.15 else self._version
            if version:
                data = b"".join(content_of((volume, extent, first + at), version) for at in range(count))
                frames.append(talk.write_frame(first, data, extent=extent, mark=talk.stamp()))
            else:
                span = {"offset": first * BLOCK_BYTES, "length": count * BLOCK_BYTES}
                frames.append(talk.frame(Op.ZERO, extent=extent, stamp=talk.stamp(), **span))
            versions.append((extent, first, count, version))
        self.note(begin=volume, versions=versions)
        assert [answer.op for answer in talk.send(*frames)] == [Op.ACK]
        self.note(done=volume)

    def drop(self) -> None:
        """An extent moves elsewhere."""
        self.note(begin=CLONE, dropped=1)
        self._store.drop(CLONE, [1], self._epoch)
        self.note(done=CLONE)
        before = self._talks[CLONE].sequence
        self._changes = self._epoch
        self._talks[CLONE] = Talk(self._store, CLONE, self._epoch, parents=(VOLUME,), changes=self._changes)
        self._talks[CLONE].sequence = before

    def remove(self) -> None:
        """A volume is deleted."""
        self.note(begin=GONE, removed=True)
        self._store.remove(GONE)
        self._store.commit()
        self.note(done=GONE)
        self._talks[GONE] = Talk(self._store, GONE, self._epoch)

    def start_again(self) -> None:
        """In peace."""
        self._store.close()
        self._open()


def main(directory: Path, seed: int, batches: int) -> None:
    """All of it. The last store is not closed: power fails anyway."""
    work = Work(directory, seed)
    for number in range(1, batches + 1):
        work.batch()
        if number % 50 == 0:
            work.remove()
        if number % 70 == 0:
            work.drop()
        if number % 120 == 0:
            work.start_again()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
