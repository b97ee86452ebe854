"""How do the storage processes prove who they are to one another? Mutual TLS 1.3 with the node's certificate.

The files are `<directory>/{node.crt,node.key,ca.crt}`. The daemon renews the certificate in place; each new connection
is made with the files as they are then. Established connections stay as they are. The dates of certificates are not
checked between nodes (`consensus/naming.py` says why): a wrong clock must not part a node from its disks.
"""

import ssl
from pathlib import Path

from consensus.naming import NO_CHECK_TIME, gone_file, node_id_of, node_name, public_key_in
from noded.core.ids import NodeId


class NodeTls:
    """The two ends of a connection between nodes. Raises OSError or ssl.SSLError if the files are missing or wrong."""

    def __init__(self, directory: Path) -> None:
        self._certificate = directory / "node.crt"
        self._key = directory / "node.key"
        self._authority = directory / "ca.crt"
        self._gone = gone_file(directory)
        self._seen: tuple[int, ...] = ()
        self._server: ssl.SSLContext
        self._client: ssl.SSLContext

    def server(self) -> ssl.SSLContext:
        """For a listening socket: lets in whoever shows a certificate of this cluster."""
        self._refresh()
        return self._server

    def client(self) -> ssl.SSLContext:
        """For a connection to a node, which must be named by `server_hostname=server_name(node)`."""
        self._refresh()
        return self._client

    def is_gone(self, certificate: bytes | None) -> bool:
        """Whether the node with this certificate left the cluster or was forgotten: it counts no more."""
        try:
            gone = self._gone.read_text().split()
        except FileNotFoundError:
            return False  # nobody has gone yet
        return certificate is not None and node_id_of(public_key_in(certificate)) in gone

    def gone_since(self) -> int | None:
        """When the list of those who are gone was last written, in ns; None if it never was."""
        try:
            return self._gone.stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def _refresh(self) -> None:
        files = (self._certificate, self._key, self._authority)
        seen = tuple(path.stat().st_mtime_ns for path in files)
        if seen != self._seen:
            self._server = self._context(ssl.PROTOCOL_TLS_SERVER)
            self._client = self._context(ssl.PROTOCOL_TLS_CLIENT)
            self._seen = seen

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= NO_CHECK_TIME
        context.load_verify_locations(cafile=self._authority)
        context.load_cert_chain(self._certificate, self._key)
        if protocol == ssl.PROTOCOL_TLS_SERVER:
            context.num_tickets = 0
        return context


def server_name(node_id: NodeId) -> str:
    """The name in a node's certificate."""
    return node_name(node_id)
