"""Who is a key? Ids and names of nodes, computed from public keys with the standard library alone.

Small processes (extent and volume servers) check their peers with this, so it must not pull in a crypto library.
"""

import hashlib
import ssl
from pathlib import Path
from typing import Final

from noded.core.ids import NodeId

NODE_ID_CHARS: Final = 32
NODE_NAME_SUFFIX: Final = ".node.noded"

# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which `ssl` has no name for. Members renew their certificates early, but a
# cluster that was switched off for months, or a host whose clock starts in 1970, must find together again: who is a
# member is for the records to say, and not for the calendar.
NO_CHECK_TIME: Final = ssl.VerifyFlags(0x200000)

_SEQUENCE: Final = 0x30
_EXPLICIT_VERSION: Final = 0xA0
# serialNumber, signature, issuer, validity, subject: what stands between the version and the key (RFC 5280, 4.1).
_FIELDS_BEFORE_KEY: Final = 5


def fingerprint(public_key: bytes) -> str:
    """SHA-256 of a public key (SPKI, DER) as 64 hex digits."""
    return hashlib.sha256(public_key).hexdigest()


def node_id_of(public_key: bytes) -> NodeId:
    """The id of the node that holds the key of `public_key` (SPKI, DER)."""
    return NodeId(fingerprint(public_key)[:NODE_ID_CHARS])


def node_name(node_id: NodeId) -> str:
    """The DNS name by which certificates name a node."""
    return f"{node_id}{NODE_NAME_SUFFIX}"


def gone_file(tls_dir: Path) -> Path:
    """Where the daemon lists, a line each, the ids of the nodes whose certificates are good for nothing any more."""
    return tls_dir / "gone"


def public_key_in(certificate: bytes) -> bytes:
    """The public key (SPKI, DER) of a certificate (DER). Raises ValueError if it is not a certificate."""
    outer, _ = _element(certificate, 0, _SEQUENCE)
    position, _ = _element(certificate, outer, _SEQUENCE)
    if certificate[position : position + 1] == bytes([_EXPLICIT_VERSION]):
        _, position = _element(certificate, position, _EXPLICIT_VERSION)
    for _ in range(_FIELDS_BEFORE_KEY):
        _, position = _element(certificate, position, None)
    _, end = _element(certificate, position, _SEQUENCE)
    return certificate[position:end]


def _element(der: bytes, start: int, tag: int | None) -> tuple[int, int]:
    """Where the content of the DER element at `start` begins and ends."""
    if start + 2 > len(der):
        raise ValueError("the certificate ends too early")
    if tag is not None and der[start] != tag:
        raise ValueError(f"byte {start} of the certificate is {der[start]:#04x} and not {tag:#04x}")
    length, content = der[start + 1], start + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(der[content : content + size], "big")
        content += size
    if content + length > len(der):
        raise ValueError("the certificate ends too early")
    return content, content + length
