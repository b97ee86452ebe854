"""Which connections the kernel tracks, and how it is made to forget one (nfnetlink, by pyroute2). Blocking."""

import errno
import socket
from collections.abc import Iterable

from pyroute2 import Conntrack
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

from net.dataplane.model import Flow

_WITH_PORTS = {socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_SCTP, socket.IPPROTO_UDPLITE, 33}


def flows(zone: int) -> list[Flow]:
    """The IPv4 connections of a zone, as their first packet was."""
    with Conntrack() as conntrack:
        # Read whole before anything is deleted: the kernel walks the same table.
        found = list(conntrack.dump(zone=zone))
    return [_flow(zone, entry.get("cta_tuple_orig")) for entry in found if entry["nfgen_family"] == socket.AF_INET]


def _flow(zone: int, original: object) -> Flow:
    address = original.get("cta_tuple_ip")  # type: ignore[attr-defined]  # pyroute2 ships no types
    protocol = original.get("cta_tuple_proto")  # type: ignore[attr-defined]
    return Flow(
        zone=zone,
        protocol=protocol.get("cta_proto_num"),
        source=address.get("cta_ip_v4_src"),
        destination=address.get("cta_ip_v4_dst"),
        source_port=protocol.get("cta_proto_src_port") or 0,
        destination_port=protocol.get("cta_proto_dst_port") or 0,
        icmp_type=protocol.get("cta_proto_icmp_type") or 0,
        icmp_code=protocol.get("cta_proto_icmp_code") or 0,
        icmp_id=protocol.get("cta_proto_icmp_id") or 0,
    )


def forget(flows: Iterable[Flow]) -> None:
    """Forget the connections; one that ended by itself meanwhile is forgotten already."""
    with Conntrack() as conntrack:
        for flow in flows:
            try:
                conntrack.entry("del", zone=flow.zone, tuple_orig=_tuple(flow))
            except NetlinkError as fault:
                if fault.code != errno.ENOENT:
                    raise


def _tuple(flow: Flow) -> NFCTAttrTuple:
    numbers = {}
    if flow.protocol in _WITH_PORTS:
        numbers = {"sport": flow.source_port, "dport": flow.destination_port}
    elif flow.protocol == socket.IPPROTO_ICMP:
        numbers = {"icmp_id": flow.icmp_id, "icmp_type": flow.icmp_type, "icmp_code": flow.icmp_code}
    return NFCTAttrTuple(saddr=flow.source, daddr=flow.destination, proto=flow.protocol, **numbers)
