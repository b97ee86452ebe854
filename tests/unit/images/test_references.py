"""Whatever strangers write into an image file, it is known or refused; what names other files is refused."""

import io
import struct
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from images.formats import references
from images.formats.inspection import Inspection, Verdict
from noded.core.errors import Invalid
from tests.unit.images.builders import qcow2

WHOLE = """# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="monolithicSparse"
RW 2048 SPARSE "disk.vmdk"
ddb.adapterType = "ide"
"""
CLAIMS = ("qcow2", "raw", "iso", "vmdk", "vhd", "vhdx", "vdi", "ami")


def vmdk(descriptor: str = WHOLE, *, capacity: int = 2048, place: int = 1, size: int = 20) -> bytes:
    header = struct.pack("<4sIIQQQQIQQQ", b"KDMV", 1, 3, capacity, 128, place, size, 512, 21, 26, 128)
    return (header.ljust(512, b"\0") + descriptor.encode().ljust(size * 512, b"\0")).ljust(1 << 17, b"\0")


def vhd(kind: int = 3, size: int = 1 << 20) -> bytes:
    footer = struct.pack(
        ">8sIIQI4sI4sQQII", b"conectix", 2, 0x10000, 512, 0, b"qemu", 0x50003, b"Wi2k", size, size, 0, kind
    )
    return footer.ljust(4096, b"\0")


def vdi(kind: int = 1, parent: bytes = bytes(16), size: int = 1 << 20) -> bytes:
    header = bytearray(4096)
    struct.pack_into("<IIII", header, 0x40, 0xBEDA107F, 0x10001, 0x190, kind)
    struct.pack_into("<Q", header, 0x170, size)
    header[0x1A8:0x1B8] = parent
    return bytes(header)


def ova(first: str = "appliance.ovf") -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in (first, "disk.vmdk"):
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"abc"))
    return held.getvalue()


def inspect(claimed: str, content: bytes, container: str = "bare", piece_bytes: int = 65536) -> Verdict:
    inspection = Inspection(claimed, container)
    for start in range(0, len(content), piece_bytes):
        inspection.eat(content[start : start + piece_bytes])
    return inspection.verdict()


@pytest.mark.parametrize(("claimed", "content"), [("vmdk", vmdk()), ("vhd", vhd()), ("vdi", vdi()), ("qcow2", qcow2())])
def test_a_whole_disk_is_accepted_with_its_size(claimed: str, content: bytes) -> None:
    assert inspect(claimed, content) == Verdict(claimed, 1 << 20)


@pytest.mark.parametrize(
    ("claimed", "content"),
    [
        ("vmdk", vmdk(WHOLE.replace("ffffffff", "12345678"))),
        ("vmdk", vmdk(WHOLE + 'parentFileNameHint="/etc/passwd"\n')),
        ("vmdk", vmdk(WHOLE.replace('SPARSE "disk.vmdk"', 'FLAT "/etc/passwd" 0'))),
        ("vmdk", vmdk(WHOLE.replace("SPARSE", "FLAT"))),
        ("vmdk", vmdk(WHOLE + 'RW 2048 SPARSE "other.vmdk"\n')),
        ("vmdk", vmdk(WHOLE.replace('"disk.vmdk"', '"nbd:unix"'))),
        ("vmdk", vmdk(WHOLE.replace("monolithicSparse", "monolithicFlat"))),
        ("vmdk", vmdk(capacity=0)),
        ("vmdk", vmdk(place=0)),
        ("vmdk", vmdk(place=1000)),
        ("vmdk", vmdk(place=250)),
        ("vmdk", WHOLE.encode().ljust(4096)),
        ("vhd", vhd(4)),
        ("vhd", vhd(0)),
        ("vdi", vdi(4)),
        ("vdi", vdi(parent=b"p" * 16)),
        ("vdi", vdi()[:0x1A9]),
        ("qcow2", qcow2()[:32] + struct.pack(">I", 2) + qcow2()[36:]),
        ("qcow2", qcow2(features=2)),
    ],
)
def test_a_disk_that_is_only_a_part_or_names_others_is_refused(claimed: str, content: bytes) -> None:
    with pytest.raises(Invalid):
        inspect(claimed, content)


def test_an_appliance_is_an_archive_that_begins_with_its_description() -> None:
    assert inspect("vmdk", ova(), "ova") == Verdict("vmdk", len(ova()))
    for content in (ova("disk.vmdk"), vmdk(), b"", bytes(5000)):
        with pytest.raises(Invalid, match="ova"):
            inspect("vmdk", content, "ova")


@pytest.mark.parametrize(
    ("claimed", "content"),
    [
        ("raw", vmdk()),
        ("raw", vhd()),
        ("raw", vdi()),
        ("iso", qcow2().ljust(32768, b"\0") + b"\x01CD001\x01".ljust(4096, b"\0")),
        ("qcow2", qcow2().ljust(32768, b"\0") + b"\x01CD001\x01".ljust(4096, b"\0")),
        ("vdi", b"QFI\xfb" + vdi()[4:]),
    ],
)
def test_a_file_of_two_formats_or_of_another_is_refused(claimed: str, content: bytes) -> None:
    with pytest.raises(Invalid):
        inspect(claimed, content)


BASES = (qcow2(), vmdk()[:16384], vhd(), vdi(), ova(), bytes(40000), b"")
PATCH = st.tuples(st.integers(0, 1200), st.binary(min_size=1, max_size=12))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    base=st.sampled_from(BASES),
    patches=st.lists(PATCH, max_size=6),
    cut=st.integers(0, 40000),
    piece_bytes=st.sampled_from([37, 512, 65536]),
)
def test_nothing_that_is_written_into_a_file_breaks_its_inspection(
    base: bytes, patches: list[tuple[int, bytes]], cut: int, piece_bytes: int
) -> None:
    content = bytearray(base)
    for start, patch in patches:
        content[start : start + len(patch)] = patch
    del content[cut:]
    for claimed in CLAIMS:
        try:
            verdict = inspect(claimed, bytes(content), piece_bytes=piece_bytes)
        except Invalid:
            continue
        assert verdict.disk_format == claimed
        # Asked of the bytes themselves, not of those who read them.
        if claimed == "qcow2":
            backing, crypt = struct.unpack_from(">Q", content, 8)[0], struct.unpack_from(">I", content, 32)[0]
            assert (backing, crypt) == (0, 0)
    for claimed in ("qcow2", "vmdk", "vhd", "vdi", "ova"):
        references.fault(claimed, bytes(content))
