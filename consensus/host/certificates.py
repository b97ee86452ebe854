"""Are this node's certificates still good, and for the right names? If not, they are signed anew.

Every member holds the authority's key in its store, so no other node is needed. Members themselves do not stop at an
expired certificate (`tls.py` says why), and guests never depend on the age of one; users' clients do stop.
"""

import ssl
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import trio

from consensus.authority import Authority, is_due_for_renewal, names_in, sign_api, sign_node
from consensus.host.files import write_durably
from consensus.host.identity import NodeIdentity
from consensus.host.tls import TlsContexts, api_certificate_file, node_certificate_file


def keep_node_certificate(contexts: TlsContexts, identity: NodeIdentity, state_dir: Path, authority: Authority) -> bool:
    """Renew this node's certificate if it is getting old; new connections show the new one. Whether it was renewed."""
    path = node_certificate_file(state_dir)
    now = datetime.now(UTC)
    if not is_due_for_renewal(path.read_bytes(), now):
        return False
    write_durably(path, sign_node(authority, identity.public_key, now))
    for context in (contexts.server, contexts.client):
        context.load_cert_chain(path, identity.key_file)
    return True


def api_server(identity: NodeIdentity, state_dir: Path, authority: Authority, hosts: Iterable[str]) -> ssl.SSLContext:
    """The HTTPS context of the public API at `hosts` (addresses and names)."""
    keep_api_certificate(identity, state_dir, authority, hosts)
    # Browsers and older clients come here too, so this is the one context that also takes TLS 1.2.
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(api_certificate_file(state_dir), identity.key_file)
    return context


def keep_api_certificate(identity: NodeIdentity, state_dir: Path, authority: Authority, hosts: Iterable[str]) -> bool:
    """Sign the API certificate anew if it is missing, getting old, or for other `hosts`. Whether it was.

    A server picks the new file up with `context.load_cert_chain`; open connections are not disturbed.
    """
    path = api_certificate_file(state_dir)
    wanted = frozenset(hosts)
    now = datetime.now(UTC)
    if path.exists():
        present = path.read_bytes()
        if names_in(present) == wanted and not is_due_for_renewal(present, now):
            return False
    write_durably(path, sign_api(authority, identity.public_key, sorted(wanted), now))
    return True


class NodeCertificates:
    """Implements `consensus.members.links.Certificates` for a running node."""

    def __init__(
        self,
        identity: NodeIdentity,
        state_dir: Path,
        contexts: TlsContexts,
        api: ssl.SSLContext,
        hosts: Callable[[], Iterable[str]],
    ) -> None:
        """`api`: what `api_server` made; `hosts`: the addresses and names that the API is reached at now."""
        self._identity = identity
        self._state_dir = state_dir
        self._contexts = contexts
        self._api = api
        self._hosts = hosts

    async def keep(self, authority: Authority) -> bool:
        """Sign anew what is getting old or names other addresses. Whether anything was."""
        return await trio.to_thread.run_sync(self._keep, authority)

    def _keep(self, authority: Authority) -> bool:
        node_renewed = keep_node_certificate(self._contexts, self._identity, self._state_dir, authority)
        api_renewed = keep_api_certificate(self._identity, self._state_dir, authority, self._hosts())
        if api_renewed:
            self._api.load_cert_chain(api_certificate_file(self._state_dir), self._identity.key_file)
        return node_renewed or api_renewed
