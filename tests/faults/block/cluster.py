"""How are the nodes of a block fault test run, asked, broken and mended? The operator's hands.

Each node but one has a replica of the volume. Each has a network namespace with a cable to a switch, and an ext4 file
system of its own; its extent and volume servers are the product's processes. The daemon's part runs in this process,
and the log is in memory: what the log itself survives is tried by `tests/faults/log`.
"""

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from consensus.members.model import Node
from noded.core.clock import now_ms
from noded.core.command import Command
from noded.core.dice import new_uuid
from noded.core.ids import DiskId, NodeId, VolumeId
from storage.host.lock import holder, send_signal
from storage.host.paths import control_socket, extent_lock, nbd_socket, volume_file, volume_lock
from storage.pools.commands import ScrubDisk
from storage.pools.model import Disk as PoolDisk
from storage.pools.model import MovePolicy
from storage.volumes.commands import attach_volume, create_volume
from storage.volumes.model import Purpose
from tests.faults.block.guests import GUESTS, Disk, FileWay, Guest, NbdWay, Way, is_idle, read_all
from tests.faults.block.layers import layers
from tests.faults.log import shim
from tests.faults.log.disk import Disk as RealDisk
from tests.faults.log.network import Network
from tests.faults.storage_nodes import StorageNode, StorageNodes, lifeline
from tests.lab.commands import LabError
from tests.unit.images.builders import MINE

NODES = 4  # one of them has no replica
MIB = 1 << 20
DISK_BYTES = 112 * MIB
SEGMENT_MIB = 4  # small, so that what is settled, and when, is tried too
VOLUME_BYTES = 4 * MIB
EXTENT_BYTES = MIB
MOVE_BYTES_S = MIB  # so slow that something can happen meanwhile
SETTLE_S_MAX = 90.0
END_S_MAX = 15.0
POLL_S = 0.05
ROT_TRIES_MAX = 400
WORDS_MAX = 15

# Found before the real one: what is started detached belongs to the node whose run directory it is given.
SETSID = """\
#!/bin/sh
shift
for word; do
    [ "$before" = --run ] && run=$word
    before=$word
done
. "$run/machine"
python=$1 module=$3
shift 3
[ "$module" = storage.host.extent_server ] && set -- "$@" --segment-mib {segment_mib}
exec {setsid} --fork nsenter --net="$NAMESPACE" -- env LD_PRELOAD="$LIBRARY" FAULT_CONTROL="$CONTROL" \\
    FAULT_DISK="$DISK" "$python" -m tests.faults.block.builds {build} "$module" "$@"
"""

T = TypeVar("T")


class Stuck(Exception):
    """The volume does not come back by itself."""


async def in_thread(act: Callable[[], T]) -> T:
    """What blocks must not hold up the guests."""
    return await trio.to_thread.run_sync(act)


class Host:
    """One node as it is broken: its disk, its lies, its processes."""

    def __init__(self, number: int, node: StorageNode, disk: RealDisk, lies: shim.Lies) -> None:
        self.number = number
        self.node = node
        self.disk = disk
        self.lies = lies
        self.is_mounted = True
        self.ended: trio.Event | None = None  # of its daemon, while it runs

    def signal(self, locks: Iterable[Path], number: signal.Signals) -> None:
        for lock in locks:
            send_signal(lock, number)

    def extent_locks(self) -> list[Path]:
        return list((self.node.run / "extents").glob("*.lock"))

    def volume_locks(self) -> list[Path]:
        return list((self.node.run / "volumes").glob("*/lock"))


class Cluster:
    """The nodes, one volume, and the guests that use it. `where`: the node on which they are."""

    def __init__(self, directory: Path, seed: int, build: str) -> None:
        self.dice = random.Random(seed)
        self.build = build
        self.network = Network(directory, NODES)
        library = shim.build(directory)
        shim.check(library, directory)
        disks = []
        for number in self.network.numbers:
            (directory / f"n{number}").mkdir()
            disks.append(RealDisk(directory / f"n{number}.img", directory / f"n{number}" / "disk", DISK_BYTES))
        self.nodes = StorageNodes(directory, NODES, [self.network.address(number) for number in self.network.numbers])
        self.hosts = [
            Host(number, self.nodes.node(number), disk, shim.Lies(library, directory / f"lies{number}", disk.path))
            for number, disk in zip(self.network.numbers, disks, strict=True)
        ]
        self._put_setsid(directory / "bin")
        self.volume_id = VolumeId(new_uuid())
        self.guest_disk = Disk(VOLUME_BYTES // 4096)
        self.guests = [Guest(self.guest_disk, n, GUESTS + 1, f"{seed}.{n}") for n in range(GUESTS + 1)]
        self.where = self.hosts[0]
        self.excused: list[tuple[float, float]] = []
        self._out_since: float | None = None
        self._may_begin = False
        self._guests_scope: trio.CancelScope | None = None

    def _put_setsid(self, directory: Path) -> None:
        directory.mkdir()
        real = shutil.which("setsid")
        assert real, "setsid is needed"
        wrapper = directory / "setsid"
        wrapper.write_text(SETSID.format(setsid=real, build=self.build, segment_mib=SEGMENT_MIB))
        wrapper.chmod(0o755)
        os.environ["PATH"] = f"{directory}:{os.environ['PATH']}"
        for host in self.hosts:
            told = host.lies.environment
            namespace = next(word for word in self.network.inside(host.number) if word.startswith("--net="))
            (host.node.run / "machine").write_text(
                f"NAMESPACE={namespace.removeprefix('--net=')}\nLIBRARY={told['LD_PRELOAD']}\n"
                f"CONTROL={told['FAULT_CONTROL']}\nDISK={told['FAULT_DISK']}\n"
            )

    # -- the whole

    async def through(self, act: Callable[[], Awaitable[None]]) -> None:
        """Run the nodes and the guests while `act` does."""
        with lifeline(self.nodes.root):
            async with trio.open_nursery() as self.nodes.nursery:
                for host in self.hosts:
                    await self._start_daemon(host)
                await self.until(lambda: self.nodes.shared.machine.picture.count(PoolDisk) == NODES, "no disks")
                self._create_volume()
                self.start_guests()
                await act()
                self.nodes.nursery.cancel_scope.cancel()

    def _create_volume(self) -> None:
        disks = tuple(DiskId(disk.id) for disk in self.nodes.shared.machine.picture.all(PoolDisk))
        with self.nodes.change() as change:
            for node_id in self.nodes.ids:
                member = Node(id=node_id, name=node_id, addresses=(), fingerprint="", admitted_at_ms=0, release="1")
                change.put(member)
            change.put(MovePolicy(balances=False, bytes_s=MOVE_BYTES_S))
            create_volume(
                change,
                volume_id=self.volume_id,
                project_id=MINE,
                name="faults",
                size_bytes=VOLUME_BYTES,
                extent_bytes=EXTENT_BYTES,
                layout=tuple((*disks[at % 3 : 3], *disks[: at % 3]) for at in range(VOLUME_BYTES // EXTENT_BYTES)),
                purpose=Purpose.ROOT,
                now_ms=0,
                node_id=self.where.node.node_id,
            )
            attach_volume(change, self.volume_id, server_id="server", node_id=self.where.node.node_id)

    async def until(self, true: Callable[[], bool], otherwise: str, seconds_max: float = SETTLE_S_MAX) -> None:
        """Wait until it is so. Raises Stuck."""
        with trio.move_on_after(seconds_max):
            while not true():
                await trio.sleep(POLL_S)
            return
        raise Stuck(otherwise)

    # -- guests

    def way_to(self, host: Host, *, file: bool = False) -> Way:
        run = host.node.run
        if file:
            return FileWay(control_socket(run, self.volume_id), volume_file(run, self.volume_id))
        return NbdWay(nbd_socket(run, self.volume_id))

    def start_guests(self) -> None:
        """On the node where they are now."""
        assert self.nodes.nursery is not None
        self._guests_scope = trio.CancelScope()
        self.nodes.nursery.start_soon(self._run_guests, self.guests, self._guests_scope, self.where)

    async def _run_guests(self, guests: list[Guest], scope: trio.CancelScope, host: Host) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                for number, guest in enumerate(guests):
                    way = self.way_to(host, file=number == GUESTS)
                    nursery.start_soon(guest.work, way, lambda: self._may_begin)

    async def kill_guests(self) -> None:
        """They are gone with what they had under way."""
        assert self._guests_scope is not None
        self._guests_scope.cancel()
        await self.until(lambda: is_idle(self.guests), "the guests do not end")

    def let_work(self) -> None:
        self._may_begin = True

    async def rest(self) -> None:
        """Let the guests end what they have under way. Raises Stuck."""
        self._may_begin = False
        await self.until(lambda: is_idle(self.guests), "a guest waits for its disk")

    async def move_guests(self, host: Host) -> None:
        """As when their host is given up: they start anew on another, which may serve the volume from now on."""
        await self.kill_guests()
        self.give_volume(host)
        self.start_guests()

    def give_volume(self, host: Host) -> None:
        """From now on the records say that this node serves it, and no other."""
        self.where = host
        with self.nodes.change() as change:
            attach_volume(change, self.volume_id, server_id="server", node_id=host.node.node_id)

    def out(self) -> None:
        """From now on nobody can be served, and nobody is to blame."""
        self._out_since = self._out_since or time.monotonic()

    def back(self) -> None:
        """From now on time counts again."""
        if self._out_since is not None:
            self.excused.append((self._out_since, time.monotonic()))
            self._out_since = None

    async def acknowledgement(self) -> None:
        """Return when a guest was just told that something is written, or a little later."""
        count = len(self.guest_disk.acknowledged_at)
        with trio.move_on_after(1.0):
            while len(self.guest_disk.acknowledged_at) == count:
                await trio.sleep(0.0005)

    # -- hosts

    def others(self) -> list[Host]:
        """Those on which the guests are not: first those with a replica, in any order."""
        rest = [host for host in self.hosts if host is not self.where]
        return sorted(self.dice.sample(rest, len(rest)), key=lambda host: not self.has_replica(host))

    def anyone(self) -> Host:
        """One that has a replica."""
        return self.dice.choice([host for host in self.hosts if self.has_replica(host)])

    def has_replica(self, host: Host) -> bool:
        layout = self.nodes.volume(self.volume_id).layout
        return any(self.disk_id(host) in disks for disks in layout)

    def disk_id(self, host: Host) -> DiskId:
        [disk] = self.nodes.shared.machine.picture.find(PoolDisk, "node_id", host.node.node_id)
        return disk.disk_id

    async def _start_daemon(self, host: Host) -> None:
        assert self.nodes.nursery is not None
        self.nodes.shared.up.add(host.node.node_id)
        await self.nodes.nursery.start(self._run_daemon, host)

    async def _run_daemon(self, host: Host, task_status: trio.TaskStatus[None]) -> None:
        host.ended = trio.Event()
        try:
            await self.nodes.run_daemon(host.node, task_status=task_status)
        finally:
            host.ended.set()

    async def kill_daemon(self, host: Host) -> None:
        if host.ended is not None:
            self.nodes.shared.up.discard(host.node.node_id)
            self.nodes.scopes[NodeId(host.node.node_id)].cancel()
            await host.ended.wait()
            host.ended = None

    async def kill(self, *hosts: Host) -> None:
        """All processes of these hosts, at once. Guests on them are gone too."""
        for host in hosts:
            await self.kill_daemon(host)
        if self.where in hosts:
            await self.kill_guests()
        for host in hosts:
            await self.until(partial(_is_killed, host), "a killed process stays", END_S_MAX)
        if len(hosts) > 1:
            self.out()

    async def power_cycle(self, *hosts: Host) -> None:
        """They lose power, and what they had not synced."""
        await self.kill(*hosts)
        for host in hosts:
            with trio.fail_after(END_S_MAX):
                while not await in_thread(partial(_is_cycled, host)):
                    await trio.sleep(POLL_S)

    async def start(self, *hosts: Host) -> None:
        """Switch them on again; guests that were there start there again."""
        for host in hosts:
            if host.ended is None:
                await self._start_daemon(host)
        if all(host.ended is not None for host in self.hosts):
            self.back()
        if self._guests_scope is not None and self._guests_scope.cancel_called:
            self.start_guests()

    async def mend(self) -> None:
        """Undo whatever a fault left broken."""
        self.network.shape()
        for host in self.hosts:
            host.signal(host.extent_locks() + host.volume_locks(), signal.SIGCONT)
        await self.start(*self.hosts)

    async def settle(self) -> None:
        """Until all replicas count again. Raises Stuck."""
        await self.until(
            lambda: not any(each.out_of_sync for each in layers(self)), "a replica does not come back into step"
        )

    def leave_ghosts(self) -> Callable[[], Awaitable[None]]:
        """The guests' host is given up, and they don't know: they go on, and what they ask counts for nothing unless it
        is answered. Others start in their place, with blocks of their own from now on. Ends the ghosts when called."""
        assert self._guests_scope is not None
        scope = self._guests_scope
        ghosts, self.guests = self.guests, [guest.heir() for guest in self.guests]

        async def end() -> None:
            scope.cancel()
            await self.until(lambda: is_idle(ghosts), "the guests of the old host do not end")

        return end

    def extent_lock(self, host: Host) -> Path:
        return extent_lock(host.node.run, self.disk_id(host))

    def holder_of(self, lock: Path) -> int | None:
        return holder(lock)

    @contextmanager
    def cut(self, host: Host) -> Iterator[None]:
        """It sees no other host, nor the log, and none sees it."""
        self.network.shape(cut=self.network.everyone(host.number))
        self.nodes.shared.alone.add(host.node.node_id)
        try:
            yield
        finally:
            self.nodes.shared.alone.discard(host.node.node_id)
            self.network.shape()

    async def order(self, command: Command) -> None:
        """What an operator wants, by way of the log."""
        await self.nodes.shared.cluster(self.nodes.ids[0]).propose(command)

    async def settle_disk(self, host: Host) -> None:
        """Have all that its journal holds brought to its place, as when an extent server ends in peace."""
        lock = extent_lock(host.node.run, self.disk_id(host))
        before = holder(lock)
        send_signal(lock, signal.SIGTERM)
        await self.until(lambda: holder(lock) not in (before, None), "an extent server does not start again")

    async def rot(self, pattern: str, host: Host | None = None) -> None:
        """Turn a few bits in files of one disk, as they are on the disk."""
        host = host or self.anyone()
        files = sorted(host.disk.path.rglob(pattern))
        for _ in range(self.dice.choice((1, 3, 10, 30)) if files else 0):
            await in_thread(partial(_turn_a_bit, self.dice.choice(files), self.dice))

    def signal_extents(self, host: Host, number: signal.Signals) -> None:
        send_signal(extent_lock(host.node.run, self.disk_id(host)), number)

    def signal_server(self, host: Host, number: signal.Signals) -> None:
        send_signal(volume_lock(host.node.run, self.volume_id), number)

    # -- judging

    async def look_at_all(self) -> None:
        """Read every block, as a guest; what it shows is judged with the rest."""
        with trio.move_on_after(SETTLE_S_MAX):
            await read_all(self.guest_disk, self.way_to(self.where))
            return
        raise Stuck("the volume can't be read")

    async def scrub(self) -> list[str]:
        """Have all disks checked, as an operator does: what has rotted and is not read is found and mended by that.

        What it says of blocks that no replica has any more.
        """
        asked_ms = now_ms()
        for host in self.hosts:
            await self.order(ScrubDisk(disk_id=self.disk_id(host), now_ms=asked_ms))
        await self.until(lambda: all(each.scrubbed_ms >= asked_ms for each in layers(self)), "it is not scrubbed")
        gone = sum(each.scrub_found.gone for each in layers(self) if each.scrub_found is not None)
        return [f"{gone} blocks have rotted on all replicas"] if gone else []

    def last_words(self) -> str:
        """The end of what every process said, and how the volume stands by the records."""
        said = [repr(self.nodes.volume(self.volume_id))]
        for host in self.hosts:
            for path in sorted((host.node.directory / "logs").glob("*.log")):
                said += [
                    f"node {host.number}, {path.name}:",
                    *path.read_text(errors="replace").splitlines()[-WORDS_MAX:],
                ]
        return "\n".join(said)

    def end(self) -> None:
        """Leave nothing mounted."""
        for host in self.hosts:
            host.signal(host.extent_locks() + host.volume_locks(), signal.SIGKILL)


def _is_killed(host: Host) -> bool:
    """Whether nothing of it is left. A process that was just being started again is killed when it is there."""
    locks = [lock for lock in host.extent_locks() + host.volume_locks() if holder(lock) is not None]
    for lock in locks:
        send_signal(lock, signal.SIGKILL)
    return not locks


def _is_cycled(host: Host) -> bool:
    """Whether the power cycle is done. What was being started when its daemon was killed may still hold the disk."""
    try:
        host.disk.power_cycle()
    except LabError:
        host.signal(host.extent_locks() + host.volume_locks(), signal.SIGKILL)
        return False
    return True


def _turn_a_bit(path: Path, dice: random.Random) -> None:
    """In a part of the file that holds something."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        for _ in range(ROT_TRIES_MAX):
            at = dice.randrange(max(1, size))
            file.seek(at)
            byte = file.read(1)
            near = os.pread(file.fileno(), 64, max(0, at - 32))
            if byte and any(near):
                file.seek(at)
                file.write(bytes([byte[0] ^ 1 << dice.randrange(8)]))
                file.flush()
                os.fsync(file.fileno())
                return


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
