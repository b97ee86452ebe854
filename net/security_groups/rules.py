"""Which rules make sense: protocols, ports and ICMP types that go together (Networking API, "Security group rules")."""

from ipaddress import AddressValueError, IPv4Network, IPv6Network, NetmaskValueError, ip_network

from net.security_groups.model import Ethertype
from noded.core.errors import Invalid

# Names that Neutron takes, with their numbers (IANA protocol numbers).
PROTOCOL_NUMBERS = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "icmp": 1,
    "icmpv6": 58,
    "igmp": 2,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-icmp": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "sctp": 132,
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "vrrp": 112,
}
_WITH_PORTS = {6, 17, 33, 132, 136}
_ICMP = {1, 58}
_IPV6_ONLY = {58, 43, 44, 59, 60}
_IPV4_ONLY = {1, 2}
_ANY = {"", "any"}


def protocol_number(protocol: str) -> int:
    """The IANA number of a protocol that `checked_protocol` let through."""
    return PROTOCOL_NUMBERS[protocol] if protocol in PROTOCOL_NUMBERS else int(protocol)


def checked_protocol(value: str | int | None, ethertype: Ethertype) -> str | None:
    """The protocol as a rule keeps it: a lower-case name, a number in decimal, or None for any."""
    if value is None:
        return None
    text = str(value).strip().lower()
    if text in _ANY:
        return None
    known = text in PROTOCOL_NUMBERS or (text.isascii() and text.isdecimal() and len(text) <= 3 and int(text) <= 255)
    if not known:
        raise Invalid(
            f"Security group rule protocol {text[:64]} not supported. Only protocol values "
            f"{sorted(PROTOCOL_NUMBERS)} and integer representations [0 to 255] are supported.",
            code="SecurityGroupRuleInvalidProtocol",
        )
    number = protocol_number(text)
    wrong = _IPV6_ONLY if ethertype is Ethertype.IPV4 else _IPV4_ONLY
    if number in wrong and not (text == "icmp" and ethertype is Ethertype.IPV6):
        raise Invalid(
            f"Invalid ethertype {ethertype} for protocol {text}.", code="SecurityGroupEthertypeConflictWithProtocol"
        )
    # Clients often write `icmp` for both families; in IPv6 it has a number of its own.
    return "ipv6-icmp" if text == "icmp" and ethertype is Ethertype.IPV6 else text


def check_ports(protocol: str | None, port_min: int | None, port_max: int | None) -> None:
    """Refuse a range that the protocol has no use for."""
    if port_min is None and port_max is None:
        return
    if protocol is None:
        raise Invalid(
            "Must also specify protocol if port range is given.", code="SecurityGroupProtocolRequiredWithPorts"
        )
    number = protocol_number(protocol)
    if number in _WITH_PORTS:
        _check_port_range(protocol, port_min, port_max)
    elif number in _ICMP:
        _check_icmp(port_min, port_max)
    else:
        raise Invalid(f"Port range cannot be specified for protocol {protocol}.", code="SecurityGroupInvalidPortRange")


def _check_port_range(protocol: str, port_min: int | None, port_max: int | None) -> None:
    for value in (port_min, port_max):
        if value is not None and not 1 <= value <= 65535:
            raise Invalid(f"Invalid value for port {value}.", code="SecurityGroupInvalidPortValue")
    if port_min is None or port_max is None or port_min > port_max:
        raise Invalid(
            f"For {protocol}, both ends of the range must be given and port_range_min must be <= port_range_max.",
            code="SecurityGroupInvalidPortRange",
        )


def _check_icmp(kind: int | None, code: int | None) -> None:
    for field, value in (("type", kind), ("code", code)):
        if value is not None and not 0 <= value <= 255:
            raise Invalid(
                f"Invalid value for ICMP {field} ({value}). It must be 0 to 255.", code="SecurityGroupInvalidIcmpValue"
            )
    if kind is None:
        raise Invalid(
            f"ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing.",
            code="SecurityGroupMissingIcmpType",
        )


def checked_prefix(value: str | None, ethertype: Ethertype) -> str | None:
    """The remote prefix in its usual form; a single address gets its full mask."""
    if value is None:
        return None
    try:
        prefix = ip_network(value, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise Invalid(
            f"Invalid input for remote_ip_prefix. Reason: '{value[:64]}' is not a valid IP subnet.",
            code="HTTPBadRequest",
        ) from None
    family = IPv4Network if ethertype is Ethertype.IPV4 else IPv6Network
    if not isinstance(prefix, family):
        raise Invalid(
            f"Conflicting value ethertype {ethertype} for CIDR {prefix}", code="SecurityGroupRuleParameterConflict"
        )
    return str(prefix)
