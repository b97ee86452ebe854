"""How is LUKS 1 written, without a shell and without a guess? (LUKS1 On-Disk Format Specification, version 1.2.3)

    header │ copy 1 of the volume's key, spread over 4000 stripes and encrypted by the passphrase │ 7 empty ones │ bytes

The passphrase has 256 random bits already, so that stretching it adds nothing: the fewest rounds that readers take are
enough. QEMU would write the same header, but measures the time of many rounds first, half a second of CPU for each.
"""

import hashlib
import os
import struct
import uuid
from pathlib import Path
from typing import Final

import structlog
import trio
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from noded.core.errors import Unavailable
from storage.volumes.encrypting import luks_header_bytes, slot_sectors
from storage.volumes.model import Encryption

log = structlog.get_logger(__name__)

ROUNDS: Final = 1000
STRIPES: Final = 4000
FILL_S_MAX: Final = 4 * 3600.0
_SLOTS: Final = 8
_SECTOR_BYTES: Final = 512
_FIRST_SECTOR: Final = 8
_HEAD: Final = struct.Struct(">6sH32s32s32sII20s32sI40s")
_SLOT: Final = struct.Struct(">II32sII")
_ACTIVE, _EMPTY = 0x00AC71F3, 0x0000DEAD
_DIGEST_BYTES: Final = 32
_WORDS_CHARS_MAX: Final = 500


def passphrase(key: bytes) -> bytes:
    """What unlocks a volume with that key."""
    return key.hex().encode()


def header(key_bits: int, key: bytes) -> tuple[bytes, bytes]:
    """A new header, and the first copy of its key, which lies at sector 8."""
    key_bytes = 2 * key_bits // 8
    master, salt, slot_salt = os.urandom(key_bytes), os.urandom(32), os.urandom(32)
    digest = hashlib.pbkdf2_hmac("sha256", master, salt, ROUNDS, 20)
    head = _HEAD.pack(
        b"LUKS\xba\xbe", 1, b"aes", b"xts-plain64", b"sha256",
        luks_header_bytes(key_bits) // _SECTOR_BYTES, key_bytes, digest, salt, ROUNDS, str(uuid.uuid4()).encode(),
    )  # fmt: skip
    for slot in range(_SLOTS):
        offset = _FIRST_SECTOR + slot * slot_sectors(key_bits)
        state = (_EMPTY, 0, bytes(32)) if slot else (_ACTIVE, ROUNDS, slot_salt)
        head += _SLOT.pack(*state, offset, STRIPES)
    slot_key = hashlib.pbkdf2_hmac("sha256", passphrase(key), slot_salt, ROUNDS, key_bytes)
    return head.ljust(_FIRST_SECTOR * _SECTOR_BYTES, b"\0"), _encrypted(slot_key, _split(master))


def _split(master: bytes) -> bytes:
    """The key spread over all stripes: without any one of them it is lost."""
    stripes, mixed = [], bytes(len(master))
    for _ in range(STRIPES - 1):
        stripe = os.urandom(len(master))
        stripes.append(stripe)
        mixed = _diffused(_xor(mixed, stripe))
    return b"".join(stripes) + _xor(mixed, master)


def _diffused(block: bytes) -> bytes:
    parts = range(0, len(block), _DIGEST_BYTES)
    hashed = [
        hashlib.sha256(struct.pack(">I", number) + block[start : start + _DIGEST_BYTES]).digest()
        for number, start in enumerate(parts)
    ]
    return b"".join(hashed)[: len(block)]


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(len(left))


def _encrypted(key: bytes, plain: bytes) -> bytes:
    """Sector by sector, the sectors counted from the first of the copy on."""
    done = []
    for sector, start in enumerate(range(0, len(plain), _SECTOR_BYTES)):
        cipher = Cipher(algorithms.AES(key), modes.XTS(sector.to_bytes(16, "little"))).encryptor()
        done.append(cipher.update(plain[start : start + _SECTOR_BYTES]) + cipher.finalize())
    return b"".join(done)


class HostLuks:
    """Implements `storage.encryption.links.LuksDisks`."""

    async def format(self, path: Path, encryption: Encryption, key: bytes) -> None:
        """See `LuksDisks.format`."""
        await trio.to_thread.run_sync(_write, path, encryption, key)

    async def fill(self, source: Path, target: Path, key: bytes) -> None:
        """See `LuksDisks.fill`. `-n`: the target exists. Zeroes are written too: what is not decrypts to noise."""
        command = [
            "qemu-img", "convert", "-n", "-m", "8",
            "--object", "secret,id=key,file=/dev/stdin",
            "--image-opts", f"driver=raw,file.driver=nbd,file.server.type=unix,file.server.path={source}",
            "--target-image-opts",
            f"driver=luks,key-secret=key,file.driver=nbd,file.server.type=unix,file.server.path={target}",
        ]  # fmt: skip
        with trio.move_on_after(FILL_S_MAX) as patience:
            done = await trio.run_process(
                command, check=False, stdin=passphrase(key), capture_stdout=True, capture_stderr=True
            )
        if patience.cancelled_caught:
            raise Unavailable(f"The image was not written to the volume within {FILL_S_MAX / 3600:.0f} hours.")
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip()[-_WORDS_CHARS_MAX:]
            log.warning("encrypted volume not filled", status=done.returncode, words=words)
            raise Unavailable("The image could not be written to the encrypted volume. The node's log says why.")


def _write(path: Path, encryption: Encryption, key: bytes) -> None:
    head, copy = header(encryption.key_bits, key)
    try:
        with path.open("r+b") as file:
            file.write(head + copy)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Unavailable(f"The volume's header could not be written: {error.strerror}.") from error
