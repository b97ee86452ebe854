"""Which certificate does a client see? The operator's, if it asks for a name in that; else the cluster's.

So whoever reaches a node by its address and trusts the cluster's authority goes on as before. A client says the name it
wants before anything is encrypted (RFC 6066, 3); for an address it says none, and is shown the operator's if that is
for an address of this node.
"""

import ssl
from collections.abc import Callable, Iterable
from pathlib import Path

import trio

from consensus.authority import names_in
from consensus.host.files import remove_durably, write_durably
from consensus.host.tls import tls_directory


class HostApiFace:
    """Implements `consensus.own_certificates.links.ApiFace` on the context that the API's server uses."""

    def __init__(self, api: ssl.SSLContext, state_dir: Path, hosts: Callable[[], Iterable[str]]) -> None:
        """`hosts`: the addresses and names of this node."""
        self._directory = tls_directory(state_dir)
        self._hosts = hosts
        self._shown: tuple[str, str] | None = None
        self._names: frozenset[str] = frozenset()
        self._own: ssl.SSLContext | None = None
        api.sni_callback = self._choose

    async def show(self, own: tuple[str, str] | None) -> bool:
        if own == self._shown:
            return False
        await trio.to_thread.run_sync(self._take, own)
        return True

    def _take(self, own: tuple[str, str] | None) -> None:
        chain_file, key_file = self._directory / "own.crt", self._directory / "own.key"
        if own is None:
            remove_durably(chain_file)
            remove_durably(key_file)
            context, names = None, frozenset[str]()
        else:
            chain, key = own
            write_durably(chain_file, chain.encode())
            write_durably(key_file, key.encode())
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_alpn_protocols(["http/1.1"])
            context.load_cert_chain(chain_file, key_file)
            names = names_in(chain.encode())
        self._own, self._names, self._shown = context, names, own

    def _choose(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        if self._own is not None and self._is_for(name):
            connection.context = self._own

    def _is_for(self, name: str | None) -> bool:
        if name is None:
            return not self._names.isdisjoint(self._hosts())
        name = name.lower().rstrip(".")
        own = {each.lower() for each in self._names}
        return name in own or f"*.{name.partition('.')[2]}" in own
