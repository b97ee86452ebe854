"""Which faults are there? Each breaks something, and leaves it so for a while; `Cluster.mend` does the rest."""

import errno
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack

import trio

from storage.pools.commands import SetDisk
from tests.faults.block import layers
from tests.faults.block.cluster import Cluster, Host, in_thread

SLOW_SYNC_S = 0.03
FAIL_S_MAX = 20.0

Fault = Callable[[Cluster], Awaitable[None]]
KINDS: dict[str, Fault] = {}
# After these, something may be wrong on a disk that nobody has read: an operator has all disks checked.
ROTS = {"data-rots", "checksums-rot", "metadata-rots", "journal-rots", "read-fails"}


def kind(fault: Fault) -> Fault:
    """Register a fault under its name."""
    KINDS[fault.__name__.replace("_", "-")] = fault
    return fault


async def hold(cluster: Cluster, least_s: float, most_s: float) -> None:
    await trio.sleep(cluster.dice.uniform(least_s, most_s))


# -- processes


@kind
async def kill_volume_server(cluster: Cluster) -> None:
    """kill -9 of the process that serves the guests' disk"""
    for _ in range(cluster.dice.choice((1, 1, 2))):
        await cluster.acknowledgement()
        cluster.signal_server(cluster.where, signal.SIGKILL)
        await hold(cluster, 0.3, 1.5)


@kind
async def kill_extent_server(cluster: Cluster) -> None:
    """kill -9 of the process that keeps one disk's replicas"""
    for _ in range(cluster.dice.choice((1, 1, 2))):
        await cluster.acknowledgement()
        cluster.signal_extents(cluster.anyone(), signal.SIGKILL)
        await hold(cluster, 0.2, 1.5)


@kind
async def kill_both(cluster: Cluster) -> None:
    """the volume server and every extent server are killed at once"""
    await cluster.acknowledgement()
    for host in cluster.hosts:
        cluster.signal_extents(host, signal.SIGKILL)
    cluster.signal_server(cluster.where, signal.SIGKILL)
    await hold(cluster, 0.5, 2)


@kind
async def kill_other_host(cluster: Cluster) -> None:
    """a host dies on which the guests are not, and comes back"""
    [host, *_] = cluster.others()
    await cluster.kill(host)
    await hold(cluster, 0.5, 3)
    await cluster.start(host)


@kind
async def kill_guests_host(cluster: Cluster) -> None:
    """the host on which the guests are dies; they start on another one, and the dead one comes back"""
    dead, [host, *_] = cluster.where, cluster.others()
    await cluster.acknowledgement()
    cluster.out()
    await cluster.kill(dead)
    cluster.give_volume(host)
    cluster.start_guests()
    cluster.back()
    await hold(cluster, 0.5, 3)
    await cluster.start(dead)


@kind
async def kill_all_hosts(cluster: Cluster) -> None:
    """every host dies at once; they come back in any order"""
    await cluster.acknowledgement()
    cluster.out()
    await cluster.kill(*cluster.hosts)
    for host in cluster.dice.sample(cluster.hosts, len(cluster.hosts)):
        await cluster.start(host)
        await hold(cluster, 0, 0.7)


@kind
async def pause_extent_server(cluster: Cluster) -> None:
    """an extent server is stopped past all time-outs, then goes on as if nothing had been"""
    host = cluster.anyone()
    cluster.signal_extents(host, signal.SIGSTOP)
    await hold(cluster, 2, 6)
    cluster.signal_extents(host, signal.SIGCONT)


@kind
async def pause_volume_server(cluster: Cluster) -> None:
    """the volume server is stopped for a while, with writes under way"""
    await cluster.acknowledgement()
    cluster.out()
    cluster.signal_server(cluster.where, signal.SIGSTOP)
    await hold(cluster, 1, 4)
    cluster.signal_server(cluster.where, signal.SIGCONT)
    cluster.back()


@kind
async def daemons_killed(cluster: Cluster) -> None:
    """no daemon runs while a guest's disk loses a replica"""
    for host in cluster.hosts:
        await cluster.kill_daemon(host)
    await hold(cluster, 0.2, 1)
    cluster.out()  # nobody can be told that the replica is behind
    cluster.signal_extents(cluster.anyone(), signal.SIGKILL)
    await hold(cluster, 0.5, 2)
    await cluster.start(*cluster.hosts)


# -- two owners


@kind
async def two_owners(cluster: Cluster) -> None:
    """the guests' host hangs, the guests start on another, and the first goes on as if nothing had been"""
    old, [host, *_] = cluster.where, cluster.others()
    await cluster.acknowledgement()
    cluster.out()
    await cluster.kill_daemon(old)
    cluster.signal_server(old, signal.SIGSTOP)
    await hold(cluster, 0, 0.2)
    ghosts = cluster.leave_ghosts()
    cluster.give_volume(host)
    cluster.start_guests()
    cluster.back()
    await hold(cluster, 0.3, 2)
    cluster.signal_server(old, signal.SIGCONT)
    await hold(cluster, 1, 2)
    await ghosts()


@kind
async def old_owner_goes_on(cluster: Cluster) -> None:
    """the volume is given to another host while the first one's server and guests go on: its daemon is gone"""
    old, [host, *_] = cluster.where, cluster.others()
    await cluster.kill_daemon(old)
    ghosts = cluster.leave_ghosts()
    cluster.out()
    cluster.give_volume(host)
    cluster.start_guests()
    cluster.back()
    await hold(cluster, 1, 3)
    await ghosts()


# -- power and disks


@kind
async def power_one(cluster: Cluster) -> None:
    """a host loses power and what its disk had not synced"""
    host = cluster.anyone()
    await cluster.acknowledgement()
    await cluster.power_cycle(host)
    await hold(cluster, 0.2, 2)
    await cluster.start(host)


@kind
async def power_all(cluster: Cluster) -> None:
    """every host loses power at once, and what its disk had not synced"""
    await cluster.acknowledgement()
    cluster.out()
    await cluster.power_cycle(*cluster.hosts)
    for host in cluster.dice.sample(cluster.hosts, len(cluster.hosts)):
        await cluster.start(host)
        await hold(cluster, 0, 0.7)


@kind
async def power_at_sync(cluster: Cluster) -> None:
    """power fails in the middle of a sync, any of those to come: of what was being written some sectors are there"""
    host = cluster.anyone()
    with host.lies.tell(syncs_to_live=cluster.dice.choice((1, 2, 5, 20, 100, 300))):
        await _until_it_ends(cluster, host)
        await cluster.power_cycle(host)
    await hold(cluster, 0, 1)
    await cluster.start(host)


@kind
async def power_all_at_sync(cluster: Cluster) -> None:
    """one disk loses power in the middle of a sync, and then all"""
    host = cluster.anyone()
    with host.lies.tell(syncs_to_live=cluster.dice.choice((1, 2, 5, 20, 100))):
        await _until_it_ends(cluster, host)
        cluster.out()
        await cluster.power_cycle(*cluster.hosts)
    await cluster.start(*cluster.hosts)


@kind
async def write_fails(cluster: Cluster) -> None:
    """a disk answers writes with EIO, half of them written"""
    host = cluster.anyone()
    with host.lies.tell(write_errno=errno.EIO):
        await _until_it_ends(cluster, host)
        await hold(cluster, 0, 2)


@kind
async def sync_fails(cluster: Cluster) -> None:
    """a disk answers syncs with EIO"""
    host = cluster.anyone()
    with host.lies.tell(sync_errno=errno.EIO):
        await _until_it_ends(cluster, host)
        await hold(cluster, 0, 2)


@kind
async def read_fails(cluster: Cluster) -> None:
    """a disk answers reads with EIO"""
    host = cluster.anyone()
    with host.lies.tell(read_errno=errno.EIO):
        await hold(cluster, 1, 3)


@kind
async def slow_disk(cluster: Cluster) -> None:
    """syncing takes a hundred times longer, on one disk or on all"""
    slow = cluster.dice.choice(([cluster.anyone()], cluster.hosts))
    with ExitStack() as lies:
        for host in slow:
            lies.enter_context(host.lies.tell(sync_delay_s=SLOW_SYNC_S))
        await hold(cluster, 1, 3)


@kind
async def full_disk(cluster: Cluster) -> None:
    """no room on one disk"""
    host = cluster.anyone()
    full = host.disk.full()
    await in_thread(full.__enter__)
    try:
        await hold(cluster, 2, 5)
    finally:
        await in_thread(lambda: full.__exit__(None, None, None))


async def _until_it_ends(cluster: Cluster, host: Host) -> None:
    """Until its extent server has ended: that is what it must do."""
    lock = cluster.extent_lock(host)
    first = cluster.holder_of(lock)
    with trio.move_on_after(FAIL_S_MAX):
        while first is not None and cluster.holder_of(lock) == first:
            await trio.sleep(0.02)


# -- cables


@kind
async def cut_replica(cluster: Cluster) -> None:
    """a host sees no other, and none sees it; the guests are elsewhere"""
    [host, *_] = cluster.others()
    with cluster.cut(host):
        await hold(cluster, 1, 6)


@kind
async def cut_guests_host(cluster: Cluster) -> None:
    """the host on which the guests are sees no other: they wait"""
    cluster.out()
    with cluster.cut(cluster.where):
        await hold(cluster, 1, 6)
    cluster.back()


@kind
async def cut_and_moved(cluster: Cluster) -> None:
    """the guests' host is cut off, they start on another one, and the cut one goes on with guests of its own"""
    old, [host, *_] = cluster.where, cluster.others()
    cluster.out()
    with cluster.cut(old):
        ghosts = cluster.leave_ghosts()
        await hold(cluster, 0, 1)
        cluster.give_volume(host)
        cluster.start_guests()
        cluster.back()
        await hold(cluster, 1, 4)
    await hold(cluster, 0.5, 1)
    await ghosts()


@kind
async def flapping_link(cluster: Cluster) -> None:
    """a host's cable is in and out, in and out"""
    host = cluster.anyone()
    for _ in range(cluster.dice.randint(4, 8)):
        with cluster.cut(host):
            await hold(cluster, 0.05, 0.8)
        await hold(cluster, 0.05, 0.8)


@kind
async def half_open(cluster: Cluster) -> None:
    """a host dies unheard, and comes back while others still hold connections to the dead one"""
    [host, *_] = cluster.others()
    with cluster.cut(host):
        await cluster.kill(host)
        await hold(cluster, 0, 0.5)
    await cluster.start(host)


@kind
async def packet_loss(cluster: Cluster) -> None:
    """a fifth of all packets is lost, on every cable"""
    cluster.network.shape(lossy=cluster.network.all_ways(), percent=20)
    await hold(cluster, 2, 4)
    cluster.network.shape()


@kind
async def others_die(cluster: Cluster) -> None:
    """a replica is cut off for a moment, in which all other hosts die; it serves the guests alone, then they return"""
    [last, *_] = cluster.others()
    dying = [host for host in cluster.hosts if host is not last]
    cluster.out()
    cluster.network.shape(cut=cluster.network.everyone(last.number))
    await hold(cluster, 0.1, 0.5)
    await cluster.kill(*dying)
    # It stays cut off: a dead host's kernel here would still send what its processes have left it.
    cluster.give_volume(last)
    cluster.start_guests()
    await hold(cluster, 6, 8)
    cluster.network.shape()
    await cluster.start(*dying)


# -- rot


@kind
async def data_rots(cluster: Cluster) -> None:
    """bits turn in a replica's data, while it is served"""
    host = cluster.dice.choice((cluster.where, cluster.anyone()))
    await cluster.settle_disk(host)
    await cluster.rot("*.data", host)
    await hold(cluster, 0.5, 2)


@kind
async def checksums_rot(cluster: Cluster) -> None:
    """bits turn in a replica's table of checksums and stamps, while it is served"""
    host = cluster.dice.choice((cluster.where, cluster.anyone()))
    await cluster.settle_disk(host)
    await cluster.rot("*.lines", host)
    await hold(cluster, 0.5, 2)


@kind
async def metadata_rots(cluster: Cluster) -> None:
    """a bit turns in what a disk knows of the volume, while its server is not running"""
    host = cluster.anyone()
    await cluster.kill(host)
    await cluster.rot("volume", host)
    await cluster.start(host)


@kind
async def journal_rots(cluster: Cluster) -> None:
    """bits turn in a disk's journal, while its server is not running"""
    host = cluster.anyone()
    await cluster.kill(host)
    await cluster.rot("journal", host)
    await cluster.start(host)


# -- while a replica comes back


async def _behind(cluster: Cluster, host: Host) -> None:
    """Let the host's replica miss enough that bringing it back takes a moment."""
    await cluster.kill(host)
    await hold(cluster, 2, 4)
    await cluster.start(host)


@kind
async def kill_during_resync(cluster: Cluster) -> None:
    """a process is killed while a replica is brought up to date: it, its source or the volume server"""
    [host, other, *_] = cluster.others()
    await _behind(cluster, host)
    await hold(cluster, 0, 0.4)
    victim = cluster.dice.choice(("replica", "source", "server"))
    if victim == "server":
        cluster.signal_server(cluster.where, signal.SIGKILL)
    else:
        cluster.signal_extents(host if victim == "replica" else other, signal.SIGKILL)
    await hold(cluster, 0.2, 1)


@kind
async def power_during_resync(cluster: Cluster) -> None:
    """power fails on every host while a replica is brought up to date"""
    [host, *_] = cluster.others()
    await _behind(cluster, host)
    await hold(cluster, 0, 0.4)
    cluster.out()
    await cluster.power_cycle(*cluster.hosts)
    await cluster.start(*cluster.hosts)


# -- while a snapshot is made, or replicas move


async def _strike(cluster: Cluster, victims: Sequence[str]) -> None:
    """Something dies, or stands still for too long."""
    victim = cluster.dice.choice(victims)
    [other, *_] = cluster.others()
    match victim:
        case "server":
            cluster.signal_server(cluster.where, signal.SIGKILL)
        case "paused server":
            cluster.out()
            cluster.signal_server(cluster.where, signal.SIGSTOP)
            await hold(cluster, 1, 8)
            cluster.signal_server(cluster.where, signal.SIGCONT)
            cluster.back()
        case "extent server":
            cluster.signal_extents(cluster.dice.choice(cluster.hosts), signal.SIGKILL)
        case "extent servers":
            for host in cluster.hosts:
                cluster.signal_extents(host, signal.SIGKILL)
        case "daemon":
            await cluster.kill_daemon(cluster.dice.choice((cluster.where, other)))
        case "guests' host":
            cluster.out()
            await cluster.kill(cluster.where)
        case "host":
            await cluster.kill(cluster.dice.choice(cluster.others()))
        case "power":
            cluster.out()
            await cluster.power_cycle(*cluster.hosts)


STRIKES = ("server", "extent server", "extent servers", "daemon", "guests' host", "host", "power")


@kind
async def kill_during_snapshot(cluster: Cluster) -> None:
    """a process, a host or all power fails while a snapshot is made: it is of one moment, or it is given up"""
    start = time.monotonic()
    snapshot_id = layers.ask_for_snapshot(cluster)
    await hold(cluster, 0, 0.4)
    await _strike(cluster, (*STRIKES, "paused server"))
    await hold(cluster, 0.2, 1)
    await cluster.mend()
    await cluster.until(lambda: layers.is_cut(cluster), "a snapshot is neither made nor given up")
    await layers.look_at_snapshot(cluster, cluster.anyone().number, snapshot_id, start, time.monotonic())


@kind
async def kill_during_rebalancing(cluster: Cluster) -> None:
    """processes, hosts or all power fail while replicas move to another disk"""
    host = cluster.anyone()
    disk_id = cluster.disk_id(host)
    await cluster.order(SetDisk(disk_id=disk_id, draining=True))
    await cluster.until(lambda: bool(cluster.nodes.volume(cluster.volume_id).joining), "no replica moves")
    for _ in range(cluster.dice.choice((1, 2))):
        await hold(cluster, 0, 1.5)
        await _strike(cluster, STRIKES)
        await hold(cluster, 0.2, 1)
        await cluster.mend()
    await cluster.until(lambda: not layers.is_anywhere(cluster, disk_id), "a disk is not drained")
    await cluster.order(SetDisk(disk_id=disk_id, draining=False))
