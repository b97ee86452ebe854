"""DHCP, byte by byte. Real clients are asked in tests/contract/test_net_host.py."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.dataplane.dhcp import Kind, parse_request, reply
from net.dataplane.model import Lease
from noded.core.ids import PortId

MAC = "fa:16:3e:00:00:01"
LEASE = Lease(
    port_id=PortId("p"),
    mac=MAC,
    ip_address="10.1.0.2",
    prefix_length=20,
    gateway="10.1.0.1",
    mtu=1450,
    nameservers=("9.9.9.9", "1.1.1.1"),
    routes=(("10.200.0.0/14", "10.1.0.9"),),
)


def payload(kind: int, options: bytes = b"", ciaddr: bytes = bytes(4), flags: int = 0) -> bytes:
    head = struct.pack("!BBBBIHH4s", 1, 1, 6, 0, 0xABCD, 0, flags, ciaddr) + bytes(12)
    card = bytes.fromhex(MAC.replace(":", "")) + bytes(10)
    return head + card + bytes(192) + b"\x63\x82\x53\x63" + bytes([53, 1, kind]) + options + b"\xff"


def answer(kind: int, options: bytes = b"", lease: Lease = LEASE, **fields: object) -> bytes | None:
    request = parse_request(payload(kind, options, **fields))  # type: ignore[arg-type]
    assert request is not None
    return reply(request, lease, "web-1", "02:6e:6d:00:00:64")


def options_of(frame: bytes) -> dict[int, bytes]:
    data, found, at = frame[42 + 240 :], {}, 0
    while data[at] != 255:
        found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found


ASK = b"\x32\x04" + bytes([10, 1, 0, 2])
SERVER = b"\x36\x04" + bytes([169, 254, 169, 254])


def test_an_offer_says_everything_that_a_guest_needs() -> None:
    frame = answer(Kind.DISCOVER)
    assert frame is not None
    options = options_of(frame)
    assert options[53] == bytes([Kind.OFFER])
    assert options[1] == bytes([255, 255, 240, 0])
    assert options[26] == (1450).to_bytes(2, "big")
    assert options[6] == bytes([9, 9, 9, 9, 1, 1, 1, 1])
    assert options[12] == b"web-1"
    on_the_link, route, default = options[121][:9], options[121][9:16], options[121][16:]
    assert on_the_link == bytes([32, 169, 254, 169, 254, 0, 0, 0, 0])
    assert route == bytes([14, 10, 200, 10, 1, 0, 9]), "as many bytes as the prefix has"
    assert default == bytes([0, 10, 1, 0, 1])


def test_a_subnet_without_gateway_has_no_default_route() -> None:
    frame = answer(Kind.DISCOVER, lease=replace(LEASE, gateway=None, routes=()))
    assert frame is not None
    assert 3 not in options_of(frame)
    assert options_of(frame)[121] == bytes([32, 169, 254, 169, 254, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("kind", "options", "fields", "expected"),
    [
        (Kind.REQUEST, ASK + SERVER, {}, Kind.ACK),
        (Kind.REQUEST, ASK, {}, Kind.ACK),  # rebooted: it remembers
        (Kind.REQUEST, b"", {"ciaddr": bytes([10, 1, 0, 2])}, Kind.ACK),  # renews
        (Kind.REQUEST, b"\x32\x04" + bytes([10, 1, 0, 3]), {}, Kind.NAK),
        (Kind.REQUEST, ASK + b"\x36\x04" + bytes([10, 1, 0, 254]), {}, None),  # it chose another server
        (Kind.INFORM, b"", {"ciaddr": bytes([10, 1, 0, 2])}, Kind.ACK),
        (Kind.RELEASE, SERVER, {}, None),
        (Kind.DECLINE, SERVER, {}, None),
        (Kind.OFFER, b"", {}, None),
    ],
)
def test_each_request_gets_its_answer(
    kind: Kind, options: bytes, fields: dict[str, bytes], expected: Kind | None
) -> None:
    frame = answer(kind, options, **fields)
    assert (None if frame is None else Kind(options_of(frame)[53][0])) == expected


@pytest.mark.parametrize(
    ("fields", "destination"),
    [
        ({}, "10.1.0.2"),
        ({"flags": 0x8000}, "255.255.255.255"),
        ({"ciaddr": bytes([10, 1, 0, 2])}, "10.1.0.2"),
    ],
)
def test_an_answer_goes_to_one_card_and_to_the_address_that_it_listens_on(
    fields: dict[str, object], destination: str
) -> None:
    frame = answer(Kind.REQUEST, ASK, **fields)
    assert frame is not None
    assert frame[:6] == bytes.fromhex(MAC.replace(":", ""))
    assert ".".join(map(str, frame[30:34])) == destination


@given(st.binary(max_size=600))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    parse_request(data)


@given(st.binary(max_size=300))
def test_no_options_break_the_parser(options: bytes) -> None:
    request = parse_request(payload(Kind.REQUEST, options))
    if request is not None:
        reply(request, LEASE, "web-1", "02:6e:6d:00:00:64")
