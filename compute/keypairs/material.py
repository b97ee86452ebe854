"""What a public key is made of: checked, given its fingerprint, and made anew for who has none."""

import base64
import binascii
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from compute.keypairs.model import KeyType
from noded.core.errors import Invalid

RSA_BITS = 2048
KEY_LENGTH_MAX = 16384


def fingerprint(key_type: KeyType, public_key: str) -> str:
    """Nova's fingerprint of a public key; raises `Invalid` when it is none."""
    if len(public_key) > KEY_LENGTH_MAX:
        raise Invalid(f"Keypair data is invalid: it is longer than {KEY_LENGTH_MAX} characters.")
    return _ssh_fingerprint(public_key) if key_type is KeyType.SSH else _certificate_fingerprint(public_key)


def _ssh_fingerprint(public_key: str) -> str:
    parts = public_key.split(maxsplit=2)
    try:
        blob = base64.b64decode(parts[1], validate=True)
        # The blob begins with the name of the algorithm, which the text repeats in front of it.
        length = int.from_bytes(blob[:4])
        named = blob[4 : 4 + length].decode("ascii")
    except (IndexError, binascii.Error, UnicodeDecodeError):
        named = ""
    if not parts or not named or named != parts[0] or "\n" in public_key.strip():
        raise Invalid("Keypair data is invalid: failed to generate fingerprint; it is not one OpenSSH public key.")
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def _certificate_fingerprint(certificate: str) -> str:
    try:
        loaded = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        raise Invalid("Keypair data is invalid: failed to generate X509 fingerprint; it is no certificate.") from None
    digest = loaded.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303  # what Nova prints
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def new_ssh_key() -> tuple[str, str]:
    """A private key as PEM, and its public key as OpenSSH writes it. Takes a tenth of a second of CPU."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} Generated-by-noded"
