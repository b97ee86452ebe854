"""How do a cluster's keys vouch for its nodes? Bytes in, bytes out; no files, no clock.

The cluster authority is a certificate authority made at founding and replicated to every member, so that any
member can admit a node and each node can renew its own certificates, even one that was switched off for a year.

A node *is* its key: the node id is the beginning of the SHA-256 of the public key (SPKI, DER). A node certificate
only states that the cluster admitted that key. An API certificate names addresses, for users' clients; it carries
no node name and no client usage, so it opens no door between nodes.
"""

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from consensus.naming import NODE_NAME_SUFFIX, node_id_of, node_name

NODE_CERTIFICATE_LIFE: Final = timedelta(days=30)
AUTHORITY_LIFE: Final = timedelta(days=3650)
# A node whose clock runs behind must still accept what a member has just signed.
BACKDATED: Final = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A cluster's certificate authority. The key never appears in a repr, a log or an API."""

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)


def new_private_key() -> bytes:
    """A fresh P-256 key, PEM. (Browsers refuse Ed25519 server certificates, and one kind of key is enough.)"""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def public_key_of(key_pem: bytes) -> bytes:
    """The public half of a private key (PEM), as SPKI, DER."""
    return _public_bytes(load_key(key_pem).public_key())


def load_key(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Read a private key (PEM). Raises ValueError for anything but a P-256 key."""
    key = serialization.load_pem_private_key(key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the private key is not an elliptic-curve key")
    _expect_p256(key.public_key())
    return key


def load_public_key(public_key: bytes) -> ec.EllipticCurvePublicKey:
    """Read a public key (SPKI, DER). Raises ValueError for anything but a P-256 key."""
    return _expect_p256(serialization.load_der_public_key(public_key))


def found_authority(cluster_name: str, now: datetime) -> Authority:
    """Make the authority of a new cluster."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _common_name(f"noded cluster {cluster_name}"))])
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(key_id, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def sign_node(authority: Authority, public_key: bytes, now: datetime) -> bytes:
    """A certificate (PEM) that says: this key is a node of the cluster, towards servers and clients alike."""
    node_id = node_id_of(public_key)
    names = [x509.DNSName(node_name(node_id))]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return _sign(authority, public_key, node_id, names, usages, now)


def sign_api(authority: Authority, public_key: bytes, hosts: Iterable[str], now: datetime) -> bytes:
    """A certificate (PEM) for the HTTPS API at `hosts` (addresses and DNS names, in any mix, at least one)."""
    names: list[x509.GeneralName] = []
    for host in dict.fromkeys(hosts):
        if host.endswith(NODE_NAME_SUFFIX):
            raise ValueError(f"{host} is a name between nodes and can't be in an API certificate")
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    if not names:
        raise ValueError("an API certificate needs at least one address or name")
    return _sign(authority, public_key, "noded API", names, [ExtendedKeyUsageOID.SERVER_AUTH], now)


def sign_self(key_pem: bytes, now: datetime) -> bytes:
    """A self-signed certificate (PEM) for a node that belongs to no cluster yet, and for the doors of those that do.

    It proves possession of the key and nothing else, so it may as well live as long as an authority does.
    """
    key = load_key(key_pem)
    node_id = node_id_of(_public_bytes(key.public_key()))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node_id)])
    certificate = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(node_name(node_id))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def authority_hash(certificate_pem: bytes) -> bytes:
    """SHA-256 of an authority's public key: how a token says whom to trust."""
    key = x509.load_pem_x509_certificate(certificate_pem).public_key()
    return hashlib.sha256(_public_bytes(_expect_p256(key))).digest()


def authority_hashes(bundle_pem: bytes) -> frozenset[bytes]:
    """The same of every authority in a bundle of certificates."""
    return frozenset(
        authority_hash(certificate.public_bytes(serialization.Encoding.PEM))
        for certificate in x509.load_pem_x509_certificates(bundle_pem)
    )


def is_signed_by(certificate_pem: bytes, authority_pem: bytes) -> bool:
    """Whether the authority with that certificate signed this one, as the key identifiers say."""
    certificate, authority = (x509.load_pem_x509_certificate(pem) for pem in (certificate_pem, authority_pem))
    signer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    return signer == authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def is_due_for_renewal(certificate_pem: bytes, now: datetime) -> bool:
    """Whether less than two thirds of a certificate's life are left."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return now > certificate.not_valid_before_utc + life / 3


def names_in(certificate_pem: bytes) -> frozenset[str]:
    """Every address and DNS name that a certificate is good for."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return frozenset(addresses | set(names.get_values_for_type(x509.DNSName)))


def _sign(
    authority: Authority,
    public_key: bytes,
    common_name: str,
    names: Iterable[x509.GeneralName],
    usages: Iterable[x509.ObjectIdentifier],
    now: datetime,
) -> bytes:
    issuer = x509.load_pem_x509_certificate(authority.certificate_pem)
    issuer_key_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    subject_key = load_public_key(public_key)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(subject, issuer.subject, subject_key, now, NODE_CERTIFICATE_LIFE)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id), critical=False)
        .sign(load_key(authority.key_pem), hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    start = now.astimezone(UTC) - BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(now.astimezone(UTC) + life)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _expect_p256(key: object) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("the public key is not a P-256 key")
    return key


def _common_name(text: str) -> str:
    # X.509 allows 64 characters; the name is for human eyes alone.
    return text[:64]


def _public_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
