"""How does a stream stay secret, whole, and in order? Bytes in, bytes out; no files.

    sealed = chunk*        chunk = ChaCha20-Poly1305 of up to 64 KiB; its nonce says which it is, and whether the last

This is the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance", 2015): no chunk can be changed, moved, dropped or added, and a file that was cut short
is seen to be so. The key comes from a passphrase (scrypt), or from the public key of whoever may open it (X25519), and
is bound to what stands in the open before the chunks.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_bytes
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

CHUNK_BYTES: Final = 64 * 1024
TAG_BYTES: Final = 16
KEY_BYTES: Final = 32
PASSPHRASE_CHARS_MIN: Final = 12

# scrypt: 64 MiB and some tenths of a second, once. A file that asks for more is not one of ours.
_LOG_N, _R, _P = 16, 8, 1
_LOG_N_MAX, _R_MAX, _P_MAX = 18, 8, 4


class SealBroken(Exception):  # noqa: N818
    """The secret is another one, or what was sealed is not whole; the message says which, as far as it can."""


class PassphraseLock(msgspec.Struct, frozen=True, kw_only=True, tag="passphrase"):
    """Who knows the passphrase may open it."""

    salt: bytes
    log_n: int
    r: int
    p: int


class RecipientLock(msgspec.Struct, frozen=True, kw_only=True, tag="recipient"):
    """Who holds the private key of `recipient` may open it. Nobody else can, not even who sealed it."""

    recipient: bytes
    ephemeral: bytes


Lock = PassphraseLock | RecipientLock


@dataclass(frozen=True)
class Passphrase:
    """A secret to seal and to open with."""

    words: str = field(repr=False)


@dataclass(frozen=True)
class Recipient:
    """A public key (X25519, 32 bytes) to seal for."""

    public_key: bytes


@dataclass(frozen=True)
class PrivateKey:
    """The private key (X25519, 32 bytes) of a recipient, to open with."""

    key: bytes = field(repr=False)


def new_recipient() -> tuple[PrivateKey, Recipient]:
    """A key pair: the public half may lie about, the private half opens."""
    key = X25519PrivateKey.generate()
    return PrivateKey(key.private_bytes_raw()), Recipient(key.public_key().public_bytes_raw())


def lock_for(secret: Passphrase | Recipient) -> tuple[Lock, bytes]:
    """A fresh lock, and the master key behind it. Slow for a passphrase: for a worker thread."""
    if isinstance(secret, Passphrase):
        lock = PassphraseLock(salt=token_bytes(16), log_n=_LOG_N, r=_R, p=_P)
        return lock, _stretched(secret.words, lock)
    ephemeral = X25519PrivateKey.generate()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(secret.public_key))
    recipient_lock = RecipientLock(recipient=secret.public_key, ephemeral=ephemeral.public_key().public_bytes_raw())
    return recipient_lock, _agreed(shared, recipient_lock)


def master_key(lock: Lock, secret: Passphrase | PrivateKey) -> bytes:
    """The key behind a lock. Raises SealBroken if the secret is of the other kind, or for another recipient."""
    if isinstance(lock, PassphraseLock):
        if not isinstance(secret, Passphrase):
            raise SealBroken("it is sealed with a passphrase, not for a key")
        if not (1 <= lock.log_n <= _LOG_N_MAX and 1 <= lock.r <= _R_MAX and 1 <= lock.p <= _P_MAX):
            raise SealBroken("it asks for work that no backup asks for: it is damaged, or was made to do harm")
        return _stretched(secret.words, lock)
    if not isinstance(secret, PrivateKey):
        raise SealBroken("it is sealed for a key, not with a passphrase")
    key = X25519PrivateKey.from_private_bytes(secret.key)
    if key.public_key().public_bytes_raw() != lock.recipient:
        raise SealBroken("it is sealed for another key")
    try:
        shared = key.exchange(X25519PublicKey.from_public_bytes(lock.ephemeral))
    except ValueError as error:
        raise SealBroken("what it was sealed with is no key") from error
    return _agreed(shared, lock)


def seal(master: bytes, bound: bytes, content: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks of `content`, whatever its pieces. `bound` is what stands in the open before them."""
    cipher = ChaCha20Poly1305(_stream_key(master, bound))
    number, buffer = 0, bytearray()
    for piece in content:
        buffer += piece
        while len(buffer) > CHUNK_BYTES:  # and not >=: the last chunk must be known as such when it is sealed
            yield cipher.encrypt(_nonce(number, last=False), bytes(buffer[:CHUNK_BYTES]), None)
            del buffer[:CHUNK_BYTES]
            number += 1
    yield cipher.encrypt(_nonce(number, last=True), bytes(buffer), None)


def unseal(master: bytes, bound: bytes, read: Callable[[int], bytes]) -> Iterator[bytes]:
    """What was sealed, in pieces. `read(n)` gives n bytes, fewer only at the end. Raises SealBroken."""
    cipher = ChaCha20Poly1305(_stream_key(master, bound))
    number, chunk = 0, read(CHUNK_BYTES + TAG_BYTES)
    while True:
        following = read(CHUNK_BYTES + TAG_BYTES) if len(chunk) == CHUNK_BYTES + TAG_BYTES else b""
        try:
            piece = cipher.decrypt(_nonce(number, last=not following), chunk, None)
        except InvalidTag as error:
            raise SealBroken(
                f"it was changed or cut short in or before its chunk {number}"
                if number
                else "the passphrase or key is wrong, or it was changed at its beginning"
            ) from error
        yield piece
        if not following:
            return
        number, chunk = number + 1, following


def _stretched(words: str, lock: PassphraseLock) -> bytes:
    scrypt = Scrypt(salt=lock.salt, length=KEY_BYTES, n=1 << lock.log_n, r=lock.r, p=lock.p)
    return scrypt.derive(words.encode())


def _agreed(shared: bytes, lock: RecipientLock) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, lock.ephemeral + lock.recipient, b"noded backup recipient 1").derive(shared)


def _stream_key(master: bytes, bound: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, sha256(bound).digest(), b"noded backup stream 1").derive(master)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
