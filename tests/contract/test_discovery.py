"""What every discovery does, the real one (multicast on the loopback) and its twin alike."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import uuid4

import msgspec
import pytest
import trio

from consensus.discovery import NodeState, Sighting, sighting_from_text, sighting_to_text
from consensus.host.interfaces import HostAddress
from consensus.host.mdns import MdnsDiscovery, interfaces_for_multicast
from consensus.links import Discovery
from consensus.naming import fingerprint
from noded.core.ids import NodeId
from tests.twins.segment import Segment

Network = Callable[[], AbstractAsyncContextManager[tuple[Discovery, Discovery]]]


@asynccontextmanager
async def loopback() -> AsyncIterator[tuple[Discovery, Discovery]]:
    near, far = MdnsDiscovery(["127.0.0.1"]), MdnsDiscovery(["127.0.0.2"])
    far_life = trio.CancelScope()

    async def live(*, task_status: trio.TaskStatus[None]) -> None:
        with far_life:
            await far.run(task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(near.run)
        await nursery.start(live)
        LIVES[id(far)] = far_life.cancel
        yield near, far
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def segment() -> AsyncIterator[tuple[Discovery, Discovery]]:
    whole = Segment()
    near, far = whole.discovery(), whole.discovery()
    LIVES[id(far)] = far.goodbye
    yield near, far


LIVES: dict[int, Callable[[], None]] = {}


@pytest.fixture(params=[segment, loopback])
def network(request: pytest.FixtureRequest) -> Network:
    made: Network = request.param
    return made


def sighting(address: str = "127.0.0.1") -> Sighting:
    mark = fingerprint(uuid4().bytes)
    return Sighting(
        node_id=NodeId(mark[:32]),
        fingerprint=mark,
        state=NodeState.UNCLAIMED,
        cluster="a town with ümlauts",
        addresses=(address,),
        port=7402,
        release="0.1.0",
    )


async def heard(listener: Discovery, wanted: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not wanted():
            await listener.changed()


async def test_nodes_hear_of_one_another_of_changes_and_of_goodbyes(network: Network) -> None:
    one, other = sighting("127.0.0.1"), sighting("127.0.0.2")
    async with network() as (near, far):
        await near.announce(one)
        await far.announce(other)
        await heard(near, lambda: near.sightings().get(other.node_id) == other)
        await heard(far, lambda: far.sightings().get(one.node_id) == one)
        # Nobody is a sighting to itself.
        assert one.node_id not in near.sightings()

        admitted = Sighting(
            node_id=other.node_id,
            fingerprint=other.fingerprint,
            state=NodeState.MEMBER,
            cluster="town",
            addresses=("127.0.0.3",),
            port=7402,
            release="0.1.1",
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(far.announce, admitted)
            await heard(near, lambda: near.sightings().get(other.node_id) == admitted)

        LIVES[id(far)]()
        await heard(near, lambda: other.node_id not in near.sightings())


async def test_a_late_comer_hears_of_those_who_are_there(network: Network) -> None:
    one, other = sighting(), sighting("127.0.0.2")
    async with network() as (near, far):
        await near.announce(one)
        await heard(far, lambda: one.node_id in far.sightings())
        await far.announce(other)
        await heard(near, lambda: other.node_id in near.sightings())


async def test_a_machine_that_announces_this_nodes_identity_is_noticed_and_no_sighting() -> None:
    own = sighting("127.0.0.1")
    copied = msgspec.structs.replace(own, addresses=("127.0.0.2",))
    near, far = MdnsDiscovery(["127.0.0.1"]), MdnsDiscovery(["127.0.0.2"])
    async with trio.open_nursery() as nursery:
        await nursery.start(near.run)
        await nursery.start(far.run)
        await near.announce(own)
        assert near.twin == ""
        await far.announce(copied)
        with trio.fail_after(15):
            while not near.twin:
                await trio.sleep(0.05)
        assert near.twin == "127.0.0.2"
        assert own.node_id not in near.sightings()
        nursery.cancel_scope.cancel()


def test_multicast_is_spoken_on_every_interface_that_may_lead_to_a_node() -> None:
    found = [
        HostAddress("127.0.0.1", "lo", 1),
        HostAddress("10.0.0.5", "eth0", 2),
        HostAddress("10.0.0.6", "eth0", 2),
        HostAddress("fe80::1", "eth0", 2),
        HostAddress("fd00::5", "eth0", 2),
        HostAddress("fe80::1", "eth1", 3),
        HostAddress("10.1.0.1", "ndb000001", 4),
        HostAddress("172.17.0.1", "docker0", 5),
    ]
    assert interfaces_for_multicast(found) == ("10.0.0.5", 2, 3)
    assert interfaces_for_multicast(found, ["172.17.0.1"]) == ("10.0.0.5", "172.17.0.1", 2, 3)
    assert interfaces_for_multicast(found[:1]) == ()


async def test_what_comes_up_later_is_spoken_on_too() -> None:
    present = [HostAddress("127.0.0.1", "lo", 1)]
    late = MdnsDiscovery(always=["127.0.0.1", "127.0.0.3"], look=lambda: tuple(present), look_s=0.05)
    other = MdnsDiscovery(["127.0.0.3"])
    async with trio.open_nursery() as nursery:
        await nursery.start(late.run)
        await nursery.start(other.run)
        one = sighting("127.0.0.3")
        await late.announce(one)
        present.append(HostAddress("127.0.0.3", "lo2", 2))
        await heard(other, lambda: one.node_id in other.sightings())
        nursery.cancel_scope.cancel()


def test_an_address_that_means_something_on_its_own_host_alone_is_not_dialed() -> None:
    text = sighting_to_text(sighting("fd00::1")) | {"at": "fe80::1,fd00::1,ff02::fb,::"}
    found = sighting_from_text(text, 7402)
    assert found is not None
    assert found.addresses == ("fd00::1",)
    assert sighting_from_text(text | {"at": "fe80::1"}, 7402) is None
