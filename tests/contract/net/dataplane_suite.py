"""What every `Dataplane` must do, machine or twin. As a program it checks the machine's, in the namespace it is in."""

from dataclasses import replace

import pytest
import trio

import net.networks
from net.dataplane.model import (
    Answers,
    BuildSegment,
    BuildTap,
    LoadRules,
    Mark,
    Neighbour,
    Observed,
    Remote,
    RemoveSegment,
    RemoveTap,
    Rules,
    Segment,
    SetForwarding,
    TapLink,
)
from net.host.machine import MachineDataplane
from net.links import Dataplane, DataplaneFault
from noded.core.reconciler import Drivers
from tests.twins.cluster import SharedCluster

SEGMENT = Segment(
    vni=300,
    mark=Mark("net-1", 7),
    mtu=1450,
    local_address="10.0.0.1",
    peers=frozenset({"10.0.0.2", "10.0.0.3"}),
    remotes=frozenset({Remote("fa:16:3e:00:00:02", "10.0.0.2"), Remote("fa:16:3e:00:00:03", "10.0.0.3")}),
    neighbours=frozenset({Neighbour("10.1.0.2", "fa:16:3e:00:00:02"), Neighbour("10.1.0.3", "fa:16:3e:00:00:03")}),
)
BARE = replace(SEGMENT, peers=frozenset(), remotes=frozenset(), neighbours=frozenset())
TAP = TapLink(name="ndt0123456789a", mark=Mark("port-1", 8), vni=300, mtu=1450)
MOVED = replace(
    SEGMENT,
    peers=frozenset({"10.0.0.3"}),
    remotes=frozenset({Remote("fa:16:3e:00:00:02", "10.0.0.3"), Remote("fa:16:3e:00:00:04", "10.0.0.3")}),
    neighbours=frozenset({Neighbour("10.1.0.2", "fa:16:3e:00:00:02"), Neighbour("10.1.0.3", "fa:16:3e:00:00:04")}),
)


def rules(digest: str) -> Rules:
    """The smallest filter that has a name."""
    families = ("bridge", "inet")
    reset = "".join(f"add table {family} noded\ndelete table {family} noded\n" for family in families)
    named = "".join(f"add table {family} noded\nadd chain {family} noded digest_{digest}\n" for family in families)
    return Rules(digest=digest, text=reset + named)


async def check_what_is_built_is_found_again(dataplane: Dataplane) -> None:
    assert await dataplane.observe() == Observed()
    await dataplane.act([BuildSegment(SEGMENT), SetForwarding(BARE, SEGMENT), LoadRules(rules("aa")), BuildTap(TAP)])
    built = Observed(segments={300: SEGMENT}, taps={TAP.name: TAP}, rules_digest="aa")
    assert await dataplane.observe() == built
    await dataplane.act([BuildSegment(SEGMENT), SetForwarding(BARE, SEGMENT), LoadRules(rules("aa")), BuildTap(TAP)])
    assert await dataplane.observe() == built, "doing it again changes nothing"


async def check_the_first_mark_stays(dataplane: Dataplane) -> None:
    await dataplane.act([BuildSegment(replace(SEGMENT, mark=Mark("net-1", 99)))])
    await dataplane.act([BuildTap(replace(TAP, mark=Mark("port-1", 99)))])
    observed = await dataplane.observe()
    assert (observed.segments[300].mark.revision, observed.taps[TAP.name].mark.revision) == (7, 8)


async def check_forwarding_follows_ports_that_move(dataplane: Dataplane) -> None:
    await dataplane.act([SetForwarding(SEGMENT, MOVED)])
    assert (await dataplane.observe()).segments[300] == MOVED


async def check_another_address_of_the_node_makes_the_tunnel_anew(dataplane: Dataplane) -> None:
    elsewhere = replace(MOVED, local_address="10.0.0.9", mtu=1400)
    await dataplane.act([BuildSegment(elsewhere)])
    found = (await dataplane.observe()).segments[300]
    assert (found.local_address, found.mtu, found.remotes, found.peers) == ("10.0.0.9", 1400, frozenset(), frozenset())
    await dataplane.act([SetForwarding(found, elsewhere)])
    assert (await dataplane.observe()).segments[300] == elsewhere


async def check_services_come_and_go_with_their_networks(dataplane: Dataplane) -> None:
    segment = (await dataplane.observe()).segments[300]
    for answers in ({300: Answers()}, {300: Answers()}, {}):
        await dataplane.answer(answers, {300: segment})
    assert list((await dataplane.observe()).taps) == [TAP.name]
    assert await dataplane.flows(301) == []


async def check_a_faulty_filter_changes_nothing(dataplane: Dataplane) -> None:
    with pytest.raises(DataplaneFault, match="nftables"):
        await dataplane.act(
            [LoadRules(Rules(digest="bb", text=rules("bb").text + "add rule inet noded nosuch accept\n"))]
        )
    assert (await dataplane.observe()).rules_digest == "aa"


async def check_a_tap_needs_its_bridge(dataplane: Dataplane) -> None:
    with pytest.raises(DataplaneFault, match="ndb0003e7"):
        await dataplane.act([BuildTap(replace(TAP, name="ndtffffffffff", vni=999))])
    await dataplane.act([RemoveTap("ndtffffffffff")])


async def check_what_goes_is_gone(dataplane: Dataplane) -> None:
    await dataplane.act([RemoveSegment(300)])
    observed = await dataplane.observe()
    assert (observed.segments, observed.taps[TAP.name].vni) == ({}, 0), "a tap outlives its bridge, on none"
    await dataplane.act([RemoveTap(TAP.name), RemoveTap(TAP.name), RemoveSegment(300)])
    assert await dataplane.observe() == Observed(rules_digest="aa")


# In this order: each begins with what the one before left.
COMMON = (
    check_what_is_built_is_found_again,
    check_the_first_mark_stays,
    check_forwarding_follows_ports_that_move,
    check_another_address_of_the_node_makes_the_tunnel_anew,
    check_services_come_and_go_with_their_networks,
)
ON_MACHINES = (check_a_faulty_filter_changes_nothing,)  # the twin doesn't read rules
AT_LAST = (check_a_tap_needs_its_bridge, check_what_goes_is_gone)


async def main() -> None:
    cluster = SharedCluster([net.networks.SERVICE], ["here"]).cluster("here")
    dataplane = MachineDataplane(cluster, Drivers())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dataplane.run)
        for check in (*COMMON, *ON_MACHINES, *AT_LAST):
            await check(dataplane)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
