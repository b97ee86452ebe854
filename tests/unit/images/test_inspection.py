"""A file that lies about its format, or could make QEMU open other files, is refused with the reason."""

import os

import pytest

from images.formats.inspection import Inspection, Verdict
from noded.core.errors import Invalid
from tests.unit.images.builders import qcow2


def inspect(claimed: str, content: bytes, piece_bytes: int = 65536) -> Verdict:
    inspection = Inspection(claimed)
    for start in range(0, len(content), piece_bytes):
        inspection.eat(content[start : start + piece_bytes])
    return inspection.verdict()


def iso(size: int = 64 * 1024) -> bytes:
    content = bytearray(size)
    content[32768:32774] = b"\x01CD001"
    content[32774] = 1
    content[32768 + 80 : 32768 + 88] = (size // 2048).to_bytes(4, "little") + (size // 2048).to_bytes(4, "big")
    content[32768 + 128 : 32768 + 132] = (2048).to_bytes(2, "little") + (2048).to_bytes(2, "big")
    return bytes(content)


def partitioned() -> bytes:
    table = bytearray(4096)
    table[446:462] = bytes([0x80, 0, 1, 0, 0x83, 0, 1, 0]) + (1).to_bytes(4, "little") + (7).to_bytes(4, "little")
    table[510:512] = b"\x55\xaa"
    return bytes(table)


@pytest.mark.parametrize("piece_bytes", [1, 511, 512, 65536])
def test_a_qcow2_image_tells_the_size_of_its_disk_however_it_is_cut(piece_bytes: int) -> None:
    assert inspect("qcow2", qcow2(size_bytes=5 << 30), piece_bytes) == Verdict("qcow2", 5 << 30)


@pytest.mark.parametrize("content", [os.urandom(100_000), b"", bytes(4096), partitioned()])
def test_a_raw_image_is_as_large_as_its_file(content: bytes) -> None:
    assert inspect("raw", content) == Verdict("raw", len(content))


@pytest.mark.parametrize("content", [qcow2(), iso(), b"KDMV" + bytes(4096), b"conectix" + bytes(4096)])
def test_another_format_that_claims_to_be_raw_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid, match="is not a raw image"):
        inspect("raw", content)


@pytest.mark.parametrize("content", [os.urandom(8192), b"", b"QFI\xfb", partitioned(), iso()])
@pytest.mark.parametrize("claimed", ["qcow2", "vmdk", "vdi", "vhdx"])
def test_garbage_that_claims_a_format_is_refused(claimed: str, content: bytes) -> None:
    with pytest.raises(Invalid):
        inspect(claimed, content)


def test_a_wrong_file_is_refused_within_its_first_piece() -> None:
    with pytest.raises(Invalid, match="is not a qcow2 image"):
        Inspection("qcow2").eat(bytes(1 << 20))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (qcow2(backing_offset=4096), "backing file"),
        (qcow2(features=1 << 2), "data is in another file"),
        (qcow2(features=1 << 5), "not known to be safe"),
        (qcow2(version=7), "not known to be safe"),
        (qcow2(size_bytes=0), "has 0 bytes"),
        (qcow2(size_bytes=1 << 60), "1024 GiB"),
    ],
)
def test_a_qcow2_image_that_is_not_safe_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        inspect("qcow2", content)


def test_an_iso_image_is_recognized() -> None:
    assert inspect("iso", iso()).disk_format == "iso"
