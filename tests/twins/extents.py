"""A disk in memory: keeps replicas as `storage.host.extent_store` does, and may lose its power at any moment."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from storage.extents import frame
from storage.extents.frame import ALWAYS, ZERO_BLOCK_HASH, Op, Why, hash_of
from storage.extents.layout import BLOCK_BYTES
from storage.extents.messages import BLOCK_LINE, BlockState, Digest, FilesState, Hello, Usage, volume_key
from storage.extents.serving import Buffer, Change, Refusal

ZEROES = bytes(BLOCK_BYTES)
Block = tuple[int, int, bytes]
ABSENT: Block = (0, 0, ZEROES)


@dataclass(eq=False)
class MemoryReplica:
    """A volume on the disk. `blocks` by extent and number."""

    key: int
    volume_id: str
    size_bytes: int
    extent_bytes: int
    parent: "MemoryReplica | None" = None
    sealed_epoch: int = 0
    watermark: int = 0
    writer: object = None
    layout_changes: int = 0
    blocks: dict[tuple[int, int], Block] = field(default_factory=dict)
    # What a power cut leaves, as far as it is not in `blocks`.
    durable_epoch: int = 0

    def block(self, extent: int, number: int) -> Block:
        found = self.blocks.get((extent, number), ABSENT)
        position = extent * self.extent_bytes + number * BLOCK_BYTES
        if not found[0] and self.parent is not None and position < self.parent.size_bytes:
            return self.parent.block(extent, number)
        return found


class MemoryStore:
    """Implements `serving.Store`. What is staged is lost with the power; what is committed is not."""

    def __init__(self) -> None:
        self.full = False
        self.shares_files = False
        self.replicas: dict[int, MemoryReplica] = {}
        self.staged: list[tuple[MemoryReplica, Change]] = []
        self.damaged: set[tuple[int, int]] = set()
        # Blocks of which it has lost what it knew: stamps and hashes that rotted.
        self.lost: set[tuple[int, int]] = set()

    def power_cut(self, survivors: int = 0) -> None:
        """Lose all but the first `survivors` of what is staged, and what was never written down."""
        del self.staged[survivors:]
        self.commit()
        for replica in self.replicas.values():
            replica.sealed_epoch = replica.durable_epoch
            replica.writer = None

    def open(self, hello: Hello) -> MemoryReplica:
        key = volume_key(hello.volume_id)
        if key not in self.replicas:
            if not hello.writer and not hello.unclaimed:
                raise Refusal(Why.UNKNOWN, "not here")
            parent = None
            if hello.parents:
                above = Hello(hello.parents[0], 0, 0, hello.extent_bytes, hello.parents[1:], writer=True)
                parent = self.open(above)
            self.replicas[key] = MemoryReplica(key, hello.volume_id, hello.size_bytes, hello.extent_bytes, parent)
        replica = self.replicas[key]
        if hello.writer:
            replica.size_bytes = max(replica.size_bytes, hello.size_bytes)
        return replica

    def stage(self, replica: MemoryReplica, change: Change) -> None:
        if change.op in {Op.WRITE, Op.ZERO}:
            if max(replica.blocks.get(place, ABSENT)[0] for place in places(change)) > change.stamp:
                raise Refusal(Why.MALFORMED, "there is a newer write")
        elif change.op != Op.SEAL:
            self.commit()
        self.staged.append((replica, change))

    def commit(self) -> None:
        staged, self.staged = self.staged, []
        for replica, change in staged:
            self._apply(replica, change)

    def _apply(self, replica: MemoryReplica, change: Change) -> None:
        if change.op == Op.SEAL:
            replica.durable_epoch = max(replica.durable_epoch, frame.epoch_of(change.stamp))
            return
        if change.op in {Op.WRITE, Op.ZERO}:
            replica.watermark = max(replica.watermark, change.mark)
        repair = change.op not in {Op.WRITE, Op.ZERO}
        for at, place in enumerate(places(change)):
            stays = replica.blocks.get(place, ABSENT)[0] >= change.mark and place not in self.lost
            if repair and not change.flags & ALWAYS and stays:
                continue
            self.lost.discard(place)
            if change.op == Op.REPAIR_ABSENT:
                replica.blocks.pop(place, None)
                continue
            data = bytes(change.payload[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES]) or ZEROES
            replica.blocks[place] = (change.stamp, hash_of(data), data)
            self.damaged.discard(place)

    def read(self, replica: MemoryReplica, extent: int, offset: int, length: int) -> Buffer | None:
        first, count = offset // BLOCK_BYTES, length // BLOCK_BYTES
        blocks = [replica.block(extent, number) for number in range(first, first + count)]
        self._check(extent, first, count)
        if all(block[1] in {0, ZERO_BLOCK_HASH} for block in blocks):
            return None
        return b"".join(block[2] for block in blocks)

    def fetch(
        self, replica: MemoryReplica, extent: int, offset: int, length: int
    ) -> tuple[Sequence[BlockState], Buffer]:
        first, count = offset // BLOCK_BYTES, length // BLOCK_BYTES
        self._check(extent, first, count)
        blocks = [replica.blocks.get((extent, number), ABSENT) for number in range(first, first + count)]
        return [BlockState(*block[:2]) for block in blocks], b"".join(block[2] for block in blocks)

    def stamps(self, replica: MemoryReplica, extent: int, offset: int, above: int) -> tuple[bytes, int]:
        states = {place: block[:2] for place, block in replica.blocks.items()}
        states |= dict.fromkeys(self.lost, (above + 1, 0))
        found = [
            BLOCK_LINE.pack(number, *state)
            for (where, number), state in sorted(states.items())
            if where == extent and number >= offset // BLOCK_BYTES and state[0] > above
        ]
        return b"".join(found), 0

    def check(self, replica: MemoryReplica, extent: int, offset: int, length: int) -> tuple[bytes, int]:
        first, stop = offset // BLOCK_BYTES, (offset + length) // BLOCK_BYTES
        states = {place: block[:2] for place, block in replica.blocks.items() if place[0] == extent}
        for place in (self.damaged & states.keys()) | {place for place in self.lost if place[0] == extent}:
            states[place] = (states[place][0] if place in states else 1, 0)
        lines = [BLOCK_LINE.pack(at, *states[extent, at]) for at in range(first, stop) if (extent, at) in states]
        following = min((number for _, number in states if number >= stop), default=0)
        return b"".join(lines), following * BLOCK_BYTES

    def digest(self, replica: MemoryReplica, extent: int, offset: int) -> Digest:
        lines, _ = self.stamps(replica, extent, offset, 0)
        damaged = sum(1 for place in self.damaged if place[0] == extent and place in replica.blocks)
        return Digest(offset=offset, digest=hash_of(lines) if lines else 0, damaged=damaged, next_offset=0)

    def remove(self, volume_id: str) -> None:
        self.commit()
        gone = self.replicas.pop(volume_key(volume_id), None)
        below = gone.parent if gone is not None else None
        children = [each for each in self.replicas.values() if each.parent is below]
        if below is not None and not (below.sealed_epoch or below.blocks or children):
            self.remove(below.volume_id)

    def drop(self, volume_id: str, extents: Sequence[int], changes: int) -> None:
        self.commit()
        replica = self.replicas.get(volume_key(volume_id))
        if replica is not None and changes > replica.layout_changes:
            replica.layout_changes = changes
            for place in [place for place in replica.blocks if place[0] in extents]:
                del replica.blocks[place]

    def files(self, replica: MemoryReplica) -> FilesState:
        raise Refusal(Why.UNKNOWN, f"volume {replica.volume_id} is in memory")

    def usage(self) -> Usage:
        volumes = tuple(sorted(replica.volume_id for replica in self.replicas.values()))
        return Usage(bytes_total=1 << 30, bytes_free=0 if self.full else 1 << 29, volumes=volumes)

    def _check(self, extent: int, first: int, count: int) -> None:
        if any((extent, number) in self.damaged | self.lost for number in range(first, first + count)):
            raise Refusal(Why.DAMAGED, "the hash does not match")


def places(change: Change) -> list[tuple[int, int]]:
    first = change.offset // BLOCK_BYTES
    return [(change.extent, number) for number in range(first, first + change.length // BLOCK_BYTES)]
