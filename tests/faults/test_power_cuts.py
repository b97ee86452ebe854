"""The power fails at any moment, and of what was not synced any sectors are there: what does a disk still know?

A disk's directory is copied as the cut would leave it, and a new store is opened on the copy. A batch must be there
whole or not at all, and every batch that was acknowledged must be there.
"""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from noded.core.ids import DiskId
from storage.extents import frame
from storage.extents.frame import Op, Why
from storage.extents.layout import BLOCK_BYTES
from storage.extents.messages import BLOCK_LINE, BlockState, Welcome, volume_key
from storage.host.block_table import BlockTable, place_of
from storage.host.extent_store import ExtentStore
from tests.unit.storage.talk import CLONE, VOLUME, Talk, block, refusal

DISK = DiskId("d")
SEGMENT_BYTES = 4 << 20
SECTOR_BYTES = 512
BLOCKS = 200

Model = dict[int, bytes]


class CutDisk:
    """A disk, what it must know, and copies of it as power cuts leave it."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.directory = directory / "disk"
        self.copy = directory / "copy"
        self.store = ExtentStore(self.directory, DISK, segment_bytes=SEGMENT_BYTES)
        self.talk = Talk(self.store)
        self.model: Model = {}

    def change(self) -> None:
        """One batch of writes and trims."""
        frames = []
        for _ in range(self.dice.randint(1, 3)):
            count = self.dice.choice((1, 1, 8, 32))
            first = self.dice.randrange(BLOCKS - count)
            if self.dice.random() < 0.1:
                content = bytes(count * BLOCK_BYTES)
                span = {"offset": first * BLOCK_BYTES, "length": len(content)}
                frames.append(self.talk.frame(Op.ZERO, stamp=self.talk.stamp(), **span))
            else:
                content = self.dice.randbytes(count * BLOCK_BYTES)
                frames.append(self.talk.write_frame(first, content))
            for at in range(count):
                self.model[first + at] = content[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES]
        assert [answer.op for answer in self.talk.send(*frames)] == [Op.ACK]

    def image(self) -> dict[str, bytes]:
        """All files as they are now."""
        return {
            str(path.relative_to(self.directory)): path.read_bytes()
            for path in self.directory.rglob("*")
            if path.is_file()
        }

    def torn(self, before: dict[str, bytes], after: dict[str, bytes], names: set[str]) -> dict[str, bytes]:
        """`after`, but of the files `names` any mixture of old and new sectors."""
        share = self.dice.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        mixed = dict(after)
        for name in names:
            old, new = before.get(name, b""), bytearray(after[name])
            for at in range(0, len(new), SECTOR_BYTES):
                old_sector = old[at : at + SECTOR_BYTES].ljust(len(new[at : at + SECTOR_BYTES]), b"\0")
                if old_sector != new[at : at + SECTOR_BYTES] and self.dice.random() > share:
                    new[at : at + SECTOR_BYTES] = old_sector
            mixed[name] = bytes(new)
        return mixed

    def known_after(self, image: dict[str, bytes], watermark: int | None = None) -> Model:
        """What a store knows that starts on this image; it is started twice, since that must change nothing."""
        shutil.rmtree(self.copy, ignore_errors=True)
        for name, content in image.items():
            (self.copy / name).parent.mkdir(parents=True, exist_ok=True)
            (self.copy / name).write_bytes(content)
        for _ in range(2):
            store = ExtentStore(self.copy, DISK, segment_bytes=SEGMENT_BYTES)
            reader = Talk(store, writer=False)
            found = {number: reader.read(number) for number in self.model}
            if watermark is not None:
                assert msgspec.msgpack.decode(reader.welcome.payload, type=Welcome).watermark == watermark
            store._journal.close()
        return found


@pytest.fixture(params=[1, 2, 3])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CutDisk]:
    disk = CutDisk(tmp_path, request.param)
    yield disk
    disk.store.close()


def test_a_torn_batch_is_there_whole_or_not_at_all(disk: CutDisk) -> None:
    for round_number in range(40):
        before, known = disk.image(), dict(disk.model)
        disk.change()
        if round_number % 4 == 0:
            # Other files may be settled meanwhile; what is torn here is the journal alone.
            found = disk.known_after(disk.torn(before, disk.image() | {}, {"journal"}))
            known = {number: known.get(number, bytes(BLOCK_BYTES)) for number in disk.model}
            assert found in (known, disk.model)


def test_what_is_being_settled_may_be_lost_in_any_part(disk: CutDisk) -> None:
    for _ in range(5):
        before = disk.image()
        sequence = disk.store._journal.sequence
        while disk.store._journal.sequence == sequence:
            disk.change()
        disk.store.finish_settling(wait=True)
        after = disk.image()
        names = {name for name in after if name.startswith("volumes/")}
        assert disk.known_after(disk.torn(before, after, names)) == disk.model


def test_a_bit_that_rots_in_the_journal_takes_the_trust_away(disk: CutDisk) -> None:
    mark = frame.first_stamp(1) + 5
    for number in range(8):
        disk.talk.write(number, block(number + 1), mark=mark)
        disk.model[number] = block(number + 1)
    image = disk.image()
    disk.known_after(image, watermark=mark)
    rotten = bytearray(image["journal"])
    rotten[rotten.index(block(4)) + 100] ^= 1
    found = disk.known_after(image | {"journal": bytes(rotten)}, watermark=0)
    assert [found[number] for number in range(8)] == [block(1), block(2), block(3)] + [block(0)] * 5


def test_a_bit_that_rots_never_reaches_the_owner(tmp_path: Path) -> None:
    disk = CutDisk(tmp_path, 1)
    for number in range(1, 4):
        disk.talk.write(number, block(number))
    disk.store.settle()
    path = disk.directory / "volumes" / VOLUME / "0.data"
    content = bytearray(path.read_bytes())
    content[2 * BLOCK_BYTES + 9] ^= 1
    path.write_bytes(content)
    assert disk.talk.read(1) == block(1)
    assert refusal(disk.talk.ask(disk.talk.read_frame(2))) == Why.DAMAGED
    assert refusal(disk.talk.ask(disk.talk.read_frame(1, 3))) == Why.DAMAGED
    checked = disk.talk.ask(disk.talk.frame(Op.CHECK, offset=0, length=64 * BLOCK_BYTES)).payload
    assert [(number, digest != 0) for number, _, digest in BLOCK_LINE.iter_unpack(checked)] == [
        (1, True),
        (2, False),
        (3, True),
    ]
    disk.talk.repair(Op.REPAIR, 2, block(2), stamp=frame.first_stamp(1) + 2, mark=0, flags=frame.ALWAYS)
    assert disk.talk.read(1, 3) == block(1) + block(2) + block(3)
    disk.store.close()


@pytest.mark.parametrize("byte", [1 * 16 + 1, 2 * 16 + 15, 7 * 16, 500, 511])
def test_a_line_that_rots_loses_what_was_known_of_some_blocks_until_they_are_mended(tmp_path: Path, byte: int) -> None:
    """A stamp that had rotted to another one that may be was believed."""
    disk = CutDisk(tmp_path, 1)
    for number in (1, 2, 40):
        disk.talk.write(number, block(number))
    mark = disk.talk.stamp()
    disk.store.settle()
    with (disk.directory / "volumes" / VOLUME / "0.lines").open("r+b") as file:
        file.seek(byte)
        rotten = bytes([file.read(1)[0] ^ 1])
        file.seek(byte)
        file.write(rotten)
    told = disk.talk.stamps(above=mark)
    assert told == dict.fromkeys(range(31), BlockState(mark + 1, 0))
    assert all(state.is_lost for state in told.values())
    for number in (1, 2, 3):
        assert refusal(disk.talk.ask(disk.talk.read_frame(number))) == Why.DAMAGED
    checked = disk.talk.ask(disk.talk.frame(Op.CHECK, offset=0, length=32 * BLOCK_BYTES)).payload
    assert all(digest == 0 for _, _, digest in BLOCK_LINE.iter_unpack(checked))
    assert len(checked) == 31 * BLOCK_LINE.size
    assert disk.talk.read(40) == block(40)
    # A guest's write, one that an owner sends again, and a repair by whatever mark: each makes its block known again.
    disk.talk.write(1, block(5), stamp=mark - 1)
    disk.talk.repair(Op.REPAIR, 2, block(2), stamp=frame.first_stamp(1) + 2, mark=mark + 2)
    disk.talk.repair(Op.REPAIR_ABSENT, 3, 28, stamp=0, mark=0)
    disk.talk.repair(Op.REPAIR_ABSENT, 0, 1, stamp=0, mark=0)
    disk.store.settle()
    assert disk.talk.read(0, 4) == block(0) + block(5) + block(2) + block(0)
    assert disk.talk.stamps(above=mark) == {}
    disk.store.close()


def test_a_stamp_beyond_all_is_taken_for_no_newer_write(tmp_path: Path) -> None:
    """It passed for a write that is sent to the replica anyway, so what the block had missed was never brought."""
    disk = CutDisk(tmp_path, 1)
    for number in range(1, 4):
        disk.talk.write(number, block(number))
    mark = disk.talk.stamp()
    disk.store.settle()
    with (disk.directory / "volumes" / VOLUME / "0.lines").open("r+b") as file:
        table = BlockTable(file.fileno(), place_of(volume_key(VOLUME), 0))
        digest, stamp = table.line(2)
        table.write({2: (stamp ^ 1 << 62, digest)}, [2])  # as when the disk has lost the newest facts of the volume
    assert disk.talk.stamps(above=mark)[2].stamp == mark + 1
    [(_, fetched, _)], content = disk.talk.fetch(2, 1)
    assert (fetched <= mark, content) == (True, block(2))
    disk.talk.repair(Op.REPAIR, 2, block(9), stamp=mark, mark=mark + 2)
    assert disk.talk.read(1, 3) == block(1) + block(9) + block(3)
    assert disk.talk.stamps(above=mark) == {}
    disk.store.close()


def test_a_volume_whose_facts_have_rotted_still_shows_through_in_its_clones(tmp_path: Path) -> None:
    """Its clones showed zeroes in the place of its blocks, and guests read them."""
    disk = CutDisk(tmp_path, 1)
    for number in range(1, 4):
        disk.talk.write(number, block(number))
    disk.store.settle()
    disk.talk.write(2, block(9))  # in the journal only
    clone = Talk(disk.store, CLONE, parents=(VOLUME,))
    clone.write(3, block(7))
    disk.store._journal.close()
    facts = disk.directory / "volumes" / VOLUME / "volume"
    facts.write_bytes(bytes(facts.stat().st_size))
    for _ in range(2):
        store = ExtentStore(disk.directory, DISK, segment_bytes=SEGMENT_BYTES)
        assert Talk(store, CLONE, 2, writer=False).read(1, 3) == block(1) + block(9) + block(7)
        welcome = msgspec.msgpack.decode(Talk(store, VOLUME, 2, writer=False).welcome.payload, type=Welcome)
        assert welcome.watermark == 0
        store.close()


def test_what_reads_through_to_a_volume_shows_its_blocks_when_the_facts_of_both_have_rotted(tmp_path: Path) -> None:
    disk = CutDisk(tmp_path, 1)
    disk.talk.write(1, block(1))
    Talk(disk.store, CLONE, parents=(VOLUME,)).write(3, block(7))
    disk.store.close()
    for facts in disk.directory.glob("volumes/*/volume"):
        facts.write_bytes(bytes(facts.stat().st_size))
    store = ExtentStore(disk.directory, DISK, segment_bytes=SEGMENT_BYTES)
    clone = Talk(store, CLONE, 2, parents=(VOLUME,))
    assert clone.read(1, 3) == block(1) + block(0) + block(7)
    store.close()


def test_a_volume_that_comes_after_what_reads_through_to_it_shows_through(tmp_path: Path) -> None:
    disk = CutDisk(tmp_path, 1)
    disk.talk.write(1, block(1))
    clone = Talk(disk.store, CLONE, parents=(VOLUME,))
    [replica] = [each for each in disk.store._replicas.values() if each.volume_id == CLONE]
    parent = replica.parent
    assert parent is not None
    replica.rest_on(None)  # as when its facts had rotted
    del disk.store._replicas[parent.key]
    Talk(disk.store, VOLUME, 2)
    disk.store.settle()
    assert replica.parent is not None
    assert clone.read(2) == block(0)
    disk.store.close()
