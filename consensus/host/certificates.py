"""Are this node's certificates still good, and for the right names? If not, they are signed anew.

Every member holds the authority's key in its store, so no other node is needed. Members themselves do not stop at an
expired certificate (`tls.py` says why), and guests never depend on the age of one; users' clients do stop.
"""

import ssl
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import trio

from consensus.authority import Authority, is_due_for_renewal, is_signed_by, names_in, sign_api, sign_node
from consensus.host.files import write_durably
from consensus.host.identity import NodeIdentity
from consensus.host.tls import TlsContexts, api_certificate_file, authority_file, node_certificate_file


def keep_node_certificate(
    contexts: TlsContexts,
    identity: NodeIdentity,
    state_dir: Path,
    authority: Authority,
    trusted: Sequence[bytes] = (),
) -> bool:
    """Trust these authorities (default: the one), and renew this node's certificate if another one signed it or it is
    getting old. New connections show and check what is there then. Whether anything was changed."""
    path, now = node_certificate_file(state_dir), datetime.now(UTC)
    bundle = b"".join(trusted or [authority.certificate_pem])
    trusts_others = authority_file(state_dir).read_bytes() != bundle
    present = path.read_bytes()
    is_due = is_due_for_renewal(present, now) or not is_signed_by(present, authority.certificate_pem)
    if trusts_others:
        write_durably(authority_file(state_dir), bundle)
    if is_due:
        write_durably(path, sign_node(authority, identity.public_key, now))
    if trusts_others or is_due:
        contexts.reload(state_dir)
    return trusts_others or is_due


def api_server(identity: NodeIdentity, state_dir: Path, authority: Authority, hosts: Iterable[str]) -> ssl.SSLContext:
    """The HTTPS context of the public API at `hosts` (addresses and names)."""
    keep_api_certificate(identity, state_dir, authority, hosts)
    # Browsers and older clients come here too, so this is the one context that also takes TLS 1.2.
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(api_certificate_file(state_dir), identity.key_file)
    return context


def keep_api_certificate(identity: NodeIdentity, state_dir: Path, authority: Authority, hosts: Iterable[str]) -> bool:
    """Sign the API certificate anew if it is missing, getting old, another authority's or for other `hosts`. Whether.

    A server picks the new file up with `context.load_cert_chain`; open connections are not disturbed.
    """
    path = api_certificate_file(state_dir)
    wanted = frozenset(hosts)
    now = datetime.now(UTC)
    if path.exists():
        present = path.read_bytes()
        is_ours = is_signed_by(present, authority.certificate_pem)
        if is_ours and names_in(present) == wanted and not is_due_for_renewal(present, now):
            return False
    write_durably(path, sign_api(authority, identity.public_key, sorted(wanted), now))
    return True


class NodeCertificates:
    """Implements `consensus.certificates.links.Certificates` for a running node."""

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

    async def keep(self, authority: Authority, trusted: Sequence[bytes]) -> bool:
        """Trust these, and sign anew what is another's, getting old or names other addresses. Whether any was."""
        return await trio.to_thread.run_sync(self._keep, authority, trusted)

    def _keep(self, authority: Authority, trusted: Sequence[bytes]) -> bool:
        node_renewed = keep_node_certificate(self._contexts, self._identity, self._state_dir, authority, trusted)
        api_renewed = keep_api_certificate(self._identity, self._state_dir, authority, self._hosts())
        if api_renewed:
            self._api.load_cert_chain(api_certificate_file(self._state_dir), self._identity.key_file)
        return node_renewed or api_renewed
