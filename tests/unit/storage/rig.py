"""An owner and its replicas without time: what is sent arrives at once, and the log answers at once."""

from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from noded.core.errors import Refused
from noded.core.ids import DiskId, NodeId
from storage.extents.authority import Adopt, DiskAddress, Grow, Locate, ParentMap, Shrink, VolumeMap
from storage.extents.authority import Request as AuthorityRequest
from storage.extents.layout import BLOCK_BYTES
from storage.extents.replication import Owner
from storage.extents.serving import Buffer, Session
from tests.twins.extents import MemoryStore
from tests.unit.storage.talk import CLONE, VOLUME

NODE = NodeId("node1")
DISKS = (DiskId("a"), DiskId("b"), DiskId("c"))
EXTENT_BYTES = 4 * BLOCK_BYTES
BLOCKS = 12


def volume_map(**changes: Any) -> VolumeMap:
    """A volume of three extents, each on all three disks; disk `a` is on this node."""
    facts: dict[str, Any] = {
        "volume_id": VOLUME,
        "size_bytes": BLOCKS * BLOCK_BYTES,
        "extent_bytes": EXTENT_BYTES,
        "layout": (DISKS, (DISKS[1], DISKS[2], DISKS[0]), DISKS),
        "epoch": 1,
        "changes": 0,
        "in_sync": DISKS,
        "parents": (),
        "disks": {disk: DiskAddress(NodeId(f"node{at}"), "", 0) for at, disk in enumerate(DISKS, 1)},
        "writable": True,
    }
    return VolumeMap(**(facts | changes))


@dataclass
class Rig:
    """The surroundings of an owner. `silent` disks take what they are sent, and answer nothing."""

    volume: VolumeMap = field(default_factory=volume_map)
    stores: dict[DiskId, MemoryStore] = field(default_factory=lambda: {disk: MemoryStore() for disk in DISKS})
    writes: bool = True
    disks: tuple[DiskId, ...] = DISKS

    def __post_init__(self) -> None:
        self.time = 100.0
        self.asked: list[AuthorityRequest] = []
        self.answers_at_once = True
        self.gone = ""
        self.sessions: dict[DiskId, Session[Any]] = {}
        self.silent: set[DiskId] = set()
        self.down: set[DiskId] = set()
        self.reads: list[DiskId] = []
        self.owner = Owner(self.volume, NODE, self, writes=self.writes)
        for disk_id in self.disks:
            self.connect(disk_id)

    # --- what a test does

    def connect(self, disk_id: DiskId) -> None:
        if disk_id not in self.sessions and disk_id not in self.down and disk_id in self.owner.members:
            self.sessions[disk_id] = Session(self.stores[disk_id], [])
            self.owner.connected(disk_id)
            self.settle()

    def disconnect(self, disk_id: DiskId) -> None:
        self.down.add(disk_id)
        if self.sessions.pop(disk_id, None) is not None:
            self.owner.disconnected(disk_id, "test")
            self.settle()

    def come_back(self, disk_id: DiskId) -> None:
        self.down.discard(disk_id)
        self.connect(disk_id)

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds * 4)):
            self.time += 0.25
            self.owner.tick()
            self.settle()
            for disk_id in self.disks:
                self.connect(disk_id)

    def write(self, block: int, data: bytes) -> list[int]:
        done: list[int] = []
        self.owner.write(block * BLOCK_BYTES, data, done.append)
        self.settle()
        return done

    def update(self, offset: int, data: bytes | None, length: int = 0) -> list[int]:
        done: list[int] = []
        self.owner.update(offset, length or len(data or b""), data, done.append)
        self.settle()
        return done

    def read(self, block: int, count: int = 1) -> list[tuple[int, bytes | None]]:
        done: list[tuple[int, bytes | None]] = []

        def answered(error: int, data: Buffer | None) -> None:
            done.append((error, None if data is None else bytes(data)))

        self.owner.read(block * BLOCK_BYTES, count * BLOCK_BYTES, answered)
        self.settle()
        return done

    def content(self, disk_id: DiskId) -> dict[tuple[int, int], tuple[int, int, bytes]]:
        """What one disk holds of the volume."""
        return self.stores[disk_id].replicas[self.owner.key].blocks

    def settle(self) -> None:
        """Carry everything that is under way to its end."""
        moved = True
        while moved:
            moved = False
            for disk_id in tuple(self.sessions):
                moved = self._exchange(disk_id) or moved

    def _exchange(self, disk_id: DiskId) -> bool:
        session, member = self.sessions[disk_id], self.owner.members[disk_id]
        sent = b"".join(bytes(each) for each in member.out)
        member.out.clear()
        if sent:
            session.receive(memoryview(sent), 0, len(sent))
            session.store.commit()
        if disk_id in self.silent:
            return False
        session.acknowledge()
        answer = b"".join(bytes(each) for each in session.replies)
        session.replies.clear()
        if answer:
            self.owner.received(disk_id, memoryview(answer), 0, len(answer))
        return bool(sent or answer)

    # --- Surroundings

    def now(self) -> float:
        return self.time

    def reach(self, disk_id: DiskId) -> None:
        """It is connected as time passes."""

    def drop(self, disk_id: DiskId) -> None:
        self.sessions.pop(disk_id, None)

    def ask(self, request: AuthorityRequest) -> None:
        self.asked.append(request)
        if self.answers_at_once:
            self.answer()

    def answer(self, refusal: Refused | None = None) -> None:
        """Let the log answer what was asked last."""
        if refusal is not None:
            self.owner.refused_by_authority(refusal)
            return
        request, volume = self.asked[-1], self.volume
        in_sync = set(volume.in_sync)
        if isinstance(request, Shrink):
            in_sync -= set(request.disk_ids)
        elif isinstance(request, Grow):
            in_sync.add(request.disk_id)
        elif isinstance(request, Adopt):
            self._adopt(request)
            return
        else:
            assert isinstance(request, Locate)
        changed = in_sync != set(volume.in_sync)
        ordered = tuple(disk for disk in DISKS if disk in in_sync)
        self.volume = replace(volume, in_sync=ordered, changes=volume.changes + changed)
        self.owner.told(self.volume)

    def _adopt(self, request: Adopt) -> None:
        volume = self.volume
        self.volume = replace(
            volume,
            layout=tuple(
                (*disks, request.disk_id) if extent in request.extents else disks
                for extent, disks in enumerate(volume.layout)
            ),
            joining=tuple(each for each in volume.joining if each.extent not in request.extents),
            in_sync=tuple(dict.fromkeys((*volume.in_sync, request.disk_id))),
            changes=volume.changes + 1,
        )
        self.owner.told(self.volume)

    def stopped(self, reason: str) -> None:
        self.gone = reason

    def note(self, message: str, **fields: object) -> None:
        """Not looked at."""


def clone_map(parent_in_sync: tuple[DiskId, ...] = DISKS, **changes: Any) -> VolumeMap:
    """A clone of `volume_map`'s volume."""
    parent = ParentMap(VOLUME, BLOCKS * BLOCK_BYTES, 1, parent_in_sync)
    held_back = tuple(disk for disk in DISKS if disk not in parent_in_sync)
    return volume_map(volume_id=CLONE, parents=(parent,), held_back=held_back, **changes)
