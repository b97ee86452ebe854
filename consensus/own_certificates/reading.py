"""What is in a certificate that was given, and would a client take it? Says what is wrong, and what helps."""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from consensus.authority import names_in
from noded.core.errors import Invalid

CHARS_MAX: Final = 64 * 1024
RSA_BITS_MIN: Final = 2048
_KINDS: Final = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What one says of itself."""

    names: tuple[str, ...]
    issuer: str
    not_after: datetime
    chain: int  # how many certificates came with it, itself among them


def facts_of(chain_pem: str) -> CertificateFacts:
    """The facts of a chain that was found good."""
    chain = x509.load_pem_x509_certificates(chain_pem.encode())
    return CertificateFacts(
        names=tuple(sorted(names_in(chain_pem.encode()))),
        issuer=chain[0].issuer.rfc4514_string(),
        not_after=chain[0].not_valid_after_utc,
        chain=len(chain),
    )


def expect_usable(chain_pem: str, key_pem: str, now: datetime) -> CertificateFacts:
    """The facts, if a server can show it now. Raises `Invalid` otherwise."""
    chain = _chain(chain_pem)
    leaf = chain[0]
    if _public(_key(key_pem)) != leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
        raise Invalid("The key is not that of the certificate. The first certificate in the file must be the server's.")
    if now >= leaf.not_valid_after_utc:
        raise Invalid(f"The certificate ended at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M}; give a renewed one.")
    if now < leaf.not_valid_before_utc:
        raise Invalid(
            f"The certificate is good from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} on; by this node's clock it is"
            f" {now:%Y-%m-%d %H:%M}."
        )
    try:
        names = names_in(chain_pem.encode())
    except x509.ExtensionNotFound:
        names = frozenset()
    if not names:
        raise Invalid("The certificate names no host (subject alternative names): clients take no such one.")
    for below, above in pairwise(chain):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            raise Invalid(
                f"In the file, {above.subject.rfc4514_string()} follows {below.subject.rfc4514_string()} and did not"
                " sign it. Put each certificate before the one that signed it."
            ) from None
    return facts_of(chain_pem)


def _chain(pem: str) -> list[x509.Certificate]:
    if len(pem) > CHARS_MAX:
        raise Invalid(f"The certificates are {len(pem)} characters long; at most {CHARS_MAX} are read.")
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise Invalid("There is no certificate in PEM: one begins with -----BEGIN CERTIFICATE-----.") from None


def _key(
    pem: str,
) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey:
    if len(pem) > CHARS_MAX:
        raise Invalid(f"The key is {len(pem)} characters long; at most {CHARS_MAX} are read.")
    try:
        key = load_pem_private_key(pem.encode(), None)
    except TypeError:
        raise Invalid("The key has a passphrase. Take it off: openssl pkey -in KEY -out PLAIN") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Invalid("There is no private key in PEM that can be read.") from None
    if not isinstance(key, _KINDS):
        raise Invalid("The key is of a kind that no TLS server uses; RSA, ECDSA and EdDSA are.")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < RSA_BITS_MIN:
        raise Invalid(f"The key has {key.key_size} bits; clients take RSA keys from {RSA_BITS_MIN} bits on.")
    return key


def _public(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey,
) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
