"""How are volumes of a type encrypted, and which key goes when? Pure.

LUKS 1 as QEMU writes and reads it: its header holds the volume's own key, encrypted by the secret that the vault keeps.
"""

from typing import Final

from consensus.vault.commands import drop_secret
from noded.core.errors import Invalid
from noded.core.ids import VolumeId
from noded.core.store import Transaction
from storage.types.model import VolumeType
from storage.volumes.model import Encryption, Volume

CIPHER: Final = "aes-xts-plain64"
KEY_BITS: Final = 256
# The header has room for eight copies of the key, each spread over 4000 stripes, in sectors of 512 bytes (LUKS1 On-Disk
# Format Specification, version 1.2.3). XTS takes two keys of the cipher's length.
_STRIPES: Final = 4000
_SLOTS: Final = 8
_SECTOR_BYTES: Final = 512
_ALIGNED_SECTORS: Final = 8
# What clients write for LUKS: the word, and the names of classes that stood for it once.
_LUKS: Final = frozenset({"luks", "luksencryptor"})
_BITS: Final = {128: 128, 256: 256, 512: 256}  # where 512 is said, both keys of XTS are counted


def encryption_of(kind: VolumeType, key_id: str, *, source_id: VolumeId | None = None) -> Encryption:
    """How a new volume of the type is encrypted. Raises `Invalid` for what can't be done here."""
    asked = kind.encryption
    assert asked is not None, f"volumes of type {kind.name} are not encrypted"
    cipher, bits = asked.cipher or CIPHER, asked.key_bits or KEY_BITS
    reason = None
    if asked.provider.rsplit(".", 1)[-1].lower() not in _LUKS:
        reason = f"the provider {asked.provider}; it is luks here"
    elif asked.control_location != "front-end":
        reason = f"control location {asked.control_location}; volumes are encrypted at the front end, by QEMU"
    elif cipher != CIPHER:
        reason = f"the cipher {cipher}; it is {CIPHER} here"
    elif bits not in _BITS:
        reason = f"keys of {bits} bits; they have 128 or 256 here"
    if reason is not None:
        raise Invalid(f"Volume type {kind.name} asks for {reason}.")
    bits = _BITS[bits]
    return Encryption(
        key_id=key_id, cipher=cipher, key_bits=bits, header_bytes=luks_header_bytes(bits), source_id=source_id
    )


def slot_sectors(key_bits: int) -> int:
    """How many sectors one copy of the key takes."""
    sectors = -(-2 * key_bits // 8 * _STRIPES // _SECTOR_BYTES)
    return -(-sectors // _ALIGNED_SECTORS) * _ALIGNED_SECTORS


def luks_header_bytes(key_bits: int) -> int:
    """How long the header is."""
    return (_ALIGNED_SECTORS + _SLOTS * slot_sectors(key_bits)) * _SECTOR_BYTES


def must_match(source: Volume, kind: VolumeType) -> None:
    """Raise `Invalid` where a clone, which shares its source's blocks, can't be what the type promises."""
    if (source.encryption is None) == (kind.encryption is None):
        return
    state = "is not encrypted" if source.encryption is None else "is encrypted"
    raise Invalid(
        f"Invalid input received: Invalid volume_type provided: {kind.name} (requested type is not compatible: the"
        f" source {state}, and a clone shares its blocks; either match source volume, or omit type argument)."
    )


def drop_key_after(tx: Transaction, volume: Volume) -> None:
    """The volume is gone or going: its key goes with the last that needs it. Then nobody can read what is left."""
    key_id = volume.key_id
    if key_id is not None and all(each.deleting for each in tx.find(Volume, "key_id", key_id)):
        drop_secret(tx, key_id)
