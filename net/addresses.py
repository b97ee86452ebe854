"""How IPv4 addresses, ranges and masks are computed. Pure; addresses are dotted strings at every border."""

import itertools
from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

import msgspec

METADATA_ADDRESS = "169.254.169.254"  # of every network's own services: no subnet may contain it


class AddressPool(msgspec.Struct, frozen=True):
    """A range of addresses, both ends included."""

    first: str
    last: str


def parse_address(text: str) -> IPv4Address | None:
    """The address that `text` writes in its usual form, or None."""
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def parse_cidr(text: str) -> IPv4Network | None:
    """The network that `text` writes as `address/bits`, host bits cleared as Neutron does, or None."""
    try:
        return IPv4Network(text, strict=False) if "/" in text else None
    except (AddressValueError, NetmaskValueError, ValueError):
        return None


def can_be_a_subnet(network: IPv4Network) -> bool:
    """Whether machines may have addresses of it: not everything, not multicast or loopback, not our services' own."""
    reserved = IPv4Address(METADATA_ADDRESS) in network or network.is_multicast or network.is_loopback
    return network.prefixlen > 0 and not reserved


def hosts(network: IPv4Network) -> tuple[int, int]:
    """The first and last address that a machine may have; the whole network where it is a /31 or /32 (RFC 3021)."""
    low, high = int(network.network_address), int(network.broadcast_address)
    return (low, high) if network.prefixlen >= 31 else (low + 1, high - 1)


def default_pools(network: IPv4Network, gateway: str | None) -> tuple[AddressPool, ...]:
    """Every host address but the gateway's."""
    low, high = hosts(network)
    if gateway is None:
        return _pools([(low, high)])
    cut = int(IPv4Address(gateway))
    return _pools([(low, cut - 1), (cut + 1, high)] if low <= cut <= high else [(low, high)])


def _pools(ranges: Iterable[tuple[int, int]]) -> tuple[AddressPool, ...]:
    return tuple(AddressPool(written(a), written(b)) for a, b in ranges if a <= b)


def bounds(pool: AddressPool) -> tuple[int, int]:
    """The pool's ends as numbers."""
    return int(IPv4Address(pool.first)), int(IPv4Address(pool.last))


def in_order(pools: Iterable[AddressPool], start: int = 0) -> Iterator[int]:
    """Every address of the pools as a number, from `start` on, lowest first."""
    for first, last in sorted(map(bounds, pools)):
        yield from range(max(first, start), last + 1)


def written(number: int) -> str:
    """An address in its usual form."""
    return str(IPv4Address(number))


def overlapping(pools: Iterable[AddressPool]) -> tuple[AddressPool, AddressPool] | None:
    """Two pools that share an address, if there are such."""
    ordered = sorted(pools, key=bounds)
    for one, other in itertools.pairwise(ordered):
        if bounds(one)[1] >= bounds(other)[0]:
            return one, other
    return None
