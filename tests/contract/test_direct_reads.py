"""What is read straight from a disk's files is what was written last, or nothing: a store tried against a model."""

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from noded.core.ids import DiskId
from storage.extents.direct import CHANGED_BLOCKS_MAX, Disk
from storage.extents.frame import Op
from storage.extents.layout import BLOCK_BYTES
from storage.extents.member import Member
from storage.extents.messages import FilesState
from storage.host.direct_files import OPEN_EXTENTS_MAX, DirectFiles, SealCount
from storage.host.extent_store import ExtentStore
from tests.unit.storage.talk import CLONE, EXTENT_BYTES, VOLUME, Talk, block

BLOCKS = 48  # of each of two extents: few, so that they are met often
EXTENT_BLOCKS = EXTENT_BYTES // BLOCK_BYTES


class Reader:
    """What an owner keeps of its local replica, and a connection that writes to it."""

    def __init__(
        self,
        store: ExtentStore,
        volume_id: str,
        epoch: int = 1,
        parents: tuple[str, ...] = (),
        extents_max: int = OPEN_EXTENTS_MAX,
    ) -> None:
        self.extents_max = extents_max
        self.talk = Talk(store, volume_id, epoch, parents=parents)
        self.disk = Disk(Member(DiskId("d"), 1, 0.0, is_local=True))

    def ask(self) -> None:
        """Ask how far the files are, and hear the answer."""
        self.disk.asking(0.0)
        self.told(self.question())

    def question(self) -> FilesState:
        answer = self.talk.ask(self.talk.frame(Op.FILES))
        return msgspec.msgpack.decode(answer.payload, type=FilesState)

    def told(self, state: FilesState) -> None:
        self.disk.told(state, partial(DirectFiles, extents_max=self.extents_max))

    def write(self, extent: int, first: int, data: bytes) -> None:
        count = len(data) // BLOCK_BYTES
        self.disk.changed(extent * EXTENT_BLOCKS + first, extent * EXTENT_BLOCKS + first + count - 1)
        self.talk.write(first, data, extent=extent)

    def zero(self, extent: int, first: int, count: int) -> None:
        self.disk.changed(extent * EXTENT_BLOCKS + first, extent * EXTENT_BLOCKS + first + count - 1)
        self.talk.zero(first, count, extent=extent)

    def read(self, extent: int, first: int, count: int) -> bytes | None:
        if not self.disk.holds(extent * EXTENT_BLOCKS + first, extent * EXTENT_BLOCKS + first + count - 1):
            return None
        assert self.disk.files is not None
        data = self.disk.files.read(extent, first * BLOCK_BYTES, count * BLOCK_BYTES)
        return None if data is None or self.disk.files.seals != self.disk.seals else bytes(data)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ExtentStore]:
    seals = SealCount(tmp_path / "seals", writable=True)
    disk = ExtentStore(tmp_path / "disk", DiskId("d"), segment_bytes=4 << 20, seals=seals)
    yield disk
    disk.close()
    seals.close()


@pytest.mark.parametrize("seed", range(6))
def test_a_direct_read_is_the_newest_write_or_nothing(store: ExtentStore, seed: int) -> None:
    dice = random.Random(seed)
    source = Reader(store, VOLUME)
    model = {(extent, number): block(0) for extent in range(2) for number in range(BLOCKS)}
    for extent in range(2):
        source.write(extent, 0, b"".join(block(dice.randrange(4)) for _ in range(BLOCKS)))
        for number in range(BLOCKS):
            model[extent, number] = source.talk.read(number, extent=extent)
    if dice.random() < 0.5:
        store.settle()
    reader = Reader(store, CLONE, parents=(VOLUME,))
    answered = 0
    for _ in range(400):
        extent, first = dice.randrange(2), dice.randrange(BLOCKS)
        count = dice.randint(1, min(8, BLOCKS - first))
        act = dice.random()
        if act < 0.25:
            data = [block(dice.randrange(250)) for _ in range(count)]
            reader.write(extent, first, b"".join(data))
            model.update({(extent, first + at): each for at, each in enumerate(data)})
        elif act < 0.3:
            reader.zero(extent, first, count)
            model.update({(extent, first + at): block(0) for at in range(count)})
        elif act < 0.4:
            store.settle()
        elif act < 0.55:
            reader.ask()
        elif (found := reader.read(extent, first, count)) is not None:
            answered += 1
            assert found == b"".join(model[extent, first + at] for at in range(count))
    assert answered > 20


def test_writes_between_a_question_and_its_answer_are_not_forgotten(store: ExtentStore) -> None:
    reader = Reader(store, VOLUME)
    reader.write(0, 0, block(1))
    store.settle()
    reader.disk.asking(0.0)
    state = reader.question()
    reader.write(0, 0, block(2))  # the files show block(1)
    reader.told(state)
    assert reader.read(0, 0, 1) is None
    store.settle()
    assert reader.read(0, 0, 1) is None, "nobody has said yet that it was settled"
    reader.ask()
    assert reader.read(0, 0, 1) == block(2)


def test_a_replica_that_another_owner_sealed_is_not_read(store: ExtentStore) -> None:
    reader = Reader(store, VOLUME)
    reader.write(0, 0, block(1))
    store.settle()
    reader.ask()
    assert reader.read(0, 0, 1) == block(1), "nothing came since it was settled"
    Talk(store, VOLUME, epoch=2)
    assert reader.read(0, 0, 1) is None


def test_rotten_bytes_are_not_shown(store: ExtentStore, tmp_path: Path) -> None:
    reader = Reader(store, VOLUME)
    reader.write(0, 0, block(1) + block(2))
    store.settle()
    reader.ask()
    [data] = (tmp_path / "disk").glob("volumes/*/0.data")
    with data.open("r+b") as file:
        file.seek(BLOCK_BYTES + 17)
        file.write(b"\xff")
    assert reader.read(0, 0, 1) == block(1)
    assert reader.read(0, 1, 1) is None
    assert reader.read(0, 0, 2) is None


def test_what_is_remembered_is_bounded(store: ExtentStore) -> None:
    reader = Reader(store, VOLUME)
    reader.ask()
    assert reader.read(0, 0, 1) == block(0)
    reader.disk.changed(0, CHANGED_BLOCKS_MAX)
    assert reader.read(1, 0, 1) is None
    reader.ask()
    store.settle()
    reader.ask()
    reader.ask()
    assert reader.read(1, 0, 1) == block(0)


def test_a_volume_above_many_layers_is_read_like_one_above_none(store: ExtentStore) -> None:
    dice, shown = random.Random(3), [0] * 1024
    names = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(1, 31)]
    for at, name in enumerate(names):
        reader = Reader(store, name, parents=tuple(reversed(names[:at])))
        for _ in range(20):
            first, letter = dice.randrange(1020), dice.randrange(250)
            reader.write(0, first, block(letter) * 3) if letter else reader.zero(0, first, 3)
            shown[first : first + 3] = [letter] * 3
    store.settle()
    reader.ask()
    for first in range(0, 1024, 64):
        assert reader.read(0, first, 64) == b"".join(block(letter) for letter in shown[first : first + 64])
    for at in range(0, 1024, 7):
        assert reader.read(0, at, 1) == block(shown[at])
    reader.write(0, 5, block(9))
    assert reader.read(0, 5, 1) is None  # the files do not hold it yet
    assert reader.read(0, 6, 1) == block(shown[6])


def test_more_layers_than_files_may_be_open_are_read_all_the_same(store: ExtentStore) -> None:
    names = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(1, 9)]
    for at, name in enumerate(names):
        reader = Reader(store, name, parents=tuple(reversed(names[:at])), extents_max=3)
        for extent in range(2):
            reader.write(extent, at, block(at + 1))
    store.settle()
    reader.ask()
    for _ in range(2):
        for extent in range(2):
            assert reader.read(extent, 0, 8) == b"".join(block(letter) for letter in range(1, 9))
            assert reader.read(extent, 3, 1) == block(4)
    assert isinstance(reader.disk.files, DirectFiles)
    assert len(reader.disk.files._open) <= 3 + len(names)


def test_a_disk_that_fails_is_left_to_its_extent_server(store: ExtentStore, tmp_path: Path) -> None:
    reader = Reader(store, VOLUME)
    reader.write(0, 0, block(1))
    store.settle()
    reader.ask()
    [data] = (tmp_path / "disk").glob("volumes/*/0.data")
    data.rename(data.with_suffix(".gone"))
    assert reader.read(0, 0, 1) is None
    data.with_suffix(".gone").rename(data)
    assert reader.read(0, 0, 1) is None, "nobody has said that it is well again"
    reader.write(0, 1, block(2))
    reader.ask()
    store.settle()
    reader.ask()
    assert reader.read(0, 0, 2) == block(1) + block(2)


def test_a_write_that_never_came_costs_no_more_than_a_question(store: ExtentStore) -> None:
    base = Reader(store, VOLUME)
    base.write(0, 0, block(1) + block(2))
    store.settle()
    reader = Reader(store, CLONE, parents=(VOLUME,))
    reader.ask()
    assert reader.read(0, 0, 2) == block(1) + block(2)
    reader.disk.changed(1, 1)  # the disk refused it: it was full
    reader.write(0, 5, block(5))
    reader.ask()
    store.settle()
    reader.ask()
    assert reader.read(0, 1, 1) is None
    assert reader.read(0, 1, 1) == block(2)
    assert reader.read(0, 0, 6) == block(1) + block(2) + block(0) * 3 + block(5)
