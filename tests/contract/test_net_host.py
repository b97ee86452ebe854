"""The dataplane and its twin keep one contract; and on a real kernel, guests get what the records say and no more."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from consensus.codec import Codec
from consensus.members.commands import AdmitNode, FoundCluster
from consensus.members.model import Node
from net.dataplane.model import bridge_mac, bridge_name
from net.host.simulated import SimulatedDataplane
from net.networks.model import HostRoute, Network
from net.ports.commands import DeletePort, PortChange, UpdatePort
from net.ports.model import AddressPair
from net.security_groups.commands import CreateSecurityGroupRule, DeleteSecurityGroupRule, default_group
from net.security_groups.model import Direction, Ethertype, SecurityGroupRule
from noded.core.command import Command
from noded.core.ids import NodeId, PortId
from noded.core.origin import of_node
from tests.contract.net.arena import Arena, Guest, Namespace, arena
from tests.contract.net.dataplane_suite import AT_LAST, COMMON
from tests.contract.net.node import SERVICES
from tests.unit.net.builders import NOW, OTHER_PROJECT, PROJECT, Store, network, port, subnet

ONE, TWO = NodeId("1" * 32), NodeId("2" * 32)
PLACES = {ONE: "10.99.0.1", TWO: "10.99.0.2"}
RED_1, RED_2, BLUE, RED_3 = (PortId(f"{number:08x}-0000-4000-8000-00000000000{number}") for number in (1, 2, 3, 4))
MACS = {RED_1: "fa:16:3e:00:00:01", RED_2: "fa:16:3e:00:00:02", BLUE: "fa:16:3e:00:00:01", RED_3: "fa:16:3e:00:00:03"}


async def test_the_twin_keeps_the_contract() -> None:
    dataplane = SimulatedDataplane()
    for check in (*COMMON, *AT_LAST):
        await check(dataplane)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")
def test_the_machine_keeps_the_contract() -> None:
    place = Namespace()
    try:
        place.run(sys.executable, "-m", "tests.contract.net.dataplane_suite")
    finally:
        place.close()


class Cloud:
    """Two hosts that follow one log, and the guests on them."""

    def __init__(self, place: Arena) -> None:
        self.arena = place
        self.store = Store()
        self.entries: list[str] = []
        self.guests: dict[PortId, Guest] = {}
        self._codec = Codec(
            [command for service in SERVICES for command in service.commands],
            [record for service in SERVICES for record in service.records],
        )

    def commit(self, *commands: Command) -> None:
        """Write an entry, and let every host make it so."""
        self.store.apply(*commands)
        self.entries.append(self._codec.encode_entry(of_node(ONE, 0), commands).hex())
        self.arena.everywhere("entry", payload=self.entries[-1])
        self.arena.everywhere("reconcile")

    def guest(self, port_id: PortId, node: NodeId) -> Guest:
        self.guests[port_id] = self.arena.hosts[node].guest(port_id, MACS[port_id])
        return self.guests[port_id]

    @property
    def group(self) -> str:
        found = default_group(self.store.view, PROJECT)
        assert found is not None
        return found.id

    def rule(self, id: str, **fields: object) -> SecurityGroupRule:
        known = {"project_id": PROJECT, "group_id": self.group, "direction": Direction.INGRESS, "created_ms": NOW}
        return SecurityGroupRule(**{"id": id, "ethertype": Ethertype.IPV4, **known, **fields})

    def add(self, *rules: SecurityGroupRule) -> None:
        self.commit(*(CreateSecurityGroupRule(rule=rule) for rule in rules))

    def remove(self, *rules: SecurityGroupRule) -> None:
        self.commit(*(DeleteSecurityGroupRule(rule_id=rule.id, now_ms=NOW) for rule in rules))

    @contextmanager
    def without_members(self) -> Iterator[None]:
        """The default group lets its own members in no more; afterwards it has the rules that it had."""
        before = self._rules()
        self.remove(*(rule for rule in before if rule.direction is Direction.INGRESS))
        try:
            yield
        finally:
            self.remove(*(rule for rule in self._rules() if rule not in before))
            self.add(*(rule for rule in before if rule not in self._rules()))

    def vni(self, network_id: str) -> int:
        return self.store.view.need(Network, network_id).vni

    def _rules(self) -> list[SecurityGroupRule]:
        return self.store.view.find(SecurityGroupRule, "group_id", self.group)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """Red: one guest on each host, in one project. Blue: another project's, with the same addresses, even the MAC."""
    if os.geteuid() != 0:
        pytest.skip("namespaces need root")
    with arena(PLACES) as place:
        made = Cloud(place)
        for port_id, node in ((RED_1, ONE), (RED_2, TWO), (BLUE, TWO)):
            made.guest(port_id, node)
        found = FoundCluster(
            cluster_id="c",
            name="c",
            authority_certificate_pem="",
            authority_key_pem="",
            founder=Node(id=ONE, name="one", addresses=("10.99.0.1",), fingerprint=ONE, admitted_at_ms=0, release="1"),
            now_ms=NOW,
        )
        admit = AdmitNode(node_id=TWO, name="two", addresses=("10.99.0.2",), fingerprint=TWO, release="1", now_ms=NOW)
        made.commit(
            found,
            admit,
            network("red"),
            subnet("red-4", "red", dns_nameservers=("9.9.9.9",), host_routes=(HostRoute("10.200.0.0/16", "10.1.0.9"),)),
            port(RED_1, "red", mac=MACS[RED_1], node_id=ONE, device_id="server-1"),
            port(RED_2, "red", mac=MACS[RED_2], node_id=TWO, device_id="server-2"),
            network("blue", project_id=OTHER_PROJECT),
            subnet("blue-4", "blue", project_id=OTHER_PROJECT),
            port(BLUE, "blue", OTHER_PROJECT, mac=MACS[BLUE], node_id=TWO, device_id="server-3"),
        )
        for number, port_id in enumerate((RED_1, RED_2, BLUE), start=1):
            made.arena.everywhere(
                "server",
                device=f"server-{number}",
                facts={
                    "uuid": f"0000000{number}-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
                    "name": f"Server {number}",
                    "hostname": f"server-{number}",
                    "project_id": PROJECT,
                    "public_keys": {"mine": "ssh-ed25519 AAAA me"},
                    "user_data": "#!/bin/sh\necho hello\n" if number == 1 else "",
                },
            )
            made.guests[port_id].configure()
        yield made


@pytest.fixture
def red_1(cloud: Cloud) -> Guest:
    return cloud.guests[RED_1]


@pytest.fixture
def red_2(cloud: Cloud) -> Guest:
    return cloud.guests[RED_2]


@pytest.fixture
def blue(cloud: Cloud) -> Guest:
    return cloud.guests[BLUE]


@pytest.mark.root
def test_dhcp_tells_each_guest_its_own(cloud: Cloud, red_1: Guest, red_2: Guest, blue: Guest) -> None:
    first = red_1.ask("dhcp")
    assert first == {
        "kind": 5,
        "address": "10.1.0.2",
        "prefix_length": 24,
        "router": "10.1.0.1",
        "nameservers": ["9.9.9.9"],
        "hostname": "server-1",
        "mtu": 1450,
        "routes": [["169.254.169.254/32", "0.0.0.0"], ["10.200.0.0/16", "10.1.0.9"], ["0.0.0.0/0", "10.1.0.1"]],
    }
    assert (red_2.ask("dhcp")["address"], red_2.ask("dhcp")["hostname"]) == ("10.1.0.3", "server-2")
    assert (blue.ask("dhcp")["address"], blue.ask("dhcp")["nameservers"]) == ("10.1.0.2", [])


@pytest.mark.root
def test_dhcp_refuses_an_address_that_is_not_the_guests(red_1: Guest) -> None:
    assert red_1.ask("dhcp", requested="10.1.0.77")["kind"] == 6, "a NAK"


@pytest.mark.root
def test_dhcp_requests_stay_on_their_host(red_1: Guest, red_2: Guest) -> None:
    red_2.agent.tell("dhcp_heard", seconds=0.5)
    red_1.ask("dhcp")
    assert red_2.agent.hear() == 0


@pytest.mark.root
def test_members_of_a_group_reach_each_other_across_hosts_with_full_packets(red_1: Guest, red_2: Guest) -> None:
    assert red_1.reaches("10.1.0.3")
    assert red_2.reaches("10.1.0.2", size=1450 - 28)


@pytest.mark.root
def test_equal_addresses_of_another_project_are_another_world(red_1: Guest, red_2: Guest, blue: Guest) -> None:
    assert not blue.reaches("10.1.0.3", tries=1), "red's second guest, on blue's own host"
    assert red_2.reaches("10.1.0.2"), "that is red's first guest, although blue's is nearer"
    assert red_1.ask("http_get", path="/latest/meta-data/hostname")["body"] == "server-1"
    assert blue.ask("http_get", path="/latest/meta-data/hostname")["body"] == "server-3"


@pytest.mark.root
def test_known_addresses_are_not_asked_for_over_the_tunnel(red_1: Guest, red_2: Guest) -> None:
    red_1.place.run("ip", "neigh", "flush", "dev", "eth0")
    red_2.agent.tell("heard", needle="00010800060400 01".replace(" ", "") + MACS[RED_1].replace(":", ""), seconds=0.5)
    assert red_2.agent.hear() == "listening"
    assert red_1.reaches("10.1.0.3")
    assert red_2.agent.hear() == 0, "an ARP request of red's first guest"
    assert MACS[RED_2] in red_1.place.run("ip", "neigh", "show", "10.1.0.3"), "and yet it was answered"


@pytest.mark.root
def test_metadata_has_both_layouts(red_1: Guest, red_2: Guest) -> None:
    def get(path: str) -> str:
        answer = red_1.ask("http_get", path=path)
        assert answer["status"] == 200, path
        return str(answer["body"])

    assert "latest" in get("/openstack").split("\n")
    assert get("/openstack/latest/").split("\n") == [
        "meta_data.json", "network_data.json", "user_data", "vendor_data.json", "vendor_data2.json",
    ]  # fmt: skip
    assert '"public_keys":{"mine":"ssh-ed25519 AAAA me"}' in get("/openstack/latest/meta_data.json")
    assert get("/openstack/latest/user_data") == get("/latest/user-data") == "#!/bin/sh\necho hello\n"
    assert get("/latest/meta-data/public-keys/") == "0=mine"
    assert get("/latest/meta-data/public-keys/0/openssh-key") == "ssh-ed25519 AAAA me"
    assert get("/latest/meta-data/local-ipv4") == "10.1.0.2"
    assert "instance-id" in get("/latest/meta-data/").split("\n")
    assert red_1.ask("http_get", path="/nothing")["status"] == 404
    assert red_1.ask("http_get", path="/openstack", verb="POST")["status"] == 405
    assert red_2.ask("http_get", path="/openstack/latest/user_data")["status"] == 404, "it has none"
    assert red_1.ask("raw_http", text="nonsense\r\n\r\n") == "", "no HTTP, no answer"


@pytest.mark.root
def test_strangers_are_kept_out_until_a_rule_lets_them_in(cloud: Cloud, red_1: Guest, red_2: Guest) -> None:
    with cloud.without_members():
        assert not red_1.reaches("10.1.0.3", tries=1)
        red_2.ask("listen", port=8080)
        assert not red_1.ask("connect", address="10.1.0.3", port=8080)
        cloud.add(cloud.rule("tcp", protocol="tcp", port_min=8000, port_max=8080, remote_ip_prefix="10.1.0.0/24"))
        assert red_1.ask("connect", address="10.1.0.3", port=8080)
        assert not red_1.reaches("10.1.0.3", tries=1), "ping is another protocol"
        cloud.add(cloud.rule("ping", protocol="icmp", port_min=8, port_max=0))
        assert red_1.reaches("10.1.0.3")


@pytest.mark.root
def test_a_rule_that_goes_ends_what_it_allowed(cloud: Cloud, red_1: Guest, red_2: Guest) -> None:
    with cloud.without_members():
        live = cloud.rule("live", protocol="tcp", port_min=9000, port_max=9000)
        cloud.add(live)
        red_2.ask("listen", port=9000)
        assert red_1.ask("connect", address="10.1.0.3", port=9000, keep=True)
        assert red_2.ask("accept", port=9000) == "10.1.0.2"
        cloud.add(cloud.rule("other", protocol="tcp", port_min=9001, port_max=9001))
        red_2.ask("say", port=9000, text="still there")
        assert red_1.ask("hear", port=9000) == "still there", "what stays allowed goes on"
        cloud.remove(live)
        red_1.ask("say", port=9000, text="one")
        assert red_2.ask("hear", port=9000, wait_s=0.5) == ""
        cloud.add(cloud.rule("again", remote_group_id=cloud.group))
        assert red_2.ask("hear", port=9000, wait_s=5) == "one", "TCP sends it again, and now it may pass"


@pytest.mark.root
def test_nobody_speaks_in_anothers_name(red_1: Guest, red_2: Guest) -> None:
    marker = b"spoofed".hex()

    def arrives(**values: object) -> bool:
        red_2.agent.tell("heard", needle=marker, seconds=0.5)
        assert red_2.agent.hear() == "listening"
        red_1.ask("spoof_udp", target_mac=MACS[RED_2], target="10.1.0.3", **values)
        return bool(red_2.agent.hear())

    assert arrives(mac=None, address="10.1.0.2"), "its own name is fine"
    assert not arrives(mac=None, address="10.1.0.99"), "another IP address"
    assert not arrives(mac="fa:16:3e:00:00:99", address="10.1.0.2"), "another MAC address"
    assert not arrives(mac=None, address="169.254.169.254"), "the metadata service's"
    assert not arrives(mac=None, address="10.1.0.2", port=67), "a DHCP server's port"


@pytest.mark.root
def test_nobody_claims_anothers_address_by_arp(red_1: Guest, red_2: Guest) -> None:
    def arrives(mac: str | None, address: str) -> bool:
        red_2.agent.tell("heard", needle=bytes(map(int, address.split("."))).hex(), seconds=0.5)
        assert red_2.agent.hear() == "listening"
        red_1.ask("spoof_arp", mac=mac, address=address, target="10.1.0.250")
        return bool(red_2.agent.hear())

    assert not arrives(None, "10.1.0.1"), "the gateway's"
    assert not arrives(None, "169.254.169.254")
    assert not arrives("fa:16:3e:00:00:99", "10.1.0.2")


@pytest.mark.root
def test_an_allowed_address_pair_may_be_used(cloud: Cloud, red_1: Guest, red_2: Guest) -> None:
    def arrives() -> bool:
        red_2.agent.tell("heard", needle=b"spoofed".hex(), seconds=0.5)
        assert red_2.agent.hear() == "listening"
        red_1.ask("spoof_udp", mac=None, address="10.1.0.200", target_mac=MACS[RED_2], target="10.1.0.3")
        return bool(red_2.agent.hear())

    assert not arrives()
    for pairs, passes in (((AddressPair("10.1.0.200", MACS[RED_1]),), True), ((), False)):
        cloud.commit(UpdatePort(port_id=RED_1, change=PortChange(allowed_address_pairs=pairs), now_ms=NOW))
        assert arrives() is passes


@pytest.mark.root
def test_a_guest_cannot_talk_to_the_machine_that_carries_it(cloud: Cloud, red_1: Guest) -> None:
    host = cloud.arena.hosts[ONE]
    bridge = bridge_name(cloud.vni("red"))
    red_1.place.run("ip", "neigh", "replace", host.address, "lladdr", bridge_mac(cloud.vni("red")), "dev", "eth0")
    red_1.place.run("ip", "route", "replace", f"{host.address}/32", "dev", "eth0")
    # Even where the machine itself would know the way back.
    host.place.run("ip", "route", "replace", "10.1.0.2/32", "dev", bridge)
    assert not red_1.reaches(host.address, tries=1)
    assert cloud.arena.hosts[TWO].place.run("ping", "-c1", "-W2", host.address), "other nodes can"


@pytest.mark.root
def test_a_restarted_daemon_finds_everything_and_no_packet_is_lost(cloud: Cloud, red_1: Guest, red_2: Guest) -> None:
    host = cloud.arena.hosts[ONE]
    before = host.agent.ask("observe")
    red_2.agent.tell("ping", address="10.1.0.2", tries=1, wait_s=5)
    host.agent.close()
    assert red_2.agent.hear() is True
    assert red_2.reaches("10.1.0.2", tries=1), "the packets' way needs no daemon"
    host.restart(ONE)
    for entry in cloud.entries:
        host.agent.ask("entry", payload=entry)
    host.agent.ask("reconcile")
    assert host.agent.ask("observe") == before
    assert red_1.ask("dhcp")["address"] == "10.1.0.2", "and the services are back"


@pytest.mark.root
def test_a_deleted_ports_tap_goes_and_its_network_with_the_last(cloud: Cloud, blue: Guest) -> None:
    host = cloud.arena.hosts[TWO]
    assert blue.tap in host.agent.ask("observe")["taps"]
    cloud.commit(DeletePort(port_id=BLUE))
    observed = host.agent.ask("observe")
    assert blue.tap not in observed["taps"]
    assert observed["segments"] == [cloud.vni("red")]
