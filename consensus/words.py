"""How do people make sure that two nodes talk to each other, without any secret? By comparing two words.

Commit, then reveal (a short authentication string, as in RFC 6189, 4.3). It runs inside a TLS 1.3 connection:

    newcomer                                                        member
      offer:   its public key, hash of (nonce, share)          ──►
                                                               ◄──  counter: nonce, share, its cluster
      reveal:  nonce, share, signature by its key              ──►

The shares are X25519 keys of this run alone; from them follow the keys of the channel. The words are 32 bits of the
hash of all that was said and of the key that the member's TLS showed to the newcomer. A man in the middle runs this
twice, once with each side; both runs end in words that he can't choose, since he must commit himself before he sees
the other's nonce. So they agree once in four thousand million tries, and each try needs a person to look at it.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from consensus.discovery import short_words
from consensus.door import WORDS_DOOR, Channel, DoorClosed, Signer, expect_signature, read_as
from noded.core.unreadable import UNREADABLE

PROTOCOL: Final = b"noded words 1"
WORDS: Final = 2
_NONCE_BYTES: Final = 32
_KEY_BYTES: Final = 32


@dataclass(frozen=True)
class ClusterName:
    """Which cluster a member speaks for. Two may bear one name; the id tells them apart."""

    cluster_id: str
    name: str


class Offer(msgspec.Struct, frozen=True, array_like=True, tag="offer"):
    """The newcomer's first words."""

    public_key: bytes
    commitment: bytes


class Counter(msgspec.Struct, frozen=True, array_like=True, tag="counter"):
    """The member's words."""

    nonce: bytes
    share: bytes
    cluster_id: str
    cluster_name: str


class Reveal(msgspec.Struct, frozen=True, array_like=True, tag="reveal"):
    """What the newcomer committed itself to."""

    nonce: bytes
    share: bytes
    signature: bytes


def is_offer(first: bytes) -> bool:
    """Whether a first message is that of a newcomer without a secret."""
    try:
        msgspec.msgpack.decode(first, type=Offer)
    except UNREADABLE:
        return False
    return True


class Newcomer:
    """The side that asks to be let in."""

    def __init__(self, public_key: bytes, sign: Signer, member_key: bytes) -> None:
        """`member_key`: the public key that the TLS connection's server has shown."""
        self._sign = sign
        self._member_key = member_key
        self._private = X25519PrivateKey.generate()
        self._share = _public(self._private)
        self._nonce = secrets.token_bytes(_NONCE_BYTES)
        self._offer = msgspec.msgpack.encode(Offer(public_key, _commitment(self._nonce, self._share)))

    def offer(self) -> bytes:
        """The first message."""
        return self._offer

    def reveal(self, counter: bytes) -> tuple[bytes, Channel, ClusterName]:
        """The third message, the channel with its words, and who the member says its cluster is. Raises DoorClosed."""
        said = read_as(counter, Counter)
        run = _run(self._offer, counter, self._nonce, self._share, self._member_key)
        keys = _keys(self._private, said.share, run)
        reveal = Reveal(self._nonce, self._share, self._sign(PROTOCOL + b" signature " + run))
        channel = Channel(self._member_key, keys[0], keys[1], WORDS_DOOR, _words(run))
        return msgspec.msgpack.encode(reveal), channel, ClusterName(said.cluster_id[:64], said.cluster_name[:64])


class Member:
    """The side that is asked."""

    def __init__(self, cluster: ClusterName, public_key: bytes) -> None:
        """`public_key`: the key of the certificate that this side's TLS server shows."""
        self._public_key = public_key
        self._private = X25519PrivateKey.generate()
        self._counter = msgspec.msgpack.encode(
            Counter(secrets.token_bytes(_NONCE_BYTES), _public(self._private), cluster.cluster_id, cluster.name)
        )
        self._offer = b""

    def counter(self, offer: bytes) -> bytes:
        """The second message, after the newcomer's first. Raises DoorClosed."""
        if read_as(offer, Offer).public_key == self._public_key:
            raise DoorClosed("a node does not open to itself")
        self._offer = offer
        return self._counter

    def open(self, reveal: bytes) -> Channel:
        """The channel with its words, after the newcomer's last message. Raises DoorClosed if it does not hold."""
        offer, said = read_as(self._offer, Offer), read_as(reveal, Reveal)
        if not hmac.compare_digest(offer.commitment, _commitment(said.nonce, said.share)):
            raise DoorClosed("the other side revealed something else than it had committed itself to")
        run = _run(self._offer, self._counter, said.nonce, said.share, self._public_key)
        expect_signature(offer.public_key, said.signature, PROTOCOL + b" signature " + run)
        keys = _keys(self._private, said.share, run)
        return Channel(offer.public_key, keys[1], keys[0], WORDS_DOOR, _words(run))


def _commitment(nonce: bytes, share: bytes) -> bytes:
    return _hash(PROTOCOL + b" commitment", nonce, share)


def _run(offer: bytes, counter: bytes, nonce: bytes, share: bytes, member_key: bytes) -> bytes:
    """The hash of all that was said, and of the key that the member is known by."""
    return _hash(PROTOCOL + b" run", offer, counter, nonce, share, member_key)


def _words(run: bytes) -> str:
    return short_words(_hash(PROTOCOL + b" words", run).hex(), WORDS)


def _keys(private: X25519PrivateKey, share: bytes, run: bytes) -> tuple[bytes, bytes]:
    """From the newcomer, from the member."""
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(share))
    except ValueError as error:
        raise DoorClosed("the other side's share is not one") from error
    derived = HKDF(hashes.SHA256(), 2 * _KEY_BYTES, salt=run, info=PROTOCOL).derive(shared)
    return derived[:_KEY_BYTES], derived[_KEY_BYTES:]


def _public(private: X25519PrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _hash(*parts: bytes) -> bytes:
    """Of hashes, so that no two lists of parts give one hash."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
