"""Do two nodes share a secret? A handshake that tells only them. Bytes in, bytes out; no sockets.

The secret is a cluster's seed, a token's, or the claim code of an unclaimed node: a `DoorKey` says which.

It runs inside a TLS 1.3 connection whose server certificate is self-signed: TLS alone proves that the other side
holds the key of that certificate, and nothing more. The handshake is SPAKE2 (RFC 9382) on the shared secret with key
confirmation, so neither a listener nor a man in the middle nor a stranger learns anything to try guesses on: each
guess costs a whole run with a real node, and runs are rationed.

    dialer                                            answerer
      hello:  its public key, its SPAKE2 share, which door   ──►
                                                 ◄──  answer:    its SPAKE2 share
      proof:  MAC, signature by its key          ──►
                                                 ◄──  confirmed: MAC

Bound into the shared key: what the secret is for, who dials and who answers, and the public key of each. The answerer's
is the key that the *dialer's* TLS connection showed, so a man in the middle, who can't show it, ends up with a
different key than either. The dialer proves its own key by signing the run. The dialer confirms first: the answerer
says nothing that depends on the secret to anyone who has not proved to know it. A door that does not exist (a token
that nobody made) fails at the same point, in the same way, as one that does and was not opened.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.ed25519_basic import NotOnCurve

from consensus.authority import load_public_key
from consensus.naming import node_id_of
from noded.core.ids import NodeId
from noded.core.unreadable import UNREADABLE

PROTOCOL: Final = b"noded door 1"
SECRET_CHARS_MIN: Final = 16
MESSAGE_BYTES_MAX: Final = 64 * 1024
SEED_DOOR: Final = "seed"
CLAIM_DOOR: Final = "claim"
TOKEN_DOOR: Final = "token:"  # noqa: S105  # followed by the token's id
WORDS_DOOR: Final = "words"  # no secret: people compare words (`consensus/words.py`)
DOOR_CHARS_MAX: Final = 64
_KEY_BYTES: Final = 32

_SHARE_BYTES: Final = 33  # one byte for the role, 32 for a point of Curve25519

T = TypeVar("T")
Signer = Callable[[bytes], bytes]


class DoorClosed(Exception):  # noqa: N818  # it says what the door is
    """The other side did not prove to know the secret, or does not speak this protocol."""


@dataclass(frozen=True)
class DoorKey:
    """Which door, and what SPAKE2 runs on there."""

    door: str
    password: bytes = field(repr=False)


def token_key(token_id: str, secret_hash: str, cluster_id: str) -> DoorKey:
    """The key of a token's door. Made of the hash that members keep; the secret itself is shown inside."""
    password = hmac.digest(secret_hash.encode(), PROTOCOL + b" token " + cluster_id.encode(), "sha256")
    return DoorKey(TOKEN_DOOR + token_id, password)


def claim_key(claim_code: str, fingerprint: str) -> DoorKey:
    """The key of an unclaimed node's door: its claim code, of no use at another node."""
    password = hmac.digest(claim_code.encode(), PROTOCOL + b" claim " + fingerprint.encode(), "sha256")
    return DoorKey(CLAIM_DOOR, password)


@dataclass(frozen=True)
class Seed:
    """What the administrator wrote into the configuration of every machine, the same on each."""

    cluster: str
    secret: str = field(repr=False)
    # How many nodes must agree before one founds the cluster: more than half of all the machines that get this seed,
    # then no partition can make two clusters.
    expect: int

    def __post_init__(self) -> None:
        if not self.cluster or len(self.cluster) > 64:
            raise ValueError("the cluster's name has 1 to 64 characters")
        if len(self.secret) < SECRET_CHARS_MIN:
            raise ValueError(f"the cluster's secret has at least {SECRET_CHARS_MIN} characters")
        if self.expect < 1:
            raise ValueError("expect is the number of nodes that found the cluster together: 1 or more")

    @property
    def key(self) -> DoorKey:
        """The key of the hands-off door: the secret, of no use for a cluster of another name."""
        return DoorKey(SEED_DOOR, hmac.digest(self.secret.encode(), PROTOCOL + b" " + self.cluster.encode(), "sha256"))


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """The dialer's first words."""

    public_key: bytes
    share: bytes
    door: str = SEED_DOOR


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    """The answerer's first words."""

    share: bytes


class Proof(msgspec.Struct, frozen=True, array_like=True, tag="proof"):
    """The dialer knows the secret and holds its key."""

    mac: bytes
    signature: bytes


class Confirmed(msgspec.Struct, frozen=True, array_like=True, tag="confirmed"):
    """The answerer knows the secret too."""

    mac: bytes


class Channel:
    """What two nodes say after the handshake: encrypted and counted under the confirmed key, on top of TLS."""

    def __init__(self, peer_key: bytes, sending: bytes, receiving: bytes, door: str, words: str = "") -> None:
        """`door`: the one that was opened; `words`: what people compare, if it was opened without a secret."""
        self.peer_key = peer_key
        self.door = door
        self.words = words
        self._sending = _Counted(sending)
        self._receiving = _Counted(receiving)

    @property
    def peer(self) -> NodeId:
        """The node at the other end, proved."""
        return node_id_of(self.peer_key)

    def seal(self, message: bytes) -> bytes:
        """Close a message for the other side."""
        return self._sending.cipher.encrypt(self._sending.next_nonce(), message, None)

    def open(self, sealed: bytes) -> bytes:
        """Read the other side's next message. Raises DoorClosed if it is not exactly that."""
        try:
            return self._receiving.cipher.decrypt(self._receiving.next_nonce(), sealed, None)
        except InvalidTag as error:
            raise DoorClosed("a message was changed, repeated or left out") from error


class Dialer:
    """The side that knocks."""

    def __init__(self, key: DoorKey, public_key: bytes, sign: Signer, answerer_key: bytes) -> None:
        """`answerer_key`: the public key that the TLS connection's server has shown."""
        self._door = key.door
        self._public_key = public_key
        self._sign = sign
        self._answerer_key = answerer_key
        self._spake = SPAKE2_A(key.password, *_names(public_key, answerer_key))
        self._hello = msgspec.msgpack.encode(Hello(public_key, self._spake.start(), key.door))
        self._keys: _Keys | None = None

    def hello(self) -> bytes:
        """The first message."""
        return self._hello

    def prove(self, answer: bytes) -> bytes:
        """The third message, after the answerer's first. Raises DoorClosed."""
        share = read_as(answer, Answer).share
        self._keys = _agree(self._spake, share, self._hello, answer)
        proof = Proof(self._keys.proof_mac, self._sign(self._keys.signed))
        return msgspec.msgpack.encode(proof)

    def confirm(self, confirmed: bytes) -> Channel:
        """The channel, after the answerer's last message. Raises DoorClosed if it does not know the secret."""
        assert self._keys is not None, "prove() comes first"
        _expect_mac(read_as(confirmed, Confirmed).mac, self._keys.confirmed_mac)
        return Channel(self._answerer_key, self._keys.from_dialer, self._keys.from_answerer, self._door)


class Answerer:
    """The side that opens."""

    def __init__(self, keys: Callable[[str], DoorKey | None], public_key: bytes) -> None:
        """`keys`: the key of a door, if there is one; `public_key`: that of the certificate of this TLS server."""
        self._keys_of = keys
        self._public_key = public_key
        self._door = ""
        self._dialer_key = b""
        self._keys: _Keys | None = None

    def answer(self, hello: bytes) -> bytes:
        """The second message, after the dialer's first. Raises DoorClosed."""
        greeting = read_as(hello, Hello)
        if greeting.public_key == self._public_key:
            raise DoorClosed("a node does not open to itself")
        self._dialer_key, self._door = greeting.public_key, greeting.door[:DOOR_CHARS_MAX]
        key = self._keys_of(self._door) or DoorKey(self._door, secrets.token_bytes(_KEY_BYTES))
        spake = SPAKE2_B(key.password, *_names(greeting.public_key, self._public_key))
        answer = msgspec.msgpack.encode(Answer(spake.start()))
        self._keys = _agree(spake, greeting.share, hello, answer)
        return answer

    def confirm(self, proof: bytes) -> tuple[bytes, Channel]:
        """The last message and the channel, after the dialer's proof. Raises DoorClosed if it is none."""
        assert self._keys is not None, "answer() comes first"
        proved = read_as(proof, Proof)
        _expect_mac(proved.mac, self._keys.proof_mac)
        expect_signature(self._dialer_key, proved.signature, self._keys.signed)
        confirmed = msgspec.msgpack.encode(Confirmed(self._keys.confirmed_mac))
        return confirmed, Channel(self._dialer_key, self._keys.from_answerer, self._keys.from_dialer, self._door)


class _Counted:
    """A cipher whose nonce is a counter: every message has its place, so none can be repeated or left out."""

    def __init__(self, key: bytes) -> None:
        self.cipher = ChaCha20Poly1305(key)
        self._count = 0

    def next_nonce(self) -> bytes:
        self._count += 1
        return self._count.to_bytes(12, "big")


@dataclass(frozen=True)
class _Keys:
    """What follows from the shared key and from all that was said in clear."""

    signed: bytes
    proof_mac: bytes
    confirmed_mac: bytes
    from_dialer: bytes
    from_answerer: bytes


def _names(dialer_key: bytes, answerer_key: bytes) -> tuple[bytes, bytes]:
    """SPAKE2's two identities: the role and the key of each side."""
    return (
        PROTOCOL + b" dialer " + hashlib.sha256(dialer_key).digest(),
        PROTOCOL + b" answerer " + hashlib.sha256(answerer_key).digest(),
    )


def _agree(spake: SPAKE2_A | SPAKE2_B, share: bytes, hello: bytes, answer: bytes) -> _Keys:
    if len(share) != _SHARE_BYTES:
        raise DoorClosed("the other side's share is not one")
    try:
        shared = spake.finish(share)
    except (SPAKEError, NotOnCurve, ValueError) as error:
        raise DoorClosed("the other side's share is not one") from error
    said = hashlib.sha256(hashlib.sha256(hello).digest() + hashlib.sha256(answer).digest()).digest()
    derived = HKDF(hashes.SHA256(), 4 * _KEY_BYTES, salt=said, info=PROTOCOL).derive(shared)
    proof_key, confirm_key, from_dialer, from_answerer = (
        derived[start : start + _KEY_BYTES] for start in range(0, len(derived), _KEY_BYTES)
    )
    return _Keys(
        signed=PROTOCOL + b" signature " + said,
        proof_mac=hmac.digest(proof_key, said, "sha256"),
        confirmed_mac=hmac.digest(confirm_key, said, "sha256"),
        from_dialer=from_dialer,
        from_answerer=from_answerer,
    )


def _expect_mac(given: bytes, wanted: bytes) -> None:
    if not hmac.compare_digest(given, wanted):
        raise DoorClosed("the other side does not know the same secret, or someone stands between")


def expect_signature(public_key: bytes, signature: bytes, message: bytes) -> None:
    """Raise DoorClosed unless the holder of that key signed the message."""
    try:
        load_public_key(public_key).verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError) as error:
        raise DoorClosed("the other side does not hold the key that it showed") from error


def read_as(message: bytes, form: type[T]) -> T:
    """A message as what it should be. Raises DoorClosed."""
    try:
        return msgspec.msgpack.decode(message, type=form)
    except UNREADABLE as error:
        raise DoorClosed("the other side does not speak this protocol") from error
