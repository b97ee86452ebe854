"""The real mover of images' bytes: what it writes, reads, hashes, and makes of qcow2 files with the real qemu-img."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from images.formats.inspection import QEMU_FORMATS, Inspection
from images.host.transfer import PIECE_BYTES, ImageTransfer
from noded.core.errors import Invalid, TooLarge

MIB = 1 << 20


def empty(path: Path, size_bytes: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return path


async def cut(data: bytes, piece_bytes: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), piece_bytes):
        yield data[start : start + piece_bytes]


@pytest.mark.parametrize("size", [0, 1, 4095, PIECE_BYTES, 3 * PIECE_BYTES + 17])
@pytest.mark.parametrize("piece_bytes", [1009, 65536, 5 * MIB])
async def test_what_is_received_is_what_was_sent(tmp_path: Path, size: int, piece_bytes: int) -> None:
    data = os.urandom(size // 2) + bytes(size - size // 2)
    path, transfer = empty(tmp_path / "volume", 4 * MIB), ImageTransfer()
    received = await transfer.receive(cut(data, piece_bytes), path, Inspection("raw"))
    assert (received.size_bytes, received.md5) == (size, hashlib.md5(data).hexdigest())
    assert received.sha512 == hashlib.sha512(data).hexdigest()
    assert path.stat().st_size == 4 * MIB
    assert await transfer.digest(path, size) == received
    assert b"".join([piece async for piece in transfer.send(path, 0, size)]) == data
    assert b"".join([piece async for piece in transfer.send(path, size // 3, size // 2)]) == data[size // 3 : size // 2]


async def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = empty(tmp_path / "volume", MIB)
    with pytest.raises(TooLarge):
        await ImageTransfer().receive(cut(os.urandom(2 * MIB), 65536), path, Inspection("raw"))


async def test_a_liar_is_refused_before_it_has_sent_all(tmp_path: Path) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield bytes(65536)

    with pytest.raises(Invalid):
        await ImageTransfer().receive(endless(), empty(tmp_path / "volume", 1 << 40), Inspection("qcow2"))
    assert sent < 1000


async def test_the_senders_fault_comes_out_as_it_is(tmp_path: Path) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield bytes(3 * MIB)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await ImageTransfer().receive(breaks(), empty(tmp_path / "volume", 8 * MIB), Inspection("raw"))


@pytest.fixture
def short_path() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="images-"))
    yield path
    shutil.rmtree(path)


async def test_a_file_that_comes_in_parts_adds_up_also_where_the_first_ones_were_seen_by_another(
    tmp_path: Path,
) -> None:
    data = os.urandom(3 * PIECE_BYTES + 17)
    path, transfer = empty(tmp_path / "volume", 4 * MIB), ImageTransfer()
    first = transfer.begin(Inspection("raw"))
    await transfer.append(cut(data[: 2 * PIECE_BYTES + 5], 65536), path, first, last=False)
    assert (first.size_bytes, first.is_usable) == (2 * PIECE_BYTES, True)

    async def breaks() -> AsyncIterator[bytes]:
        yield data[2 * PIECE_BYTES : 3 * PIECE_BYTES + 1]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await transfer.append(breaks(), path, first, last=True)
    assert (first.size_bytes, first.is_usable) == (3 * PIECE_BYTES, True)
    second = ImageTransfer().begin(Inspection("raw"))
    await transfer.catch_up(path, second, first.size_bytes)
    for taken in (first, second):
        await transfer.append(cut(data[3 * PIECE_BYTES :], 1009), path, taken, last=True)
        assert taken.received().sha512 == hashlib.sha512(data).hexdigest()
    assert path.read_bytes()[: len(data)] == data


@asynccontextmanager
async def exported(disk: Path, socket: Path) -> AsyncIterator[None]:
    """The file by NBD on a unix socket, as a volume server does it."""
    command = ["qemu-nbd", "--format=raw", "--persistent", "--discard=unmap", f"--socket={socket}", str(disk)]
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.run_process, [*command])
        with trio.fail_after(20):
            while not socket.exists():
                await trio.sleep(0.01)
        yield
        nursery.cancel_scope.cancel()


def make_qcow2(directory: Path) -> tuple[Path, bytes]:
    """A compressed qcow2 image of a disk with data, holes and a tail, and that disk."""
    content = os.urandom(100_000).ljust(5 * MIB, b"\0") + os.urandom(70_000)
    content = content.ljust(6 * MIB, b"\0")
    raw, qcow2 = directory / "disk.raw", directory / "disk.qcow2"
    raw.write_bytes(content)
    subprocess.run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, qcow2], check=True)
    return qcow2, content


async def test_the_disk_inside_a_qcow2_file_comes_out_by_nbd(tmp_path: Path, short_path: Path) -> None:
    qcow2, content = make_qcow2(tmp_path)
    target = empty(tmp_path / "target", len(content))
    async with exported(target, short_path / "nbd"):
        await ImageTransfer().convert(qcow2, qcow2.stat().st_size, "qcow2", short_path / "nbd")
    assert target.read_bytes() == content


@pytest.mark.parametrize(
    ("claimed", "options"),
    [("vmdk", ""), ("vmdk", "subformat=streamOptimized"), ("vhd", "force_size=on"), ("vhdx", ""), ("vdi", "")],
)
async def test_the_disk_comes_out_of_files_of_other_clouds(
    tmp_path: Path, short_path: Path, claimed: str, options: str
) -> None:
    content = os.urandom(100_000).ljust(16 * MIB, b"\0")
    raw, packed = tmp_path / "disk.raw", tmp_path / "disk.packed"
    raw.write_bytes(content)
    tool_format = QEMU_FORMATS.get(claimed, claimed)
    more = ["-o", options] if options else []
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", tool_format, *more, raw, packed], check=True)
    inspection, volume = Inspection(claimed), empty(tmp_path / "volume", 32 * MIB)
    await ImageTransfer().receive(cut(packed.read_bytes(), 65536), volume, inspection)
    verdict = inspection.verdict()
    assert (verdict.disk_format, verdict.virtual_bytes) == (claimed, len(content))
    target = empty(tmp_path / "target", len(content))
    async with exported(target, short_path / "nbd"):
        await ImageTransfer().convert(volume, packed.stat().st_size, claimed, short_path / "nbd")
    assert target.read_bytes() == content


async def test_a_file_that_is_broken_inside_is_refused_without_naming_our_paths(
    tmp_path: Path, short_path: Path
) -> None:
    qcow2, content = make_qcow2(tmp_path)
    with qcow2.open("r+b") as file:
        file.seek(65536 * 3)
        file.write(b"\xff" * 65536)
    target = empty(tmp_path / "target", len(content))
    async with exported(target, short_path / "nbd"):
        with pytest.raises(Invalid) as refused:
            await ImageTransfer().convert(qcow2, qcow2.stat().st_size, "qcow2", short_path / "nbd")
    assert str(tmp_path) not in refused.value.message
    assert "broken inside" in refused.value.message
