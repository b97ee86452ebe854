"""A replicated volume in bad weather: the real protocol code over a simulated network, disks, log and clock.

Guests write unique values and read them back; afterwards each block must look as if all its reads and writes had
happened one after another (a linearizable register), and all replicas must be equal when everything has healed.
"""

import heapq
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from msgspec.structs import replace

from noded.core.errors import Conflict, Refused, Unavailable
from noded.core.ids import DiskId, NodeId, VolumeId
from storage.extents import authority
from storage.extents.authority import (
    Adopt,
    Claim,
    DiskAddress,
    Grow,
    Locate,
    Mark,
    ParentMap,
    Shrink,
    Thaw,
    VolumeMap,
)
from storage.extents.frame import BadFrame, hash_of
from storage.extents.layout import BLOCK_BYTES, may_leave
from storage.extents.member import MemberState
from storage.extents.messages import volume_key
from storage.extents.replication import Owner
from storage.extents.serving import Buffer, Session
from tests.simulation.replication_mover import Mover
from tests.twins.extents import MemoryReplica, MemoryStore

VOLUME = VolumeId("5e3f7a10-0000-4000-8000-000000000001")
TICK_S = 0.25
DISKS = tuple(DiskId(f"disk{number}") for number in range(4))
Layout = tuple[tuple[DiskId, ...], ...]
# Not every disk has a replica of every extent, so that writes wait for different replicas.
MIXED: Layout = (DISKS[:3], DISKS[1:], DISKS[2:], DISKS[:2])
SAME: Layout = (DISKS[:3],) * 2


@dataclass
class Operation:
    """What a guest did with one block, and when; `end` is None if it was never answered."""

    kind: str
    block: int
    value: int
    start: float
    end: float | None = None


@dataclass
class Weather:
    """How often what goes wrong. Times are means, in seconds."""

    latency: float = 0.02
    # The log takes longer: it has a majority to ask, and its daemon may be busy.
    log_latency: float = 0.1
    commit: float = 0.02
    fault: float = 2.0
    seconds: float = 60.0
    # How many requests are under way at the same time.
    guests: int = 6
    # Few: each is written often. Many: what was missed is not soon covered by a newer write.
    blocks: int = 16
    layout: Layout = MIXED
    slow: float = 0.02
    # How long it is from one snapshot to the next; 0: there are none.
    snapshot: float = 0.0
    # A replica begins to move to another disk this often; 0: the layout stays as it is.
    move: float = 0.0
    # Every owner has all replicas checked, pass after pass; and when all has healed, something rots on one disk.
    scrub: bool = False
    # A host with an owner and a disk is cut off from all others, where another owner takes over, this often; 0: never.
    island: float = 0.0


class Disk:
    """An extent server: its store, and the sessions of those who are connected."""

    def __init__(self, world: "World", disk_id: DiskId) -> None:
        self.world = world
        self.disk_id = disk_id
        self.store = MemoryStore()
        self.up = True
        # A dict keeps their order, which a seed must fix.
        self.links: dict[Link, None] = {}
        self.committing = False

    def content(self, key: int, extent: int) -> dict[int, tuple[int, int, bytes]]:
        """What it holds of one extent of the volume."""
        replica = self.store.replicas.get(key)
        blocks = replica.blocks if replica is not None else {}
        return {number: block for (where, number), block in blocks.items() if where == extent}

    def power_cut(self) -> None:
        self.up = False
        self.store.power_cut(self.world.dice.randint(0, len(self.store.staged)))
        for link in tuple(self.links):
            link.break_now()
        self.world.later(self.world.dice.uniform(0.2, 6), self._start)

    def _start(self) -> None:
        self.up = True

    def received(self) -> None:
        """Something is staged: it is committed, and acknowledged, in a moment."""
        if not self.committing:
            self.committing = True
            self.world.later(self.world.delay(self.world.weather.commit), self._commit)

    def _commit(self) -> None:
        self.committing = False
        if self.up:
            self.store.commit()
            for link in tuple(self.links):
                link.session.acknowledge()
                link.answer()


class Link:
    """One connection: bytes arrive in order, or it breaks. A cut is silent until somebody waits too long."""

    def __init__(self, server: "Server", disk: Disk) -> None:
        self.server = server
        self.disk = disk
        self.world = server.world
        self.replies: list[Buffer] = []
        self.session: Session[MemoryReplica] = Session(disk.store, self.replies)
        self.broken = False
        self._arrivals = {"there": 0.0, "back": 0.0}
        disk.links[self] = None

    def send(self, out: list[Buffer]) -> None:
        if out:
            content = b"".join(bytes(buffer) for buffer in out)
            out.clear()
            self._carry("there", self.disk, partial(self._arrive, content))

    def answer(self) -> None:
        if self.replies:
            content = b"".join(bytes(buffer) for buffer in self.replies)
            self.replies.clear()
            self._carry("back", self.disk, partial(self._return, content))

    def break_now(self) -> None:
        """The end of the connection, which its owner hears of a little later."""
        if not self.broken:
            self.silence()
            if not self.world.is_cut(self.server, self.disk):
                self.world.later(0.05, partial(self.server.link_ended, self, "reset"))

    def silence(self) -> None:
        self.broken = True
        self.disk.links.pop(self, None)

    def _carry(self, way: str, disk: Disk, arrive: Callable[[], None]) -> None:
        if self.broken or self.world.is_cut(self.server, disk):
            self.silence()
            return
        self._arrivals[way] = max(self._arrivals[way], self.world.now + self.world.delay(self.world.weather.latency))
        self.world.at(self._arrivals[way], arrive)

    def _arrive(self, content: bytes) -> None:
        if self.broken or not self.disk.up:
            return
        if self.world.is_cut(self.server, self.disk):
            self.silence()
            return
        try:
            end = self.session.receive(memoryview(content), 0, len(content))
        except BadFrame as error:
            raise AssertionError(f"an owner sent a bad frame: {error}") from error
        assert end == len(content)
        self.disk.received()

    def _return(self, content: bytes) -> None:
        if self.broken or not self.server.alive:
            return
        if self.world.is_cut(self.server, self.disk):
            self.silence()
            return
        end = self.server.owner.received(self.disk.disk_id, memoryview(content), 0, len(content))
        assert end == len(content) or self.broken
        self.server.flush()


class Server:
    """A volume server on some node, with its guest. Implements `Surroundings`."""

    def __init__(self, world: "World", name: str, volume_id: VolumeId = VOLUME, *, guests: bool = True) -> None:
        self.world = world
        self.name = name
        self.volume_id = volume_id
        # Its host has a disk, if hosts are cut off in this world.
        number = len(world.servers) % len(DISKS)
        self.node_id = NodeId(DISKS[number]) if world.weather.island else NodeId(name)
        self.guests = world.weather.guests if guests else 0
        self.alive = True
        self.links: dict[DiskId, Link] = {}
        self.waiting: set[DiskId] = set()
        self.opened = False
        self.only_reads = False
        self.notes: list[str] = []
        self.owner: Owner
        self._claim()

    def kill(self) -> None:
        self.alive = False
        for link in self.links.values():
            link.silence()

    def _claim(self) -> None:
        self.world.log.ask(self, Claim(self.volume_id, NodeId(self.name), self.name), self._claimed, self._not_claimed)

    def _not_claimed(self, _refusal: Refused) -> None:
        self.world.later(0.5, self._claim)

    def _claimed(self, volume: VolumeMap) -> None:
        if not self.alive or hasattr(self, "owner"):
            return
        if volume.epoch != self.world.log.volumes[self.volume_id].epoch:
            self.kill()
            return
        self.owner = Owner(volume, self.node_id, self)
        for disk_id in self.owner.members:
            self._connect(disk_id)
        self._tick()
        for _ in range(self.guests):
            self._guest()

    def _tick(self) -> None:
        if self.alive:
            if self.world.weather.scrub and not self.owner.scrub.is_running:
                self.owner.scrub.start(int(1000 * self.world.now), 0)
            self.owner.tick()
            self.flush()
            self.world.later(TICK_S, self._tick)

    def _connect(self, disk_id: DiskId) -> None:
        self.waiting.discard(disk_id)
        if not self.alive or disk_id in self.links or disk_id not in self.owner.members:
            return
        disk = self.world.disks[disk_id]
        if not disk.up or self.world.is_cut(self, disk):
            self._connect_later(disk_id)
            return
        self.links[disk_id] = Link(self, disk)
        self.owner.connected(disk_id)
        self.flush()

    def _connect_later(self, disk_id: DiskId) -> None:
        if disk_id not in self.waiting:
            self.waiting.add(disk_id)
            self.world.later(self.world.dice.uniform(0.1, 0.8), partial(self._connect, disk_id))

    def link_ended(self, link: Link, reason: str) -> None:
        if self.alive and self.links.get(link.disk.disk_id) is link:
            del self.links[link.disk.disk_id]
            self.owner.disconnected(link.disk.disk_id, reason)
            self._connect_later(link.disk.disk_id)
            self.flush()

    def flush(self) -> None:
        for disk_id, link in tuple(self.links.items()):
            if disk_id in self.owner.members:
                link.send(self.owner.members[disk_id].out)

    # --- the guest

    def _guest(self) -> None:
        if not self.alive or self.world.calm:
            return
        dice = self.world.dice
        block = dice.randrange(self.world.weather.blocks)
        count = 2 if block % 2 == 0 and dice.random() < 0.2 else 1
        numbers = range(block, block + count)
        # Cut off, a guest would soon wait for its writes alone.
        stuck = bool(self.world.weather.island) and 2 * len(self.owner.inflight) >= self.guests
        if not (stuck or self.only_reads) and dice.random() < 0.5:
            values = [self.world.new_value() for _ in numbers]
            done = [self.world.begin("write", number, value) for number, value in zip(numbers, values, strict=True)]
            self.owner.write(block * BLOCK_BYTES, b"".join(map(content_of, values)), partial(self._written, done))
        else:
            done = [self.world.begin("read", number, 0) for number in numbers]
            self.owner.read(block * BLOCK_BYTES, count * BLOCK_BYTES, partial(self._read, done))
        self.flush()

    def _written(self, done: Sequence[Operation], error: int) -> None:
        assert error == 0, error
        if self.alive:
            for operation in done:
                operation.end = self.world.now
            self._rest()

    def _read(self, done: Sequence[Operation], error: int, data: Buffer | None) -> None:
        assert error == 0, error
        if self.alive:
            for at, operation in enumerate(done):
                operation.value = 0 if data is None else value_of(data[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES])
                operation.end = self.world.now
            self._rest()

    def _rest(self) -> None:
        self.world.later(self.world.dice.expovariate(1 / 0.05), self._guest)

    # --- Surroundings

    def now(self) -> float:
        return self.world.now

    def reach(self, disk_id: DiskId) -> None:
        self._connect_later(disk_id)

    def drop(self, disk_id: DiskId) -> None:
        link = self.links.pop(disk_id, None)
        if link is not None:
            link.silence()
        self._connect_later(disk_id)

    def ask(self, request: authority.Request) -> None:
        self.world.log.ask(self, request, self._told, self._refused)

    def _told(self, volume: VolumeMap) -> None:
        if self.alive:
            self.owner.told(volume)
            self.flush()

    def _refused(self, refusal: Refused) -> None:
        if self.alive:
            self.owner.refused_by_authority(refusal)
            self.flush()

    def stopped(self, _reason: str) -> None:
        self.kill()

    def note(self, message: str, **fields: object) -> None:
        self.notes.append(f"{self.world.now:7.3f} {self.name} {message} {fields}")


class Log:
    """The authority: applies each request once or more, soon or late, and may lose its answer."""

    def __init__(self, world: "World", volume: VolumeMap) -> None:
        self.world = world
        self.volumes = {volume.volume_id: volume}
        self.claim_ids: dict[VolumeId, str] = {}
        self.snapshots: list[Snapshot] = []
        self.cut: set[str] = set()
        self._asked: dict[int, Any] = {}

    @property
    def volume(self) -> VolumeMap:
        """The volume that guests use."""
        return self.map_of(VOLUME)

    @volume.setter
    def volume(self, volume: VolumeMap) -> None:
        self._put(volume)

    def ask(
        self,
        server: Server,
        request: authority.Request,
        told: Callable[[VolumeMap], None],
        refused: Callable[[Refused], None],
    ) -> None:
        answered: list[bool] = []

        def answer(result: VolumeMap | Refused) -> None:
            if not answered and server.name not in self.cut:
                answered.append(True)
                if isinstance(result, Refused):
                    refused(result)
                else:
                    told(result)

        def apply() -> None:
            if not late or server.name not in self.cut:
                result = self.apply(request)
                self.world.later(self._delay(), partial(answer, result))

        late = self.world.dice.random() < 0.05
        reaches = server.name not in self.cut
        if reaches:
            # A daemon may propose a request long after its asker has given up waiting.
            self.world.later(self._delay() + (self.world.dice.uniform(0.5, 6) if late else 0), apply)
        self.world.later(1.5, lambda: self._give_up(answered, refused))

    def _delay(self) -> float:
        return self.world.delay(self.world.weather.log_latency)

    def _give_up(self, answered: list[bool], refused: Callable[[Refused], None]) -> None:
        if not answered:
            answered.append(True)
            refused(Unavailable("no answer"))

    def apply(self, request: authority.Request) -> VolumeMap | Refused:
        volume = self.map_of(request.volume_id)
        if isinstance(request, Locate):
            return volume
        if isinstance(request, Claim):
            if self.claim_ids.get(request.volume_id) != request.claim_id:
                self.claim_ids[request.volume_id] = request.claim_id
                volume = replace(volume, epoch=volume.epoch + 1)
            return self._put(volume)
        if request.epoch != volume.epoch:
            return Conflict("superseded", code=authority.SUPERSEDED)
        if isinstance(request, Thaw):
            if request.changes == volume.changes and not self.world.is_broken("marks stay good"):
                volume = replace(volume, changes=volume.changes + 1)
            return self._put(volume)
        if request.changes != volume.changes and not self.world.is_broken("changes are not counted"):
            return Conflict("stale", code=authority.STALE_CHANGE)
        if isinstance(request, Adopt):
            adopted = self.world.mover.adopted(volume, request)
            return Conflict("stale", code=authority.STALE_CHANGE) if adopted is None else self._put(adopted)
        if isinstance(request, Grow):
            if any(request.disk_id not in parent.in_sync for parent in volume.parents):
                return Conflict("its source is behind", code=authority.STALE_CHANGE)
            in_sync = tuple(disk for disk in DISKS if disk in {*volume.in_sync, request.disk_id})
        else:
            assert isinstance(request, Shrink)
            if not may_leave(volume.layout, volume.in_sync, request.disk_ids):
                return Conflict("last", code=authority.LAST_REPLICA)
            in_sync = tuple(disk for disk in volume.in_sync if disk not in request.disk_ids)
        if in_sync != volume.in_sync:
            volume = replace(volume, in_sync=in_sync, changes=volume.changes + 1)
        return self._put(volume)

    def map_of(self, volume_id: VolumeId) -> VolumeMap:
        """The present map: what is known of the parents is what is so now."""
        volume = self.volumes[volume_id]
        parents = tuple(
            ParentMap(above.layer, above.size_bytes, above.epoch, above.in_sync)  # type: ignore[arg-type]
            for above in (self.volumes[parent] for parent in self._chain(volume_id))
        )
        behind = tuple(disk for disk in DISKS if any(disk not in parent.in_sync for parent in parents))
        return replace(volume, parents=parents, held_back=behind)

    def take(self, mark: Mark) -> None:
        """Make a snapshot, if the mark is still good: what the volume has becomes the snapshot's."""
        volume = self.volumes[mark.volume_id]
        good = mark.changes == volume.changes or self.world.is_broken("marks are not looked at")
        if mark.epoch != volume.epoch or not good:
            return
        number = len(self.snapshots) + 1
        snapshot_id = VolumeId(f"5e3f7a10-0000-4000-8000-{number:012d}".replace("5e3f7a10", f"{number:08x}"))
        layer_id = f"{number:08x}-1111-4000-8000-000000000001"
        self.snapshots.append(Snapshot(snapshot_id, self.world.now))
        # The new one is behind what the volume had: its parent's parent is what was the volume's parent.
        self.volumes[snapshot_id] = replace(volume, volume_id=snapshot_id, layer_id=volume.layer)
        self.volumes[mark.volume_id] = replace(volume, layer_id=layer_id, changes=volume.changes + 1)

    def _chain(self, volume_id: VolumeId) -> list[VolumeId]:
        taken = [snapshot.volume_id for snapshot in self.snapshots]
        return taken[::-1] if volume_id == VOLUME else taken[: taken.index(volume_id)][::-1]

    def _put(self, volume: VolumeMap) -> VolumeMap:
        self.volumes[volume.volume_id] = volume
        return self.map_of(volume.volume_id)


@dataclass
class Snapshot:
    """What the volume was at one moment."""

    volume_id: VolumeId
    moment: float


@dataclass
class World:
    """Everything, from one seed. `broken` names the rule that is taken out."""

    seed: int
    weather: Weather = field(default_factory=Weather)
    broken: str = ""

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.now = 0.0
        self.calm = False
        self.operations: list[Operation] = []
        self.servers: list[Server] = []
        self.repairer: Server | None = None
        self.repairs = 0
        self.cuts: set[tuple[str, str]] = set()
        self.disks = {disk_id: Disk(self, disk_id) for disk_id in DISKS}
        used = tuple(disk for disk in DISKS if any(disk in disks for disks in self.weather.layout))
        addresses = {disk_id: DiskAddress(NodeId(disk_id), "", 0) for disk_id in DISKS}
        self.log = Log(
            self,
            VolumeMap(
                volume_id=VOLUME,
                size_bytes=self.weather.blocks * BLOCK_BYTES,
                extent_bytes=self.weather.blocks * BLOCK_BYTES // len(self.weather.layout),
                layout=self.weather.layout,
                epoch=0,
                changes=0,
                in_sync=used,
                parents=(),
                disks=addresses,
                writable=True,
            ),
        )
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._value = 0
        self.mover = Mover(self)

    def is_broken(self, rule: str) -> bool:
        return self.broken == rule

    # --- time

    def at(self, moment: float, call: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._queue, (moment, self._number, call))

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.at(self.now + seconds, call)

    def delay(self, mean: float) -> float:
        is_slow = not self.calm and self.dice.random() < self.weather.slow
        slow = self.dice.uniform(0.5, 2) if is_slow else 0
        return self.dice.expovariate(1 / mean) + slow

    def run_until(self, moment: float) -> None:
        while self._queue and self._queue[0][0] < moment:
            self.now, _, call = heapq.heappop(self._queue)
            call()
        self.now = moment

    # --- guests' history

    def new_value(self) -> int:
        self._value += 1
        return self._value

    def begin(self, kind: str, block: int, value: int) -> Operation:
        operation = Operation(kind, block, value, self.now)
        self.operations.append(operation)
        return operation

    # --- faults

    def is_cut(self, server: Server, disk: Disk) -> bool:
        return (server.name, disk.disk_id) in self.cuts

    def run(self) -> None:
        """Bad weather, then calm; raises AssertionError if something was lost."""
        self._new_server()
        self.later(1.0, self._fault)
        self.later(1.0, self._supervise)
        if self.weather.snapshot:
            self.later(1.0, self._snapshot)
        if self.weather.move:
            self.later(0.5, self.mover.step)
        if self.weather.island:
            self.later(3.0, self._island)
        self.run_until(self.weather.seconds)
        self._heal()
        if self.weather.scrub:
            self.run_until(self.weather.seconds + 30)
            self._rot()
        # Each snapshot that is behind is mended in its turn.
        self.run_until(self.weather.seconds + 60 + 8 * len(self.log.snapshots))
        self.check()

    def _new_server(self) -> None:
        self.servers.append(Server(self, f"server{len(self.servers)}"))

    def _supervise(self) -> None:
        if not any(server.alive for server in self.servers):
            self._new_server()
        if self.weather.snapshot:
            self._repair()
        self.later(2.0, self._supervise)

    def _repair(self) -> None:
        """Snapshots that are behind somewhere are mended by a server of their own, the oldest first."""
        if self.repairer is not None:
            whole = self._is_whole(self.log.volumes[self.repairer.volume_id])
            if self.repairer.alive and not whole and self.dice.random() > 0.1:
                return
            self.repairer.kill()
            self.repairer = None
        for snapshot in self.log.snapshots:
            if not self._is_whole(self.log.volumes[snapshot.volume_id]):
                self.repairs += 1
                self.repairer = Server(self, f"repairer{self.repairs}", snapshot.volume_id, guests=False)
                return

    def _is_whole(self, volume: VolumeMap) -> bool:
        return set(volume.in_sync) == {disk for disks in volume.layout for disk in disks}

    def _snapshot(self) -> None:
        """Somebody wants a snapshot: has the server stand still, asks the log, lets it go on; or is too late."""
        if self.calm:
            return
        alive = [server for server in self.servers if server.alive and hasattr(server, "owner")]
        if alive:
            self._take(self.dice.choice(alive), 200)
        self.later(self.dice.expovariate(1 / self.weather.snapshot), self._snapshot)

    def _take(self, server: Server, patience: int) -> None:
        if not server.alive:
            return
        mark = server.owner.freezing.freeze()
        server.flush()
        if mark is None:
            if patience:
                self.later(0.02, partial(self._take, server, patience - 1))
            return
        delay = self.delay(self.weather.log_latency) + (self.dice.uniform(1, 12) if self.dice.random() < 0.2 else 0)
        self.later(delay, partial(self.log.take, mark))
        if self.dice.random() < 0.9:
            self.later(self.delay(self.weather.log_latency * 2), partial(self._thaw, server))

    def _thaw(self, server: Server) -> None:
        if server.alive:
            server.owner.freezing.thaw()
            server.flush()

    def _fault(self) -> None:
        if self.calm:
            return
        dice = self.dice
        alive = [server for server in [self.repairer, *self.servers] if server is not None and server.alive]
        kind = dice.random()
        if kind < 0.3:
            dice.choice(list(self.disks.values())).power_cut()
        elif kind < 0.4:
            for disk in self.disks.values():
                disk.power_cut()
        elif kind < 0.5 and alive:
            alive[-1].kill()
        elif kind < 0.6 and len(alive) < 3:
            self._new_server()
        elif kind < 0.7:
            for link in [link for disk in self.disks.values() for link in disk.links if dice.random() < 0.5]:
                link.break_now()
        elif alive:
            self._cut(dice.choice(alive))
        self.later(dice.expovariate(1 / self.weather.fault), self._fault)

    def _cut(self, server: Server) -> None:
        cuts = {(server.name, disk_id) for disk_id in self.dice.sample(DISKS, self.dice.randint(0, 4))}
        from_log = {server.name} if self.dice.random() < 0.4 else set()
        self._cut_for(self.dice.uniform(0.2, 10), cuts, from_log)

    def _cut_for(self, seconds: float, cuts: set[tuple[str, str]], from_log: set[str]) -> None:
        self.cuts |= cuts
        self.log.cut |= from_log

        def heal() -> None:
            self.cuts -= cuts
            self.log.cut -= from_log

        self.later(seconds, heal)

    def _island(self) -> None:
        """An owner goes on with the disk of its own host alone; another one takes over with the rest."""
        if self.calm:
            return
        alive = [server for server in self.servers if server.alive and hasattr(server, "owner")]
        if alive and len(alive) < 3:
            here, there = alive[-1], f"server{len(self.servers)}"
            home = DiskId(here.node_id)
            seconds = self.dice.uniform(4, 15)
            self._cut_for(seconds, {(there, home)}, {here.name})
            if self.dice.random() < 0.5:
                self._cut_for(seconds, {(here.name, disk_id) for disk_id in DISKS if disk_id != home}, set())
            else:
                here.only_reads = True  # a write would tell it at once that it owns nothing any more
            if self.dice.random() < 0.3:
                self._cut_for(3.0, {(there, disk_id) for disk_id in DISKS if disk_id != home}, set())
            self._new_server()
        self.later(self.dice.expovariate(1 / self.weather.island), self._island)

    def _heal(self) -> None:
        self.calm = True
        self.cuts.clear()
        self.log.cut.clear()

    def _rot(self) -> None:
        """A disk forgets writes, and loses what it had, without anybody's noticing."""
        disk = self.disks[self.dice.choice(self.log.volume.layout[0])]
        replica = disk.store.replicas[volume_key(self.log.volume.layer)]
        for place in sorted(replica.blocks):
            stamp = replica.blocks[place][0]
            kind = self.dice.random()
            if kind < 0.2:
                disk.store.damaged.add(place)
            elif kind < 0.4:
                disk.store.lost.add(place)
            elif kind < 0.6:
                del replica.blocks[place]
            elif kind < 0.8:
                replica.blocks[place] = (stamp - 1, hash_of(bytes(BLOCK_BYTES)), bytes(BLOCK_BYTES))

    # --- the verdict

    def check(self) -> None:
        for volume in self.log.volumes.values():
            assert self._is_whole(volume), f"{volume.volume_id} is not whole: {volume.in_sync}"
            for extent, disks in enumerate(volume.layout):
                contents = [self.disks[disk].content(volume_key(volume.layer), extent) for disk in disks]
                assert all(content == contents[0] for content in contents), f"replicas of {volume.volume_id} differ"
        self.mover.check()
        assert not any(disk.store.damaged or disk.store.lost for disk in self.disks.values())
        owner = next(server for server in self.servers if server.alive).owner
        assert all(member.state is MemberState.CURRENT for member in owner.members.values())
        self._read_snapshots()
        for block in range(self.weather.blocks):
            history = [operation for operation in self.operations if operation.block == block]
            assert is_linearizable(history), f"block {block} went back in time, or lost a write"

    def _read_snapshots(self) -> None:
        """A snapshot is a read of all blocks at the moment in which it was made."""
        for snapshot in self.log.snapshots:
            volume = self.log.volumes[snapshot.volume_id]
            for block in range(self.weather.blocks):
                extent, number = divmod(block, volume.extent_bytes // BLOCK_BYTES)
                replica = self.disks[volume.layout[extent][0]].store.replicas[volume_key(volume.layer)]
                _, _, data = replica.block(extent, number)
                read = Operation("read", block, value_of(data), snapshot.moment, snapshot.moment)
                self.operations.append(read)


def content_of(value: int) -> bytes:
    return struct.pack("<Q", value) * (BLOCK_BYTES // 8)


def value_of(data: Buffer) -> int:
    value: int = struct.unpack_from("<Q", data)[0]
    assert bytes(data) == content_of(value), "a block is torn"
    return value


def is_linearizable(history: Sequence[Operation], states_max: int = 200_000) -> bool:
    """Wing & Gong's search with memory, for one register whose written values are unique."""
    never = float("inf")
    seen_values = {each.value for each in history if each.kind == "read" and each.end is not None}
    kept = [each for each in history if each.end is not None or (each.kind == "write" and each.value in seen_values)]
    kept.sort(key=lambda each: each.start)
    ends = [never if each.end is None else each.end for each in kept]
    stack: list[tuple[int, frozenset[int], int]] = [(0, frozenset(), 0)]
    visited: set[tuple[int, frozenset[int], int]] = set()
    while stack:
        prefix, beyond, value = stack.pop()
        while prefix in beyond:
            beyond -= {prefix}
            prefix += 1
        state = (prefix, beyond, value)
        if state in visited:
            continue
        visited.add(state)
        assert len(visited) < states_max, "the history is too long to judge"
        left = [at for at in range(prefix, len(kept)) if at not in beyond]
        if all(ends[at] == never for at in left):
            return True
        horizon = min(ends[at] for at in left)
        for at in left:
            if kept[at].start > horizon:
                break
            if kept[at].kind == "write":
                stack.append((prefix, beyond | {at}, kept[at].value))
            elif kept[at].value == value:
                stack.append((prefix, beyond | {at}, value))
    return False
