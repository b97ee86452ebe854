"""What a machine must have, and the steps that lead there: decided from values alone."""

from dataclasses import replace

import pytest

from consensus.members.model import Node
from net.dataplane.desired import Desired, desired
from net.dataplane.model import (
    BuildSegment,
    BuildTap,
    LoadRules,
    Mark,
    Neighbour,
    Observed,
    Remote,
    RemoveSegment,
    RemoveTap,
    SetForwarding,
    Step,
    TapLink,
    tap_name,
)
from net.dataplane.plan import plan
from net.ports.commands import DeletePort, PortChange, UpdatePort
from noded.core.command import Command
from noded.core.ids import NodeId, PortId
from noded.core.store import Transaction, View
from tests.unit.net.builders import NOW, Store, network, port, subnet

HERE, THERE, ELSEWHERE = NodeId("1" * 32), NodeId("2" * 32), NodeId("3" * 32)
P1, P2, P3 = (PortId(f"{number:08x}-0000-4000-8000-000000000000") for number in (1, 2, 3))


class PutNode(Command, frozen=True, kw_only=True, tag="test.put_node.1"):
    """A member with an address."""

    node: Node

    def apply(self, tx: Transaction) -> None:
        tx.put(self.node)


def node(node_id: NodeId, address: str) -> PutNode:
    return PutNode(
        node=Node(id=node_id, name=address, addresses=(address,), fingerprint=node_id, admitted_at_ms=NOW, release="1")
    )


@pytest.fixture
def store() -> Store:
    """One network: a port here, a port there."""
    made = Store()
    made.apply(node(HERE, "10.0.0.1"), node(THERE, "10.0.0.2"), node(ELSEWHERE, "10.0.0.3"))
    made.apply(network(), subnet(), port(P1, node_id=HERE), port(P2, node_id=THERE))
    return made


def after(wanted: Desired) -> Observed:
    """A machine on which everything wanted is there."""
    return Observed(segments=wanted.segments, taps=wanted.taps, rules_digest=wanted.rules.digest)


def kinds(steps: list[Step]) -> list[type]:
    return [type(step) for step in steps]


def planned(view: View, observed: Observed) -> list[Step]:
    return plan(view, desired(view, HERE), observed)


def test_an_empty_machine_gets_devices_then_rules_then_taps(store: Store) -> None:
    steps = planned(store.view, Observed())
    assert kinds(steps) == [BuildSegment, SetForwarding, LoadRules, BuildTap]


def test_a_machine_that_has_everything_is_left_alone(store: Store) -> None:
    assert planned(store.view, after(desired(store.view, HERE))) == []


def test_a_segment_knows_where_the_other_ports_are_and_who_has_which_address(store: Store) -> None:
    (segment,) = desired(store.view, HERE).segments.values()
    macs = {port.port.id: port.port.mac for port in (port(P1), port(P2))}
    assert segment.local_address == "10.0.0.1"
    assert segment.peers == {"10.0.0.2"}, "only nodes with ports of the network"
    assert segment.remotes == {Remote(macs[P2], "10.0.0.2")}
    assert segment.neighbours == {Neighbour("10.1.0.2", macs[P1]), Neighbour("10.1.0.3", macs[P2])}


def test_nodes_without_ports_of_a_network_do_not_build_it(store: Store) -> None:
    assert desired(store.view, ELSEWHERE).segments == {}


def test_a_port_that_comes_elsewhere_changes_forwarding_alone(store: Store) -> None:
    before = after(desired(store.view, HERE))
    store.apply(network("net-2"), port(P3, node_id=THERE, security_groups=()))
    steps = planned(store.view, before)
    assert kinds(steps) == [SetForwarding]


def test_a_tap_goes_when_its_port_was_deleted(store: Store) -> None:
    before = after(desired(store.view, HERE))
    store.apply(DeletePort(port_id=P1))
    steps = planned(store.view, before)
    assert kinds(steps) == [LoadRules, RemoveTap, RemoveSegment]


def test_a_tap_stays_while_the_store_lags_behind_its_mark(store: Store) -> None:
    newer = TapLink(name=tap_name(P3), mark=Mark(P3, store.view.revision + 5), vni=100, mtu=1450)
    wanted = desired(store.view, HERE)
    observed = replace(after(wanted), taps={**wanted.taps, newer.name: newer})
    assert planned(store.view, observed) == [], "nothing says that its port was deleted"
    store.apply(node(HERE, "10.0.0.1"))
    assert planned(store.view, observed) == []


def test_a_network_with_a_tap_on_it_stays_whatever_the_store_says(store: Store) -> None:
    before = after(desired(store.view, HERE))
    (tap,) = before.taps.values()
    newer = replace(tap, name=tap_name(P3), mark=Mark(P3, store.view.revision + 50))
    store.apply(DeletePort(port_id=P1))
    steps = planned(store.view, replace(before, taps={tap.name: tap, newer.name: newer}))
    assert RemoveSegment not in kinds(steps)
    assert RemoveTap(tap.name) in steps


def test_a_damaged_segment_is_built_anew(store: Store) -> None:
    whole = after(desired(store.view, HERE))
    assert kinds(planned(store.view, replace(whole, incomplete=frozenset(whole.segments)))) == [BuildSegment]


def test_another_address_of_this_node_builds_the_tunnel_and_all_its_entries_anew(store: Store) -> None:
    before = after(desired(store.view, HERE))
    store.apply(node(HERE, "10.0.0.9"))
    steps = planned(store.view, before)
    assert kinds(steps) == [BuildSegment, SetForwarding, LoadRules]
    forwarding = steps[1]
    assert isinstance(forwarding, SetForwarding)
    assert forwarding.before.remotes == frozenset(), "the old tunnel took its entries along"


def test_a_tap_off_its_bridge_is_put_back(store: Store) -> None:
    before = after(desired(store.view, HERE))
    off = {name: replace(tap, vni=0) for name, tap in before.taps.items()}
    assert kinds(planned(store.view, replace(before, taps=off))) == [BuildTap]


def test_a_port_that_is_plugged_but_bound_elsewhere_gets_rules_and_no_traffic(store: Store) -> None:
    wanted = desired(store.view, HERE, [P2])
    (segment,) = wanted.segments.values()
    assert tap_name(P2) in wanted.taps
    assert tap_name(P2) in wanted.rules.text
    assert len(segment.remotes) == 1, "its frames still go where it is bound"
    assert wanted.ports == (P1,), "and nothing of it is reported"


def test_a_port_that_is_switched_off_is_mute(store: Store) -> None:
    assert tap_name(P1) in desired(store.view, HERE).rules.text
    store.apply(UpdatePort(port_id=P1, change=PortChange(admin_state_up=False), now_ms=NOW))
    assert tap_name(P1) not in desired(store.view, HERE).rules.text


def test_dhcp_and_metadata_know_this_machines_guests_alone(store: Store) -> None:
    (answers,) = desired(store.view, HERE).answers.values()
    assert list(answers.ports) == ["10.1.0.2"]
    (lease,) = answers.leases.values()
    assert (lease.ip_address, lease.prefix_length, lease.gateway) == ("10.1.0.2", 24, "10.1.0.1")


def test_equal_stores_give_equal_rules_whatever_came_first() -> None:
    one, other = Store(), Store()
    base = (node(HERE, "10.0.0.1"), network(), subnet())
    one.apply(*base, port(P1, node_id=HERE))
    one.apply(port(P2, node_id=HERE))
    other.apply(*base, port(P1, node_id=HERE), port(P2, node_id=HERE))
    assert desired(one.view, HERE).rules == desired(other.view, HERE).rules
