"""What a guest does on its card: DHCP, ping, TCP, HTTP, and what a hostile one tries. One order a line, as JSON.

Standard library alone, and nothing of the product: it must not repeat the product's own mistakes.
"""

import contextlib
import http.client
import json
import os
import select
import socket
import struct
import sys
import time
import traceback
from typing import Any

CARD = "eth0"
PATIENCE_S = 2.0
BROADCAST = b"\xff" * 6


def own_mac() -> bytes:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as card:
        card.bind((CARD, 0))
        return bytes(card.getsockname()[4])


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def udp_frame(source: tuple[bytes, str, int], target: tuple[bytes, str, int], payload: bytes) -> bytes:
    (source_mac, source_ip, source_port), (target_mac, target_ip, target_port) = source, target
    udp = struct.pack("!HHHH", source_port, target_port, 8 + len(payload), 0) + payload
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0,
        20 + len(udp),
        1,
        0,
        64,
        17,
        0,
        socket.inet_aton(source_ip),
        socket.inet_aton(target_ip),
    )
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return target_mac + source_mac + b"\x08\x00" + head + udp


def arp_frame(sender_mac: bytes, sender_ip: str, target_ip: str, *, from_mac: bytes, reply: bool = False) -> bytes:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2 if reply else 1)
    body += sender_mac + socket.inet_aton(sender_ip) + b"\0" * 6 + socket.inet_aton(target_ip)
    return BROADCAST + from_mac + b"\x08\x06" + body


class Card:
    """The card, frame by frame."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind((CARD, 0))

    def __enter__(self) -> "Card":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def frames(self, seconds: float = PATIENCE_S) -> Any:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and select.select([self.socket], [], [], left)[0]:
            frame, origin = self.socket.recvfrom(65535)
            if origin[2] != socket.PACKET_OUTGOING:
                yield frame


def dhcp_message(kind: int, mac: bytes, transaction: int, extra: bytes = b"", ciaddr: str = "0.0.0.0") -> bytes:
    head = struct.pack("!BBBBIHH4s", 1, 1, 6, 0, transaction, 0, 0, socket.inet_aton(ciaddr)) + b"\0" * 12
    head += mac.ljust(16, b"\0") + b"\0" * 192 + b"\x63\x82\x53\x63"
    return head + bytes([53, 1, kind]) + extra + b"\xff"


def dhcp_answer(frame: bytes, transaction: int) -> tuple[str, dict[int, bytes]] | None:
    if frame[12:14] != b"\x08\x00" or frame[23] != 17 or frame[34:38] != struct.pack("!HH", 67, 68):
        return None
    udp = frame[34:]
    pseudo = frame[26:34] + struct.pack("!BBH", 0, 17, len(udp[: struct.unpack("!H", udp[4:6])[0]]))
    assert checksum(pseudo + udp[: struct.unpack("!H", udp[4:6])[0]]) == 0, "UDP checksum"
    assert checksum(frame[14:34]) == 0, "IP checksum"
    message = udp[8:]
    if struct.unpack("!I", message[4:8])[0] != transaction:
        return None
    options, at = {}, 240
    while message[at] != 255:
        code, length = message[at], message[at + 1]
        options[code] = message[at + 2 : at + 2 + length]
        at += 2 + length
    return socket.inet_ntoa(message[16:20]), options


def exchange(card: Card, mac: bytes, kind: int, transaction: int, extra: bytes = b"") -> tuple[str, dict[int, bytes]]:
    message = dhcp_message(kind, mac, transaction, extra)
    for _ in range(5):
        card.socket.send(udp_frame((mac, "0.0.0.0", 68), (BROADCAST, "255.255.255.255", 67), message))
        for frame in card.frames(1.0):
            if (answer := dhcp_answer(frame, transaction)) is not None:
                assert frame[:6] == mac, "answered to one card alone"
                return answer
    raise AssertionError("no DHCP answer")


def dhcp(requested: str | None = None) -> dict[str, Any]:
    mac, transaction = own_mac(), int.from_bytes(os.urandom(4), "big")
    with Card() as card:
        offered, options = exchange(card, mac, 1, transaction)
        assert options[53] == b"\x02", "an offer"
        asked = socket.inet_aton(requested or offered)
        given, options = exchange(card, mac, 3, transaction, b"\x32\x04" + asked + b"\x36\x04" + options[54])
    return {
        "kind": options[53][0],
        "address": given,
        "prefix_length": bin(int.from_bytes(options.get(1, b""), "big")).count("1"),
        "router": socket.inet_ntoa(options[3]) if 3 in options else None,
        "nameservers": [socket.inet_ntoa(options[6][at : at + 4]) for at in range(0, len(options.get(6, b"")), 4)],
        "hostname": options.get(12, b"").decode(),
        "mtu": int.from_bytes(options.get(26, b""), "big"),
        "routes": classless(options.get(121, b"")),
    }


def classless(data: bytes) -> list[tuple[str, str]]:
    routes, at = [], 0
    while at < len(data):
        bits = data[at]
        size = (bits + 7) // 8
        prefix = socket.inet_ntoa(data[at + 1 : at + 1 + size].ljust(4, b"\0"))
        routes.append((f"{prefix}/{bits}", socket.inet_ntoa(data[at + 1 + size : at + 5 + size])))
        at += 5 + size
    return routes


def dhcp_heard(seconds: float) -> int:
    """How many DHCP requests of others reach this card."""
    with Card() as card:
        return sum(
            frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[36:38] == b"\0\x43"
            for frame in card.frames(seconds)
        )


def ping(address: str, tries: int = 3, size: int = 8, wait_s: float = 0.5) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as icmp:
        icmp.settimeout(wait_s)
        for number in range(tries):
            body = struct.pack("!BBHHH", 8, 0, 0, 0, number) + b"x" * size
            with contextlib.suppress(OSError):
                icmp.sendto(body, (address, 0))
                return len(icmp.recv(65535)) == len(body)
    return False


listeners: dict[int, socket.socket] = {}
peers: dict[int, socket.socket] = {}


def listen(port: int) -> None:
    listeners[port] = socket.create_server(("0.0.0.0", port))


def accept(port: int) -> str:
    listeners[port].settimeout(PATIENCE_S)
    peers[port], origin = listeners[port].accept()
    return str(origin[0])


def connect(address: str, port: int, wait_s: float = 1.0, keep: bool = False) -> bool:
    try:
        made = socket.create_connection((address, port), timeout=wait_s)
    except OSError:
        return False
    if keep:
        peers[port] = made
    else:
        made.close()
    return True


def say(port: int, text: str) -> None:
    peers[port].sendall(text.encode())


def hear(port: int, wait_s: float = 1.0) -> str:
    peers[port].settimeout(wait_s)
    try:
        return peers[port].recv(1000).decode()
    except TimeoutError:
        return ""


def http_get(path: str, address: str = "169.254.169.254", verb: str = "GET") -> dict[str, Any]:
    connection = http.client.HTTPConnection(address, 80, timeout=5)
    connection.request(verb, path)
    answer = connection.getresponse()
    return {"status": answer.status, "type": answer.getheader("content-type"), "body": answer.read().decode()}


def raw_http(text: str) -> str:
    with socket.create_connection(("169.254.169.254", 80), timeout=5) as connection:
        connection.sendall(text.encode())
        return connection.makefile("rb").read().decode()


def spoof_udp(mac: str | None, address: str, target_mac: str, target: str, port: int = 9999) -> None:
    """A datagram whose sender is not who it says."""
    source = bytes.fromhex(mac.replace(":", "")) if mac else own_mac()
    frame = udp_frame((source, address, port), (bytes.fromhex(target_mac.replace(":", "")), target, port), b"spoofed")
    with Card() as card:
        card.socket.send(frame)


def spoof_arp(mac: str | None, address: str, target: str) -> None:
    """An ARP answer for an address that is not this card's."""
    sender = bytes.fromhex(mac.replace(":", "")) if mac else own_mac()
    with Card() as card:
        card.socket.send(arp_frame(sender, address, target, from_mac=sender, reply=True))


def heard(needle: str, seconds: float) -> int:
    """How many frames that hold the bytes reach this card within the time; it returns at the first."""
    wanted = bytes.fromhex(needle)
    with Card() as card:
        print(json.dumps({"answer": "listening"}), flush=True)
        for frame in card.frames(seconds):
            if wanted in frame:
                return 1
    return 0


ORDERS = {
    order.__name__: order
    for order in (
        dhcp,
        dhcp_heard,
        ping,
        listen,
        accept,
        connect,
        say,
        hear,
        http_get,
        raw_http,
        spoof_udp,
        spoof_arp,
        heard,
    )
}


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = {"answer": ORDERS[order.pop("order")](**order)}
        except Exception:
            answer = {"fault": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
