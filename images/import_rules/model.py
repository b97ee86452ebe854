"""May an image be fetched from this URL, and may this address be connected to? One record for the whole cloud. Pure.

What a user names is fetched by a node, from inside the operator's network. So two questions are asked, the second for
every connection, redirects among them: does the URL pass (scheme, host, port), and is the address that the name leads
to one where a stranger may send a node? By default it may not be the node itself, another node, or an address that
has a meaning on one link or one machine alone, such as the metadata service's of another cloud.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import ClassVar, Final
from urllib.parse import urlsplit

import msgspec

from consensus.members.model import Node
from noded.core.errors import Invalid
from noded.core.record import Record
from noded.core.store import View

RULES_ID: Final = "rules"
SCHEMES: Final = ("http", "https")
ENTRIES_MAX: Final = 256
URL_CHARS_MAX: Final = 4096
_PORTS: Final = {"http": 80, "https": 443}
_NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))  # RFC 6052, RFC 8215
_TEREDO: Final = IPv6Network("2001::/32")  # RFC 4380: it leads to wherever its IPv4 address is

Address = IPv4Address | IPv6Address


class RulesForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules as the API takes and gives them. An empty list of what is allowed allows everything of its kind."""

    allowed_schemes: tuple[str, ...] = SCHEMES
    allowed_hosts: tuple[str, ...] = ()
    disallowed_hosts: tuple[str, ...] = ()  # counts where no host is allowed by name
    allowed_ports: tuple[int, ...] = (80, 443)
    disallowed_ports: tuple[int, ...] = ()  # counts where no port is allowed by number
    allowed_networks: tuple[str, ...] = ()  # of addresses that are refused otherwise: "127.0.0.0/8"
    disallowed_networks: tuple[str, ...] = ()  # refused as well


class ImportRules(Record, frozen=True, kw_only=True, tag="image_import_rules.1"):
    """What the operator decided."""

    NOUN: ClassVar[str] = "rules of image imports"

    id: str = RULES_ID
    allowed_schemes: tuple[str, ...] = SCHEMES
    allowed_hosts: tuple[str, ...] = ()
    disallowed_hosts: tuple[str, ...] = ()
    allowed_ports: tuple[int, ...] = (80, 443)
    disallowed_ports: tuple[int, ...] = ()
    allowed_networks: tuple[str, ...] = ()
    disallowed_networks: tuple[str, ...] = ()


def rules_of(view: View) -> ImportRules:
    """The rules that hold now."""
    return view.get(ImportRules, RULES_ID) or ImportRules()


def expect_sense(form: RulesForm) -> None:
    """Raises `Invalid` that names the rule which makes no sense."""
    for name in form.__struct_fields__:
        if len(getattr(form, name)) > ENTRIES_MAX:
            raise Invalid(f"{name} has more than {ENTRIES_MAX} entries.")
    for scheme in form.allowed_schemes:
        if scheme not in SCHEMES:
            raise Invalid(f"allowed_schemes: {scheme[:64]} is not one of {', '.join(SCHEMES)}.")
    for port in (*form.allowed_ports, *form.disallowed_ports):
        if not 0 < port < 65536:
            raise Invalid(f"{port} is not a port.")
    for network in (*form.allowed_networks, *form.disallowed_networks):
        try:
            ip_network(network)
        except ValueError as wrong:
            raise Invalid(f"{network[:64]} is not a network, such as 192.0.2.0/24: {wrong}.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to connect for a URL, and what to ask for there."""

    scheme: str
    host: str
    port: int
    path: str  # with its query


@dataclass(frozen=True, slots=True)
class Guard:
    """The rules, and the addresses of the cluster's nodes."""

    rules: ImportRules
    nodes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, view: View) -> "Guard":
        """What holds now."""
        return cls(rules_of(view), frozenset(address for node in view.all(Node) for address in node.addresses))

    def expect_url(self, url: str) -> Target:
        """What the URL names. Raises `Invalid` unless its scheme, host and port pass."""
        target = _target(url)
        rules = self.rules
        if target.scheme not in SCHEMES or (rules.allowed_schemes and target.scheme not in rules.allowed_schemes):
            raise _filtered(url, f"scheme {target.scheme[:32]}")
        if not _passes(target.host, rules.allowed_hosts, rules.disallowed_hosts):
            raise _filtered(url, f"host {target.host}")
        if not _passes(target.port, rules.allowed_ports, rules.disallowed_ports):
            raise _filtered(url, f"port {target.port}")
        address = _literal(target.host)
        if address is not None:
            self.expect_address(url, address)
        return target

    def expect_address(self, url: str, address: Address) -> None:
        """Raises `Invalid` unless a node may be sent to the address."""
        meant = _meant(address)
        if any(meant in ip_network(network) for network in self.rules.disallowed_networks):
            raise _filtered(url, f"address {address}")
        if str(meant) in self.nodes or not _leads_out(meant):
            self.expect_named(url, address)

    def expect_named(self, url: str, address: Address) -> None:
        """Raises `Invalid` unless the rules name the address: it is a node's own, or means something else elsewhere."""
        if not any(_meant(address) in ip_network(network) for network in self.rules.allowed_networks):
            raise _filtered(url, f"address {address}")


def _passes(value: object, allowed: Sequence[object], disallowed: Sequence[object]) -> bool:
    return value in allowed if allowed else value not in disallowed


def _filtered(url: str, what: str) -> Invalid:
    return Invalid(f"URI does not pass filtering: {_shown(url)} ({what}).")


def _shown(url: str) -> str:
    """Without its query: there may be a signature in it."""
    return url.partition("?")[0][:255]


def _target(url: str) -> Target:
    wrong = Invalid(f"URI does not pass filtering: {_shown(url)} is not a URL that an image can be fetched from.")
    if len(url) > URL_CHARS_MAX or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise wrong
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if not host or "@" in parts.netloc:
        raise wrong
    scheme = parts.scheme.lower()
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(scheme=scheme, host=host.rstrip("."), port=port or _PORTS.get(scheme, 0), path=path)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if any(address in network for network in _NAT64):
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _leads_out(address: Address) -> bool:
    """Whether the address is one of a host elsewhere: in the internet, or in the operator's own networks."""
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
        or (isinstance(address, IPv4Address) and int(address) >> 24 == 0)
        or address in _TEREDO
    )
