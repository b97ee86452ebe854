"""Which faults are there? Each breaks something, and leaves it so for a while; `Cluster.mend` does the rest."""

import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial

import trio

from consensus.host.journal import _frames
from tests.faults.log.cluster import Cluster, Stuck, in_thread
from tests.faults.log.place import Place

SLOW_SYNC_S = 0.03  # about a hundred times what a good disk takes
END_S_MAX = 30.0
REFUSAL_S_MAX = 60.0
COMPACTING_S_MAX = 15.0
DAMAGE_TRIES_MAX = 200

Fault = Callable[[Cluster], Awaitable[None]]
KINDS: dict[str, Fault] = {}


def kind(fault: Fault) -> Fault:
    """Register a fault under its name."""
    KINDS[fault.__name__.replace("_", "-")] = fault
    return fault


async def hold(cluster: Cluster, least_s: float, most_s: float) -> None:
    await trio.sleep(cluster.dice.uniform(least_s, most_s))


async def anyone(cluster: Cluster) -> Place:
    """The leader as often as any other node."""
    return await cluster.leader() if cluster.dice.random() < 0.5 else await cluster.follower()


# -- processes


@kind
async def kill_leader(cluster: Cluster) -> None:
    """kill -9 of the leader"""
    await cluster.kill(await cluster.leader())
    await hold(cluster, 1, 3)


@kind
async def kill_follower(cluster: Cluster) -> None:
    """kill -9 of another node"""
    await cluster.kill(await cluster.follower())
    await hold(cluster, 0.2, 2)


@kind
async def kill_all(cluster: Cluster) -> None:
    """kill -9 of every node, started again in any order"""
    cluster.majority_is_gone()
    await cluster.kill(*cluster.shuffled())
    await start_apart(cluster)


@kind
async def pause_leader(cluster: Cluster) -> None:
    """the leader is stopped past all time-outs, then goes on as if nothing had been"""
    leader = await cluster.leader()
    await in_thread(leader.stop)
    await hold(cluster, 2, 4.5)
    leader.go_on()


@kind
async def pause_all(cluster: Cluster) -> None:
    """every node is stopped at once, and goes on at once"""
    cluster.majority_is_gone()
    for place in cluster.shuffled():
        await in_thread(place.stop)
    await hold(cluster, 1, 4)
    for place in cluster.shuffled():
        place.go_on()
    cluster.majority_is_back()


@kind
async def restart_storm(cluster: Cluster) -> None:
    """nodes are killed faster than they can elect anyone"""
    cluster.majority_is_gone()
    for _ in range(cluster.dice.randint(5, 8)):
        await cluster.kill(cluster.dice.choice(cluster.places))
        await hold(cluster, 0.1, 0.8)
        await cluster.start(*(place for place in cluster.shuffled() if not place.runs))
        cluster.majority_is_gone()
        await hold(cluster, 0.1, 0.8)
    cluster.majority_is_back()


async def start_apart(cluster: Cluster) -> None:
    """Start every node, in any order, some of them together and some later."""
    for place in cluster.shuffled():
        await cluster.start(place)
        if cluster.dice.random() < 0.5:
            await hold(cluster, 0, 1)


# -- power


async def cut_power(cluster: Cluster, *places: Place) -> None:
    """Cut when a client was just promised something. Kill first: no promise may outlive what is on the disk."""
    await cluster.acknowledgement(places[0])
    if len(places) >= cluster.majority():
        cluster.majority_is_gone()
    await cluster.kill(*places)
    for place in places:
        await in_thread(place.disk.power_cycle)


@kind
async def power_one(cluster: Cluster) -> None:
    """one node loses power and what it has not synced"""
    await cut_power(cluster, await anyone(cluster))
    await hold(cluster, 0.2, 2)


@kind
async def power_majority(cluster: Cluster) -> None:
    """more than half of the nodes lose power at once"""
    await cut_power(cluster, *cluster.shuffled()[: cluster.majority()])
    await hold(cluster, 0, 1)
    await cluster.start(*(place for place in cluster.shuffled() if not place.runs))


@kind
async def power_all(cluster: Cluster) -> None:
    """every node loses power at once; they come back in any order"""
    with ExitStack() as lies:
        if cluster.dice.random() < 0.5:
            # Where syncing takes long, more of what was not synced could have been promised.
            for place in cluster.places:
                lies.enter_context(place.lies.tell(sync_delay_s=SLOW_SYNC_S))
            await hold(cluster, 0.3, 1)
        await cut_power(cluster, *cluster.shuffled())
    await start_apart(cluster)


@kind
async def power_all_leader_last(cluster: Cluster) -> None:
    """the others' disks are slow, all lose power, and the leader comes back when the others serve again"""
    leader = await cluster.leader()
    with ExitStack() as lies:
        # The leader has on disk what it may have promised too early; it is the last to say so.
        for place in cluster.others(leader):
            lies.enter_context(place.lies.tell(sync_delay_s=10 * SLOW_SYNC_S))
        await hold(cluster, 0.3, 1)
        await cut_power(cluster, leader, *cluster.others(leader))
    await cluster.start(*cluster.others(leader))
    await cluster.leader()


@kind
async def power_all_compacting(cluster: Cluster) -> None:
    """every node loses power while one of them takes a checkpoint, or cuts its journal short"""
    place = await anyone(cluster)
    with ExitStack() as lies:
        for each in cluster.places:
            lies.enter_context(each.lies.tell(sync_delay_s=SLOW_SYNC_S))
        with trio.move_on_after(COMPACTING_S_MAX):
            while not list((place.state / "log").glob(".*.new")):
                await trio.sleep(0.002)
            await hold(cluster, 0, 3 * SLOW_SYNC_S)
        cluster.majority_is_gone()
        await cluster.kill(place, *cluster.others(place))
        for each in cluster.places:
            await in_thread(each.disk.power_cycle)
    await start_apart(cluster)


# -- cables


@kind
async def cut_leader(cluster: Cluster) -> None:
    """the leader sees nobody, and nobody sees it"""
    leader = await cluster.leader()
    await in_thread(partial(cluster.network.shape, cut=cluster.network.everyone(leader.number)))
    await hold(cluster, 2.5, 5)


@kind
async def cut_follower(cluster: Cluster) -> None:
    """another node sees nobody, and nobody sees it"""
    follower = await cluster.follower()
    await in_thread(partial(cluster.network.shape, cut=cluster.network.everyone(follower.number)))
    await hold(cluster, 1, 5)


@kind
async def cut_one_way(cluster: Cluster) -> None:
    """a node is heard and hears nobody, or hears and is not heard"""
    place = await anyone(cluster)
    others = [other.number for other in cluster.others(place)]
    ways = [(place.number, other) for other in others]
    if cluster.dice.random() < 0.5:
        ways = [(other, place.number) for other in others]
    await in_thread(partial(cluster.network.shape, cut=ways))
    await hold(cluster, 2.5, 5)


@kind
async def cut_partial(cluster: Cluster) -> None:
    """the leader and another node don't see each other; all the rest see both"""
    leader = await cluster.leader()
    other = cluster.others(leader)[0]
    ways = [(leader.number, other.number), (other.number, leader.number)]
    await in_thread(partial(cluster.network.shape, cut=ways))
    await hold(cluster, 2.5, 6)


@kind
async def cut_minority(cluster: Cluster) -> None:
    """the cluster is split in two, the leader on the smaller side"""
    leader = await cluster.leader()
    few = [leader, *cluster.others(leader)][: len(cluster.places) - cluster.majority()]
    many = cluster.others(*few)
    ways = [(one.number, other.number) for one in few for other in many]
    await in_thread(partial(cluster.network.shape, cut=[*ways, *((there, here) for here, there in ways)]))
    await hold(cluster, 2.5, 5)


@kind
async def flapping_link(cluster: Cluster) -> None:
    """a node's cable is in and out, in and out"""
    place = await anyone(cluster)
    for _ in range(cluster.dice.randint(4, 7)):
        await in_thread(partial(cluster.network.shape, cut=cluster.network.everyone(place.number)))
        await hold(cluster, 0.1, 0.9)
        await in_thread(cluster.network.shape)
        await hold(cluster, 0.1, 0.7)


@kind
async def half_open(cluster: Cluster) -> None:
    """a node dies unheard and comes back while its peers still hold connections to the dead one"""
    place = await anyone(cluster)
    await in_thread(partial(cluster.network.shape, cut=cluster.network.everyone(place.number)))
    await cluster.kill(place)
    await cluster.start(place)
    await hold(cluster, 0.2, 1.5)


@kind
async def packet_loss(cluster: Cluster) -> None:
    """three of ten packets are lost, on every cable"""
    await in_thread(partial(cluster.network.shape, lossy=cluster.network.all_ways(), percent=30))
    await hold(cluster, 3, 6)


# -- disks


@kind
async def disk_full(cluster: Cluster) -> None:
    """no room on one disk, or on all"""
    everywhere = cluster.dice.random() < 0.3
    places = cluster.places if everywhere else [await anyone(cluster)]
    if everywhere:
        cluster.majority_is_gone()
    with ExitStack() as ballast:
        for place in places:
            await in_thread(partial(ballast.enter_context, place.disk.full()))
        await hold(cluster, 3, 6)
    if sum(place.runs for place in cluster.places) >= cluster.majority():
        cluster.majority_is_back()


@kind
async def disk_read_only(cluster: Cluster) -> None:
    """a node's file system turns read-only"""
    place = await anyone(cluster)
    await in_thread(place.stop)
    await in_thread(place.disk.refuse_writes)
    place.go_on()
    await must_end(place)
    await in_thread(place.disk.repair)


@kind
async def write_fails(cluster: Cluster) -> None:
    """a disk answers writes with EIO, half of them written"""
    place = await anyone(cluster)
    with place.lies.tell(write_errno=errno.EIO):
        await must_end(place)
    await hold(cluster, 0, 1)


@kind
async def sync_fails(cluster: Cluster) -> None:
    """a disk answers fdatasync with EIO"""
    place = await anyone(cluster)
    with place.lies.tell(sync_errno=errno.EIO):
        await must_end(place)
    await hold(cluster, 0, 1)


@kind
async def slow_disk(cluster: Cluster) -> None:
    """fdatasync takes a hundred times longer, on one disk or on all"""
    places = cluster.places if cluster.dice.random() < 0.5 else [await anyone(cluster)]
    with ExitStack() as lies:
        for place in places:
            lies.enter_context(place.lies.tell(sync_delay_s=SLOW_SYNC_S))
        await hold(cluster, 2, 4)


async def must_end(place: Place) -> None:
    """A node that can't keep anything may promise nothing any more."""
    if not await in_thread(partial(place.await_end, END_S_MAX)):
        raise Stuck(f"node {place.number} went on for {END_S_MAX:.0f} s although its disk fails")


@kind
async def torn_tail(cluster: Cluster) -> None:
    """half a write stands at the end of the journal: of one node, or of all"""
    places = cluster.shuffled() if cluster.dice.random() < 0.3 else [await anyone(cluster)]
    if len(places) > 1:
        cluster.majority_is_gone()
    await cluster.kill(*places)
    for place in places:
        with (place.state / "log" / "journal").open("ab") as journal:
            journal.write(torn(cluster))
    await cluster.start(*places)


def torn(cluster: Cluster) -> bytes:
    """What a disk may leave of a write that it was not done with."""
    some = cluster.dice.randbytes(cluster.dice.randint(1, 4000))
    head = b"NJF1" + len(some).to_bytes(4, "little") + some[:12]
    return cluster.dice.choice((some, bytes(len(some)), head, head + some[: len(some) // 2]))


@kind
async def journal_rots(cluster: Cluster) -> None:
    """a bit turns in the middle of a journal: the node must not vote again, and is replaced"""
    place = await anyone(cluster)
    path = place.state / "log" / "journal"
    for _ in range(DAMAGE_TRIES_MAX):
        await cluster.kill(place)
        content = bytearray(path.read_bytes())
        if len(list(_frames(bytes(content)))) > 3:
            break
        await cluster.start(place)  # just rewritten: what is damaged here could be a torn write
        await hold(cluster, 1, 2)
    first_end = next(_frames(bytes(content)))[1]
    content[cluster.dice.randrange(first_end)] ^= 1 << cluster.dice.randrange(8)
    path.write_bytes(content)
    await cluster.start(place)
    if not await in_thread(partial(place.await_end, REFUSAL_S_MAX)):
        raise Stuck(f"node {place.number} runs on a damaged journal")
    await cluster.replace(place)


@kind
async def checkpoint_rots(cluster: Cluster) -> None:
    """a bit turns in a checkpoint: the node must not use it, and is replaced"""
    place = await anyone(cluster)
    path = place.state / "log" / "checkpoint"

    async def is_there() -> bool:
        return path.exists()

    await cluster.until(is_there, "no checkpoint was taken")
    await cluster.kill(place)
    content = bytearray(path.read_bytes())
    content[cluster.dice.randrange(len(content))] ^= 1 << cluster.dice.randrange(8)
    path.write_bytes(content)
    await cluster.start(place)
    if not await in_thread(partial(place.await_end, REFUSAL_S_MAX)):
        raise Stuck(f"node {place.number} runs on a damaged checkpoint")
    await cluster.replace(place)


# -- clocks and voters


@kind
async def clock_jump(cluster: Cluster) -> None:
    """clocks jump by an hour, there and back, each node's as it likes"""
    with ExitStack() as lies:
        for place in cluster.places:
            offset = cluster.dice.choice((-3600, 0, 3600))
            lies.enter_context(place.lies.tell(clock_offset_s=offset))
            await hold(cluster, 0, 0.5)
        await hold(cluster, 1, 3)


@kind
async def voters_change(cluster: Cluster) -> None:
    """a voter is removed and added again while others are killed, cut off, stopped, slow, or lose power"""
    voter = await cluster.follower()
    for change in (cluster.demote, cluster.promote):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(change, voter)
            await hold(cluster, 0, 0.05)
            async with disturbed(cluster, cluster.others(voter)[0], cluster.dice.choice(DISTURBANCES)):
                await hold(cluster, 0.2, 1.5)


@kind
async def replace_node(cluster: Cluster) -> None:
    """a node is gone for good, and a blank one takes its place, while others are killed, cut off, or worse"""
    place = await cluster.follower()
    await cluster.kill(place)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.replace, place)
        await hold(cluster, 0, 1.5)
        async with disturbed(cluster, cluster.others(place)[0], cluster.dice.choice(DISTURBANCES)):
            await hold(cluster, 0.5, 2.5)


@kind
async def two_at_once(cluster: Cluster) -> None:
    """two nodes suffer two different faults at the same time"""
    one, other = cluster.shuffled()[:2]
    how, and_how = cluster.dice.sample(DISTURBANCES, 2)
    if len(cluster.places) == 3:
        cluster.majority_is_gone()
    async with disturbed(cluster, one, how), disturbed(cluster, other, and_how):
        await hold(cluster, 1, 3)
    cluster.majority_is_back()


DISTURBANCES = ("kill", "power", "cut", "pause", "slow")


@asynccontextmanager
async def disturbed(cluster: Cluster, place: Place, how: str) -> AsyncIterator[None]:
    """A node that suffers for the length of the block."""
    with ExitStack() as lies:
        match how:
            case "kill":
                await cluster.kill(place)
            case "power":
                await cut_power(cluster, place)
            case "cut":
                await in_thread(partial(cluster.network.shape, cut=cluster.network.everyone(place.number)))
            case "pause":
                await in_thread(place.stop)
            case "slow":
                lies.enter_context(place.lies.tell(sync_delay_s=10 * SLOW_SYNC_S))
        yield
    match how:
        case "kill" | "power":
            await cluster.start(place)
        case "cut":
            await in_thread(cluster.network.shape)
        case "pause":
            place.go_on()
