"""Networks, subnets, ports and groups as the log changes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.addresses import AddressPool
from net.networks.commands import DeleteNetwork, DeleteSubnet, NetworkChange, SubnetChange, UpdateNetwork, UpdateSubnet
from net.networks.model import FixedIp, Network, NetworkUse, Subnet, WantedIp
from net.ports.commands import DeletePort, PortChange, ReportPorts, UpdatePort, bind_port, unbind_port
from net.ports.model import Port
from net.security_groups.commands import (
    CreateSecurityGroup,
    DeleteSecurityGroup,
    default_group,
)
from net.security_groups.model import DefaultGroupIds, SecurityGroup, SecurityGroupRule
from noded.core.errors import Conflict, Invalid, NotFound, Refused
from noded.core.ids import NodeId, PortId, Revision
from tests.unit.net.builders import NOW, OTHER_PROJECT, PROJECT, Store, counting, network, port, subnet


@pytest.fixture
def store() -> Store:
    made = Store()
    made.apply(network(), subnet())
    return made


def addresses(store: Store, port_id: str) -> list[str]:
    return [fixed.ip_address for fixed in store.view.need(Port, port_id).fixed_ips]


def test_the_lowest_free_address_is_handed_out_and_a_freed_one_is_used_again(store: Store) -> None:
    for name in ("p1", "p2", "p3"):
        store.apply(port(name))
    assert [addresses(store, name) for name in ("p1", "p2", "p3")] == [["10.1.0.2"], ["10.1.0.3"], ["10.1.0.4"]]
    store.apply(DeletePort(port_id=PortId("p2")))
    store.apply(port("p4"))
    assert addresses(store, "p4") == ["10.1.0.3"]


def test_an_exhausted_pool_refuses_and_changes_nothing() -> None:
    store = Store()
    store.apply(network(), subnet(pools=(AddressPool("10.1.0.10", "10.1.0.11"),)))
    store.apply(port("p1"), port("p2"))
    with pytest.raises(Conflict) as refused:
        store.apply(port("p3"))
    assert refused.value.code == "IpAddressGenerationFailure"
    assert store.view.count(Port) == store.view.count(NetworkUse) == 2


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (WantedIp(ip_address="10.1.0.5"), "IpAddressAlreadyAllocated"),
        (WantedIp(ip_address="10.9.0.5"), "InvalidIpForNetwork"),
        (WantedIp(ip_address="10.1.0.255"), "InvalidIpForNetwork"),
        (WantedIp(ip_address="10.9.0.5", subnet_id="sub-1"), "InvalidIpForSubnet"),
        (WantedIp(subnet_id="sub-9"), "InvalidInput"),
        (WantedIp(ip_address="what"), "HTTPBadRequest"),
    ],
)
def test_an_address_that_cannot_be_had_is_refused_by_its_name(store: Store, wish: WantedIp, code: str) -> None:
    store.apply(port("p1", fixed_ips=(WantedIp(ip_address="10.1.0.5"),)))
    with pytest.raises(Refused) as refused:
        store.apply(port("p2", fixed_ips=(wish,)))
    assert refused.value.code == code


def test_a_port_update_keeps_the_address_of_a_subnet_that_it_names_alone(store: Store) -> None:
    store.apply(port("p1", fixed_ips=(WantedIp(ip_address="10.1.0.9"),)))
    store.apply(
        UpdatePort(
            port_id=PortId("p1"),
            change=PortChange(name="new"),
            fixed_ips=(WantedIp(subnet_id="sub-1"), WantedIp(subnet_id="sub-1")),
            now_ms=NOW + 1,
        )
    )
    changed = store.view.need(Port, "p1")
    assert (changed.name, changed.generation) == ("new", 2)
    assert sorted(fixed.ip_address for fixed in changed.fixed_ips) == ["10.1.0.2", "10.1.0.9"]
    assert store.view.find(NetworkUse, "addresses", FixedIp("sub-1", "10.1.0.2"))


def test_networks_and_subnets_in_use_stay_and_go_when_their_ports_went(store: Store) -> None:
    store.apply(port("p1"))
    for command, code in (
        (DeleteNetwork(network_id="net-1"), "NetworkInUse"),
        (DeleteSubnet(subnet_id="sub-1"), "SubnetInUse"),
    ):
        with pytest.raises(Conflict) as refused:
            store.apply(command)
        assert refused.value.code == code
    store.apply(DeletePort(port_id=PortId("p1")))
    store.apply(DeleteNetwork(network_id="net-1"))
    assert store.view.count(Network) == store.view.count(Subnet) == 0


def test_two_networks_may_have_the_same_range_but_one_network_may_not_have_it_twice(store: Store) -> None:
    store.apply(network("net-2"), subnet("sub-2", "net-2"))
    with pytest.raises(Invalid, match="overlaps with another subnet"):
        store.apply(subnet("sub-3", "net-1", "10.1.0.128/25", None))


def test_a_vni_is_not_given_again_after_its_network_went(store: Store) -> None:
    first = store.view.need(Network, "net-1").vni
    store.apply(DeleteNetwork(network_id="net-1"))
    store.apply(network("net-2"))
    assert store.view.need(Network, "net-2").vni == first + 1


def test_a_shared_network_stays_shared_while_others_use_it(store: Store) -> None:
    store.apply(UpdateNetwork(network_id="net-1", change=NetworkChange(shared=True), now_ms=NOW))
    store.apply(port("p1", project_id=OTHER_PROJECT))
    with pytest.raises(Conflict) as refused:
        store.apply(UpdateNetwork(network_id="net-1", change=NetworkChange(shared=False), now_ms=NOW))
    assert refused.value.code == "InvalidSharedSetting"


def test_the_first_port_of_a_project_makes_its_default_group_and_the_second_finds_it(store: Store) -> None:
    store.apply(port("p1"), port("p2"))
    group = default_group(store.view, PROJECT)
    assert group is not None
    assert {store.view.need(Port, name).security_groups for name in ("p1", "p2")} == {(group.id,)}
    rules = store.view.find(SecurityGroupRule, "group_id", group.id)
    assert sorted((rule.direction, rule.ethertype, rule.remote_group_id) for rule in rules if rule.remote_group_id) == [
        ("ingress", "IPv4", group.id),
        ("ingress", "IPv6", group.id),
    ]
    assert len(rules) == 4


def test_a_group_in_use_stays_and_a_deleted_one_takes_the_rules_that_name_it(store: Store) -> None:
    ids = counting("id")
    create = CreateSecurityGroup(
        group_id="web",
        egress_rule_ids=("e4", "e6"),
        project_id=PROJECT,
        name="web",
        default_group=DefaultGroupIds.drawn(ids),
        now_ms=NOW,
    )
    store.apply(create, port("p1", security_groups=("web",)))
    with pytest.raises(Conflict) as refused:
        store.apply(DeleteSecurityGroup(group_id="web"))
    assert refused.value.code == "SecurityGroupInUse"
    store.apply(DeletePort(port_id=PortId("p1")), DeleteSecurityGroup(group_id="web"))
    assert [group.name for group in store.view.all(SecurityGroup)] == ["default"]
    assert store.view.find(SecurityGroupRule, "group_id", "web") == []


def test_a_group_of_another_project_is_not_found(store: Store) -> None:
    store.apply(port("p1"))
    group = default_group(store.view, PROJECT)
    assert group is not None
    with pytest.raises(NotFound) as refused:
        store.apply(port("p2", project_id=OTHER_PROJECT, security_groups=(group.id,)))
    assert refused.value.code == "SecurityGroupNotFound"


def test_a_bound_port_serves_one_device_and_reports_only_from_its_node(store: Store) -> None:
    here, there = NodeId("1" * 32), NodeId("2" * 32)
    store.apply(port("p1"))
    change = store.view.begin(Revision(9))
    bind_port(change, PortId("p1"), here, "server-1")
    with pytest.raises(Conflict) as refused:
        bind_port(change, PortId("p1"), here, "server-2")
    assert refused.value.code == "PortInUse"
    ReportPorts(node_id=there, up=(PortId("p1"),)).apply(change)
    assert not change.need(Port, "p1").up
    ReportPorts(node_id=here, up=(PortId("p1"),)).apply(change)
    assert change.need(Port, "p1").up
    bind_port(change, PortId("p1"), there, "server-1")
    assert not change.need(Port, "p1").up, "the new node has not said so yet"
    unbind_port(change, PortId("p1"))
    assert change.find(Port, "device_id", "server-1") == []


def test_a_mac_is_unique_in_its_network_only(store: Store) -> None:
    store.apply(network("net-2"), port("p1", mac="fa:16:3e:00:00:01"))
    store.apply(port("p2", "net-2", mac="fa:16:3e:00:00:01"))
    with pytest.raises(Conflict) as refused:
        store.apply(port("p3", mac="fa:16:3e:00:00:01"))
    assert refused.value.code == "MacAddressInUse"


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("take"), st.integers(0, 7)),
            st.tuples(st.just("exact"), st.integers(0, 7), st.integers(2, 9)),
            st.tuples(st.just("free"), st.integers(0, 7)),
            st.tuples(st.just("pools"), st.integers(2, 9)),
        ),
        max_size=40,
    )
)
def test_whatever_was_taken_and_freed_the_lowest_free_address_comes_next(steps: list[tuple[str, int]]) -> None:
    store, last = Store(), 9
    store.apply(network(), subnet(pools=(AddressPool("10.1.0.2", "10.1.0.9"),)))
    held: dict[str, str] = {}
    for step, number, *rest in steps:
        name = f"p{number}"
        free = [at for at in range(2, last + 1) if f"10.1.0.{at}" not in held.values()]
        if step == "pools":
            last = number
            change = SubnetChange(pools=(AddressPool("10.1.0.2", f"10.1.0.{last}"),))
            store.apply(UpdateSubnet(subnet_id="sub-1", change=change, now_ms=NOW))
        elif step == "free" and name in held:
            store.apply(DeletePort(port_id=PortId(name)))
            del held[name]
        elif step == "exact" and name not in held and f"10.1.0.{rest[0]}" not in held.values():
            store.apply(port(name, fixed_ips=(WantedIp(ip_address=f"10.1.0.{rest[0]}"),)))
            held[name] = f"10.1.0.{rest[0]}"
        elif step == "take" and name not in held and free:
            store.apply(port(name))
            assert addresses(store, name) == [f"10.1.0.{free[0]}"]
            held[name] = f"10.1.0.{free[0]}"
