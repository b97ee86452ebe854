"""What is written to a backup is read back as it was, or said to be damaged."""

import random
from pathlib import Path

import pytest

from noded.core.errors import Invalid
from noded.core.units import KIB, MIB
from storage.backups.chunks import (
    CHUNK_BYTES,
    REGION_BYTES,
    Damaged,
    Object,
    Region,
    Seal,
    chunks_of,
    digests_of,
    encode,
)
from storage.backups.links import DirectoryPlace, Stored
from storage.host.backup_bytes import HostBackups
from storage.host.backup_objects import MARK

KEY = bytes(range(32))
SIZE = 2 * REGION_BYTES + 300 * KIB


def noise(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)


@pytest.mark.parametrize("key", [None, KEY])
def test_a_region_is_read_back_as_it_was_written(key: bytes | None) -> None:
    data = noise(1, CHUNK_BYTES) + bytes(CHUNK_BYTES) + b"text " * 30_000
    seal = Seal(key, "here")
    content = encode("here", 5, data, None, seal)
    assert isinstance(content, bytes)
    chunks = list(chunks_of([Object(content, "here", 5, seal)]))
    length = -(-len(data) // CHUNK_BYTES)
    assert b"".join(each or bytes(CHUNK_BYTES) for each in chunks[:length])[: len(data)] == data
    assert (b"text text" in content) is False


def test_what_is_all_zero_or_all_as_before_needs_no_object() -> None:
    seal = Seal(None, "here")
    data = noise(1, 3 * CHUNK_BYTES)
    content = encode("here", 1, data, None, seal)
    assert isinstance(content, bytes)
    before = digests_of([Object(content, "here", 1, seal)], 3)
    assert encode("next", 1, data, before, Seal(None, "next")) is Region.PARENT
    assert encode("here", 1, bytes(len(data)), None, seal) is Region.ZERO


@pytest.mark.parametrize("key", [None, KEY])
def test_any_flipped_byte_is_seen(key: bytes | None) -> None:
    seal = Seal(key, "here")
    content = encode("here", 1, noise(1, 2 * CHUNK_BYTES), None, seal)
    assert isinstance(content, bytes)
    for position in (0, 5, 20, 150, len(content) // 2, len(content) - 1):
        broken = bytearray(content)
        broken[position] ^= 1
        with pytest.raises((Damaged, ValueError)):
            list(chunks_of([Object(bytes(broken), "here", 1, seal)]))
    with pytest.raises(Damaged):
        Object(content, "here", 2, seal)
    with pytest.raises(Damaged):
        Object(content[:-1], "here", 1, seal)


class Shelf:
    """A directory target, and a volume in a file."""

    def __init__(self, directory: Path, key: bytes | None) -> None:
        self.root = directory / "backups"
        self.root.mkdir()
        self.key = key
        self.bytes = HostBackups()
        self.volume = directory / "volume"

    def stored(self, location: str) -> Stored:
        place = DirectoryPlace(path=self.root, target_id="nas", container="c")
        return Stored(place=place, location=location, key=self.key)


@pytest.fixture(params=[None, KEY])
async def shelf(tmp_path: Path, request: pytest.FixtureRequest) -> Shelf:
    shelf = Shelf(tmp_path, request.param)
    await shelf.bytes.mark(shelf.stored("x").place)
    shelf.volume.write_bytes(noise(1, MIB) + bytes(SIZE - 2 * MIB) + noise(2, MIB))
    return shelf


async def test_a_full_backup_and_its_increments_restore_each_moment(shelf: Shelf, tmp_path: Path) -> None:
    moments = [shelf.volume.read_bytes()]
    chain = [shelf.stored("0")]
    await shelf.bytes.copy(shelf.volume, SIZE, "v", chain)
    for number in (1, 2):
        with shelf.volume.open("r+b") as file:
            file.seek(number * 5 * MIB)
            file.write(noise(number + 7, 100 * KIB))
            file.seek(0)
            file.write(bytes(64 * KIB * number))
        moments.append(shelf.volume.read_bytes())
        chain = [shelf.stored(str(number)), *chain]
        copied = await shelf.bytes.copy(shelf.volume, SIZE, "v", chain)
        assert copied.stored_bytes < MIB, "only what changed is in it"
    for number, moment in enumerate(moments):
        for blank in (True, False):
            target = tmp_path / "restored"
            target.write_bytes(bytes(SIZE) if blank else noise(99, MIB) * (SIZE // MIB) + bytes(SIZE % MIB))
            await shelf.bytes.restore(chain[len(moments) - 1 - number :], SIZE, target, blank=blank)
            assert target.read_bytes() == moment


async def test_work_that_was_cut_off_goes_on_where_it_was(shelf: Shelf) -> None:
    first = await shelf.bytes.copy(shelf.volume, SIZE, "v", [shelf.stored("0")])
    assert first.object_count == 4, "the first MiB, the last one on both sides of a border, and the manifest"
    directory = shelf.root / "c" / "0"
    (directory / "00000000").unlink()
    (directory / "00000002").unlink()
    torn = directory / "00000003"
    torn.write_bytes(torn.read_bytes()[:-10])
    kept = (directory / "00000001").stat().st_mtime_ns
    assert await shelf.bytes.copy(shelf.volume, SIZE, "v", [shelf.stored("0")]) == first or shelf.key is not None
    assert (directory / "00000001").stat().st_mtime_ns == kept
    assert (await shelf.bytes.check(shelf.stored("0"))).object_count == 4


async def test_damage_is_told_and_not_restored(shelf: Shelf, tmp_path: Path) -> None:
    await shelf.bytes.copy(shelf.volume, SIZE, "v", [shelf.stored("0")])
    damaged = shelf.root / "c" / "0" / "00000001"
    content = bytearray(damaged.read_bytes())
    content[-5] ^= 1
    damaged.write_bytes(content)
    target = tmp_path / "restored"
    target.write_bytes(bytes(SIZE))
    with pytest.raises(Invalid, match=r"damaged|opened"):
        await shelf.bytes.restore([shelf.stored("0")], SIZE, target, blank=True)
    damaged.unlink()
    with pytest.raises(Invalid, match="missing"):
        await shelf.bytes.restore([shelf.stored("0")], SIZE, target, blank=True)


async def test_nothing_is_left_of_a_removed_backup(shelf: Shelf) -> None:
    await shelf.bytes.copy(shelf.volume, SIZE, "v", [shelf.stored("0")])
    for _ in range(2):
        await shelf.bytes.remove(shelf.stored("0"))
    assert [path.name for path in shelf.root.iterdir()] == [MARK]
    with pytest.raises(Invalid, match="manifest"):
        await shelf.bytes.check(shelf.stored("0"))
