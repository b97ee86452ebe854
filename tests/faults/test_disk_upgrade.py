"""A disk of an earlier format is upgraded when its extent server starts; one of a later format is left alone."""

import shutil
import struct
from pathlib import Path

import msgspec
import pytest

from noded.core.ids import DiskId
from storage.extents.frame import Op
from storage.extents.layout import BLOCK_BYTES
from storage.host import disk_upgrade
from storage.host.disk_directory import DiskIdentity, WrongDisk
from storage.host.extent_files import open_extent
from storage.host.extent_store import ExtentStore
from tests.unit.storage.talk import EXTENT_BYTES, VOLUME, Talk, block

DISK = DiskId("d")
BLOCKS = EXTENT_BYTES // BLOCK_BYTES


def store_on(directory: Path) -> ExtentStore:
    return ExtentStore(directory, DISK, segment_bytes=4 << 20)


@pytest.fixture
def old_disk(tmp_path: Path) -> Path:
    """As release 1 left it: some blocks settled, one still in the journal."""
    store = store_on(tmp_path / "disk")
    talk = Talk(store)
    for number in (1, 2, 700, BLOCKS - 1):
        talk.write(number, block(number % 200 + 1), extent=1)
    store.settle()
    talk.write(2, block(99), extent=1)
    store._journal.close()  # it is killed
    volume = tmp_path / "disk" / "volumes" / VOLUME
    files = open_extent(volume, 1)
    assert files is not None
    numbers = files.table.lines(0, BLOCKS)
    (volume / "1.table").write_bytes(struct.pack(f"<{2 * BLOCKS}Q", *numbers))
    files.close()
    (volume / "1.lines").unlink()
    mark(tmp_path / "disk", 1)
    return tmp_path / "disk"


def mark(directory: Path, number: int) -> None:
    (directory / "disk.json").write_bytes(msgspec.json.encode(DiskIdentity(DISK, number)))


def check(directory: Path) -> None:
    store = store_on(directory)
    talk = Talk(store, epoch=2)
    for number, wanted in ((0, 0), (1, 2), (2, 99), (700, 101), (BLOCKS - 1, (BLOCKS - 1) % 200 + 1)):
        assert talk.read(number, extent=1) == block(wanted)
    assert talk.ask(talk.frame(Op.USAGE)).op == Op.DATA
    store.close()
    assert msgspec.json.decode((directory / "disk.json").read_bytes(), type=DiskIdentity).format == 2
    assert not list(directory.rglob("*.table"))


def test_a_disk_of_format_1_is_upgraded_and_holds_what_it_held(old_disk: Path) -> None:
    check(old_disk)
    check(old_disk)


def test_an_upgrade_that_was_cut_off_is_done_again(old_disk: Path) -> None:
    (old_disk / "volumes" / VOLUME / "1.lines").write_bytes(b"half")
    copy = old_disk.with_name("copy")
    shutil.copytree(old_disk, copy)
    check(old_disk)
    disk_upgrade.convert_tables(copy / "volumes")
    mark(copy, 2)  # the power failed before the old tables went
    check(copy)


def test_a_disk_of_a_later_format_is_left_alone(tmp_path: Path) -> None:
    store_on(tmp_path / "disk").close()
    mark(tmp_path / "disk", 3)
    with pytest.raises(WrongDisk, match="format 3; this release knows format 2"):
        store_on(tmp_path / "disk")
