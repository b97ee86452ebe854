"""What is written in a token? One line of text that a person can copy, and that a machine checks before it is used."""

import base64
import binascii
import hashlib
import hmac
from typing import Final

import msgspec

from noded.core.errors import Invalid
from noded.core.unreadable import UNREADABLE

PREFIX: Final = "noded-join-1."
SECRET_BYTES: Final = 24  # 192 bits
TEXT_CHARS_MAX: Final = 4096
_CHECK_BYTES: Final = 6


class Token(msgspec.Struct, frozen=True, array_like=True):
    """All that a machine needs that knows nothing of the cluster."""

    cluster_id: str
    cluster_name: str
    authority_hash: bytes  # SHA-256 of the public key of the cluster's authority
    addresses: tuple[str, ...]
    port: int
    token_id: str
    secret: bytes
    expires_at_ms: int

    def __repr__(self) -> str:
        return f"Token(token_id={self.token_id!r}, cluster_name={self.cluster_name!r})"  # never the secret


def token_text(token: Token) -> str:
    """The token in one line."""
    packed = msgspec.msgpack.encode(token)
    return PREFIX + base64.urlsafe_b64encode(packed + _check(packed)).decode().rstrip("=")


def read_token(text: str) -> Token:
    """The token in a line. Raises Invalid; the message never repeats what was given."""
    text = text.strip()
    if not text.startswith(PREFIX) or len(text) > TEXT_CHARS_MAX:
        raise Invalid(f"That is no join token: one begins with {PREFIX} and stands in one line.")
    body = text.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        packed, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
        if not hmac.compare_digest(check, _check(packed)):
            raise Invalid(
                "The join token was not copied whole: copy the line again, from its first to its last letter."
            )
        return msgspec.msgpack.decode(packed, type=Token)
    except (binascii.Error, *UNREADABLE, ValueError):
        raise Invalid("The join token can't be read: copy the line again.") from None


def secret_hash(secret: bytes) -> str:
    """What the store keeps of a token's secret. The secret is random and long, so one hash is enough."""
    return hashlib.sha256(b"noded join token " + secret).hexdigest()


def _check(packed: bytes) -> bytes:
    return hashlib.sha256(packed).digest()[:_CHECK_BYTES]
