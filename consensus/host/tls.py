"""How do nodes prove to one another who they are? TLS 1.3 contexts, made from the files in `<state>/tls`.

Members show their node certificate and ask for one signed by this cluster's authority. Doors show a self-signed
certificate and ask for none: there the handshake inside (`consensus/door.py`) tells friend from stranger.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from consensus.naming import NO_CHECK_TIME, NODE_NAME_SUFFIX, node_id_of, public_key_in
from noded.core.ids import NodeId


class TlsConnection(Protocol):
    """What `ssl.SSLObject`, `ssl.SSLSocket` and `trio.SSLStream` have in common, as far as it is needed here."""

    def getpeercert(self, binary_form: bool) -> object:
        """The other side's certificate: DER if `binary_form`, else its fields."""


@dataclass
class TlsContexts:
    """The two ends of every connection between members. Taken from here for each new connection: they are replaced when
    the certificate is renewed or another authority is trusted."""

    server: ssl.SSLContext
    client: ssl.SSLContext

    def reload(self, state_dir: Path) -> None:
        """Take what the files say now. (A context can't forget whom it trusted, so there are new ones.)"""
        fresh = member_contexts(state_dir)
        self.server, self.client = fresh.server, fresh.client


def tls_directory(state_dir: Path) -> Path:
    """Where a node keeps its key and its certificates."""
    return state_dir / "tls"


def node_key_file(state_dir: Path) -> Path:
    """Where this node's private key lives."""
    return tls_directory(state_dir) / "node.key"


def self_signed_file(state_dir: Path) -> Path:
    """Where the certificate lives that this node's door shows."""
    return tls_directory(state_dir) / "self.crt"


def node_certificate_file(state_dir: Path) -> Path:
    """Where the certificate lives that the cluster gave this node."""
    return tls_directory(state_dir) / "node.crt"


def authority_file(state_dir: Path) -> Path:
    """Where the certificate of the cluster's authority lives: what users' clients are told to trust."""
    return tls_directory(state_dir) / "ca.crt"


def api_certificate_file(state_dir: Path) -> Path:
    """Where the certificate of this node's HTTPS API lives."""
    return tls_directory(state_dir) / "api.crt"


def member_contexts(state_dir: Path) -> TlsContexts:
    """The contexts of a member. Raises OSError or ssl.SSLError."""
    server = _context(ssl.PROTOCOL_TLS_SERVER)
    client = _context(ssl.PROTOCOL_TLS_CLIENT)
    # Nodes are found by id and not by host name; `peer_node_id` checks the name instead.
    client.check_hostname = False
    for context in (server, client):
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= NO_CHECK_TIME
        context.load_verify_locations(cafile=authority_file(state_dir))
        context.load_cert_chain(node_certificate_file(state_dir), node_key_file(state_dir))
    return TlsContexts(server, client)


def door_server(state_dir: Path) -> ssl.SSLContext:
    """The server side of a door: it shows this node's key and asks for nothing."""
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed_file(state_dir), node_key_file(state_dir))
    return context


def door_client() -> ssl.SSLContext:
    """The client side of a door: any certificate will do, because the handshake inside binds the key that it shows."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def peer_public_key(connection: TlsConnection) -> bytes:
    """The public key (SPKI, DER) that the other side has proved to hold. Raises SSLCertVerificationError."""
    certificate = connection.getpeercert(True)
    if not isinstance(certificate, bytes):
        raise ssl.SSLCertVerificationError("the other side showed no certificate")
    try:
        return public_key_in(certificate)
    except ValueError as error:
        raise ssl.SSLCertVerificationError(f"the other side's certificate: {error}") from error


def peer_node_id(connection: TlsConnection) -> NodeId:
    """Which member is at the other end of a verified connection. Raises SSLCertVerificationError.

    The certificate must name exactly one node, and that node's id must belong to the certificate's own key: so not
    even someone who stole the authority's key can pass for a node without that node's key.
    """
    certificate = connection.getpeercert(False)
    fields = certificate if isinstance(certificate, dict) else {}
    names = [name for kind, name in fields.get("subjectAltName", ()) if kind == "DNS"]
    if len(names) != 1 or not names[0].endswith(NODE_NAME_SUFFIX):
        raise ssl.SSLCertVerificationError(f"the other side's certificate names {names or 'nobody'} and not one node")
    named = names[0].removesuffix(NODE_NAME_SUFFIX)
    actual = node_id_of(peer_public_key(connection))
    if named != actual:
        raise ssl.SSLCertVerificationError(f"the other side's certificate names node {named} but its key is {actual}")
    return actual


def expect_peer(connection: TlsConnection, node_id: NodeId) -> None:
    """Raise SSLCertVerificationError unless `node_id` is at the other end of a verified connection."""
    found = peer_node_id(connection)
    if found != node_id:
        raise ssl.SSLCertVerificationError(f"node {found} answers in its place")


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        # Without tickets nothing arrives on an idle connection but its end, so a client sees at once that it is stale.
        context.num_tickets = 0
    return context
