"""LUKS headers written here are read by QEMU, and what it then writes comes back with the key, and with no other."""

import subprocess
from pathlib import Path

import pytest

from storage.host.luks import HostLuks, passphrase
from storage.volumes.encrypting import luks_header_bytes
from storage.volumes.model import Encryption

KEY = bytes(range(32))
SIZE = 4 << 20
WORDS = b"words that nobody shall read on a disk. " * 64


def qemu(*words: str, key: bytes = KEY) -> subprocess.CompletedProcess[bytes]:
    secret = ("--object", "secret,id=key,file=/dev/stdin")
    return subprocess.run(
        ["qemu-img", words[0], *secret, *words[1:]], input=passphrase(key), capture_output=True, check=False
    )


def options(disk: Path) -> str:
    return f"driver=luks,key-secret=key,file.driver=file,file.filename={disk}"


@pytest.mark.parametrize("bits", [128, 256])
async def test_qemu_reads_the_header_and_keeps_bytes_behind_it(tmp_path: Path, bits: int) -> None:
    disk, plain = tmp_path / "disk", tmp_path / "plain"
    header = luks_header_bytes(bits)
    disk.write_bytes(b"")
    with disk.open("r+b") as file:
        file.truncate(header + SIZE)
    encryption = Encryption(key_id="k", cipher="aes-xts-plain64", key_bits=bits, header_bytes=header)
    await HostLuks().format(disk, encryption, KEY)
    info = qemu("info", "--image-opts", options(disk))
    assert f"virtual size: {SIZE >> 20} MiB" in info.stdout.decode(), info.stderr
    plain.write_bytes(WORDS.ljust(SIZE, b"\0"))
    done = qemu("convert", "-n", "-f", "raw", "--target-image-opts", str(plain), options(disk))
    assert done.returncode == 0, done.stderr
    assert WORDS[:40] not in disk.read_bytes()
    back = tmp_path / "back"
    done = qemu("convert", "--image-opts", "-O", "raw", options(disk), str(back))
    assert done.returncode == 0, done.stderr
    assert back.read_bytes() == plain.read_bytes()
    wrong = ("convert", "--image-opts", "-O", "raw", options(disk), str(back))
    assert qemu(*wrong, key=bytes(32)).returncode != 0
