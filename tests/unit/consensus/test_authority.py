"""The cluster's authority: what it signs is trusted for what it says, and for nothing else."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from consensus.authority import (
    Authority,
    found_authority,
    is_due_for_renewal,
    load_key,
    names_in,
    new_private_key,
    public_key_of,
    sign_api,
    sign_node,
    sign_self,
)
from consensus.host.certificates import api_server, keep_api_certificate, keep_node_certificate
from consensus.host.files import write_durably
from consensus.host.identity import NodeIdentity
from consensus.host.tls import (
    TlsContexts,
    authority_file,
    door_client,
    door_server,
    expect_peer,
    member_contexts,
    node_certificate_file,
    peer_node_id,
    peer_public_key,
)
from consensus.naming import node_id_of, node_name, public_key_in

NOW = datetime.now(UTC)
AUTHORITY = found_authority("town", NOW)
OTHER = found_authority("town", NOW)


class Node:
    """A member's directory, with a certificate signed by `authority`."""

    def __init__(self, directory: Path, authority: Authority = AUTHORITY, *, certificate: bytes | None = None) -> None:
        self.state_dir = directory
        self.identity = NodeIdentity.load_or_create(directory)
        signed = certificate or sign_node(authority, self.identity.public_key, NOW)
        write_durably(authority_file(directory), authority.certificate_pem)
        write_durably(node_certificate_file(directory), signed)

    @property
    def tls(self) -> TlsContexts:
        return member_contexts(self.state_dir)


def connect(
    client: ssl.SSLContext, server: ssl.SSLContext, host: str | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A TLS handshake in memory: (the client's end, the server's end). Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=host)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for end in (near, far) * 3:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    # A TLS 1.3 client learns only with its first bytes whether the server took its certificate.
    far.write(b"welcome")
    assert near.read(100) == b"welcome"
    return near, far


def test_members_know_each_other_by_their_certificates(tmp_path: Path) -> None:
    ann, bob = Node(tmp_path / "a"), Node(tmp_path / "b")
    near, far = connect(ann.tls.client, bob.tls.server)
    assert peer_node_id(near) == bob.identity.node_id
    assert peer_node_id(far) == ann.identity.node_id
    assert near.version() == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        expect_peer(near, ann.identity.node_id)


def test_a_member_of_another_cluster_is_refused_even_one_of_the_same_name(tmp_path: Path) -> None:
    ann, stranger = Node(tmp_path / "a"), Node(tmp_path / "b", OTHER)
    with pytest.raises(ssl.SSLError):
        connect(stranger.tls.client, ann.tls.server)
    with pytest.raises(ssl.SSLError):
        connect(ann.tls.client, stranger.tls.server)


def test_a_client_without_a_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLError):
        connect(door_client(), Node(tmp_path / "a").tls.server)


def test_an_api_certificate_is_no_node_certificate(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    identity = NodeIdentity.load_or_create(directory)
    impostor = Node(directory, certificate=sign_api(AUTHORITY, identity.public_key, ["10.0.0.1"], NOW))
    member = Node(tmp_path / "b")
    with pytest.raises(ssl.SSLError):
        connect(impostor.tls.client, member.tls.server)
    near, _ = connect(member.tls.client, impostor.tls.server)
    with pytest.raises(ssl.SSLCertVerificationError):
        peer_node_id(near)


def test_a_certificate_that_names_another_node_than_its_key_is_refused(tmp_path: Path) -> None:
    ann, bob = Node(tmp_path / "a"), Node(tmp_path / "b")

    class Forged:
        def getpeercert(self, binary_form: bool) -> object:
            if binary_form:
                pem = node_certificate_file(ann.state_dir).read_bytes()
                return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
            return {"subjectAltName": (("DNS", node_name(bob.identity.node_id)),)}

    with pytest.raises(ssl.SSLCertVerificationError, match="its key is"):
        peer_node_id(Forged())


def test_an_api_certificate_is_good_for_its_addresses_and_names_alone(tmp_path: Path) -> None:
    node = Node(tmp_path)
    server = api_server(node.identity, node.state_dir, AUTHORITY, ["10.77.0.1", "fd00::1", "cloud.example"])
    client = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
    for host in ("10.77.0.1", "fd00::1", "cloud.example"):
        connect(client, server, host)
    for host in ("10.77.0.2", "other.example"):
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(client, server, host)


def test_certificates_pass_the_strict_checks_of_newer_clients(tmp_path: Path) -> None:
    node = Node(tmp_path)
    client = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    connect(client, api_server(node.identity, tmp_path, AUTHORITY, ["10.77.0.1"]), "10.77.0.1")


def test_the_api_certificate_is_made_again_only_when_its_addresses_change_or_it_gets_old(tmp_path: Path) -> None:
    identity = NodeIdentity.load_or_create(tmp_path)
    assert keep_api_certificate(identity, tmp_path, AUTHORITY, ["10.77.0.1", "node1"])
    assert not keep_api_certificate(identity, tmp_path, AUTHORITY, ["node1", "10.77.0.1"])
    assert keep_api_certificate(identity, tmp_path, AUTHORITY, ["10.77.0.9", "node1"])


@pytest.mark.parametrize("days", [-400, 400])
def test_members_find_together_whatever_their_clocks_and_calendars_say(tmp_path: Path, days: int) -> None:
    then = NOW + timedelta(days=days)
    old = sign_node(AUTHORITY, NodeIdentity.load_or_create(tmp_path / "a").public_key, then)
    ann, bob = Node(tmp_path / "a", certificate=old), Node(tmp_path / "b")
    connect(ann.tls.client, bob.tls.server)
    connect(bob.tls.client, ann.tls.server)


def test_a_node_renews_its_own_certificate_in_place_even_one_that_has_expired(tmp_path: Path) -> None:
    old = sign_node(AUTHORITY, NodeIdentity.load_or_create(tmp_path / "a").public_key, NOW - timedelta(days=400))
    ann, bob = Node(tmp_path / "a", certificate=old), Node(tmp_path / "b")
    contexts = ann.tls
    assert keep_node_certificate(contexts, ann.identity, ann.state_dir, AUTHORITY)
    connect(contexts.client, bob.tls.server)
    near, _ = connect(bob.tls.client, contexts.server)
    shown = near.getpeercert()
    assert shown is not None
    assert ssl.cert_time_to_seconds(str(shown["notAfter"])) > NOW.timestamp()
    assert not keep_node_certificate(contexts, ann.identity, ann.state_dir, AUTHORITY)


def test_a_certificate_is_due_after_a_third_of_its_life() -> None:
    certificate = sign_node(AUTHORITY, public_key_of(new_private_key()), NOW)
    assert not is_due_for_renewal(certificate, NOW + timedelta(days=9))
    assert is_due_for_renewal(certificate, NOW + timedelta(days=10))


def test_the_public_key_is_found_in_a_certificate_without_a_library() -> None:
    key = new_private_key()
    certificate = x509.load_pem_x509_certificate(sign_self(key, NOW)).public_bytes(Encoding.DER)
    assert public_key_in(certificate) == public_key_of(key)
    for length in range(0, len(certificate), 7):
        with pytest.raises(ValueError, match="certificate"):
            public_key_in(certificate[:length])


def test_a_door_shows_the_key_of_its_node(tmp_path: Path) -> None:
    identity = NodeIdentity.load_or_create(tmp_path)
    near, _ = connect(door_client(), door_server(tmp_path))
    assert node_id_of(peer_public_key(near)) == identity.node_id


def test_an_authority_does_not_print_its_key() -> None:
    assert b"PRIVATE" not in repr(AUTHORITY).encode()
    assert "key_pem" not in repr(AUTHORITY)


def test_api_certificates_need_a_name_that_is_not_a_nodes() -> None:
    key = public_key_of(new_private_key())
    with pytest.raises(ValueError, match="at least one"):
        sign_api(AUTHORITY, key, [], NOW)
    with pytest.raises(ValueError, match="between nodes"):
        sign_api(AUTHORITY, key, [node_name(node_id_of(key))], NOW)


def test_names_are_read_back() -> None:
    key = public_key_of(new_private_key())
    assert names_in(sign_api(AUTHORITY, key, ["10.0.0.1", "a.example"], NOW)) == {"10.0.0.1", "a.example"}


def test_keys_of_another_kind_are_refused() -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="elliptic"):
        load_key(pem)
