"""Which running connections may go on when rules change."""

from dataclasses import replace

import pytest

from net.dataplane.filters import Allowance, Filter, PortFilter, forbidden, zones_of
from net.dataplane.model import Flow
from net.security_groups.model import Direction
from noded.core.ids import PortId, SecurityGroupId

WEB, ALL = SecurityGroupId("web"), SecurityGroupId("all")
PORT = PortFilter(
    port_id=PortId("p"), tap="ndtp", number=1, vni=100, mac="fa:16:3e:00:00:01", addresses=("10.0.0.2",), groups=(WEB,)
)
FLOW = Flow(zone=101, protocol=6, source="10.0.0.9", destination="10.0.0.2", source_port=5000, destination_port=80)
IN = Direction.INGRESS


def filter_with(*allowances: Allowance, members: tuple[str, ...] = (), port: PortFilter = PORT) -> Filter:
    everything_out = Allowance(direction=Direction.EGRESS)
    return Filter(
        ports=(port,), zones={100: 101}, allowances={WEB: (*allowances, everything_out)}, members={(100, ALL): members}
    )


@pytest.mark.parametrize(
    "allowance",
    [
        Allowance(direction=IN),
        Allowance(direction=IN, protocol=6),
        Allowance(direction=IN, protocol=6, low=80, high=80),
        Allowance(direction=IN, protocol=6, low=1, high=100, prefix="10.0.0.0/24"),
        Allowance(direction=IN, members=ALL),
    ],
)
def test_what_a_rule_covers_goes_on(allowance: Allowance) -> None:
    assert forbidden(filter_with(allowance, members=("10.0.0.0/28",)), [FLOW]) == ()


@pytest.mark.parametrize(
    "allowance",
    [
        Allowance(direction=Direction.EGRESS, protocol=6),
        Allowance(direction=IN, protocol=17),
        Allowance(direction=IN, protocol=6, low=81, high=90),
        Allowance(direction=IN, protocol=6, low=80, high=80, prefix="10.1.0.0/24"),
        Allowance(direction=IN, members=ALL),
    ],
)
def test_what_no_rule_covers_ends(allowance: Allowance) -> None:
    assert forbidden(filter_with(allowance, members=("10.0.0.8",)), [FLOW]) == (FLOW,)


def test_icmp_is_told_apart_by_type_and_code() -> None:
    ping = replace(FLOW, protocol=1, source_port=0, destination_port=0, icmp_type=8)
    assert forbidden(filter_with(Allowance(direction=IN, protocol=1, low=8)), [ping]) == ()
    assert forbidden(filter_with(Allowance(direction=IN, protocol=1, low=8, high=1)), [ping]) == (ping,)
    assert forbidden(filter_with(Allowance(direction=IN, protocol=1, low=0)), [ping]) == (ping,)


def test_other_zones_other_machines_and_unfiltered_ports_are_not_judged() -> None:
    assert forbidden(filter_with(), [replace(FLOW, zone=7)]) == ()
    assert forbidden(filter_with(), [replace(FLOW, destination="10.0.0.77")]) == ()
    assert forbidden(filter_with(port=replace(PORT, secured=False)), [FLOW]) == ()


def test_the_networks_own_services_are_always_reached() -> None:
    metadata = replace(FLOW, source="10.0.0.2", destination="169.254.169.254")
    mute = replace(filter_with(), allowances={WEB: ()})
    assert forbidden(mute, [metadata]) == ()
    assert forbidden(mute, [replace(metadata, destination_port=22)]) != ()


def test_networks_on_one_machine_never_share_a_zone() -> None:
    vnis = [100, 100 + 65_535, 100 + 2 * 65_535, 65_535, 65_534]
    zones = zones_of(vnis)
    assert len(set(zones.values())) == len(vnis)
    assert all(1 <= zone <= 65_535 for zone in zones.values())
