"""How does a disk keep the replicas of many volumes? The journal in front, the extent files behind, an overlay between.

A change is committed by one append to the journal (`journal.py`) and is then found through the *overlay*: for each
extent a dict from block to (stamp, hash, place in the journal). When a segment is full its overlay is frozen, and a
background thread settles it into the extent files (`settling.py`) while the other segment takes new changes.

A block that the volume never had written (stamp 0) is the parent's, down the chain, on this same disk.
"""

import os
import threading
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from noded.core.ids import DiskId
from storage.extents import frame
from storage.extents.frame import ALWAYS, HEADER_BYTES, ZERO_BLOCK_HASH, Op, Why, hash_of
from storage.extents.layout import BLOCK_SHIFT
from storage.extents.messages import (
    BLOCK_LINE,
    DIGEST_BLOCKS_MAX,
    BlockState,
    Digest,
    FilesState,
    Hello,
    Usage,
    volume_key,
)
from storage.extents.serving import Buffer, Change, Refusal
from storage.host import disk_directory
from storage.host.changes import change_in, part_of, show_data, true_runs
from storage.host.direct_files import SealCount
from storage.host.extent import DiskReplica, Extent, facts_from, needs_no_read, state_of
from storage.host.extent_files import NOWHERE, Entry, write_facts
from storage.host.journal import Journal
from storage.host.open_files import open_extents_max
from storage.host.origins import OriginMaps
from storage.host.settling import ExtentPart, FactsPart, Settling

SEGMENT_BYTES: Final = 32 << 20
# A larger one takes in a burst at the journal's speed, and settles only once what was written often meanwhile.
LARGE_DISK_BYTES: Final = 64 << 30
LARGE_DISK_SEGMENT_BYTES: Final = 64 << 20
SEGMENT_BYTES_MIN: Final = 4 << 20
BATCH_BYTES_MAX: Final = 2 << 20
# Bounds the memory of the overlay, of which a segment full of trims would otherwise need much.
SEGMENT_ENTRIES_MAX: Final = 32 * 1024
OPEN_EXTENTS_MAX: Final = 4096
SPACE_CHECK_BYTES: Final = 1 << 20
# Beside what both segments may still bring: room for tables, directories and the file system itself.
RESERVE_BYTES: Final = 16 << 20


def segment_bytes_for(directory: Path) -> int:
    """What suits a disk: two segments of its journal are written before the first volume comes."""
    space = os.statvfs(directory)
    large = space.f_blocks * space.f_frsize >= LARGE_DISK_BYTES
    return LARGE_DISK_SEGMENT_BYTES if large else SEGMENT_BYTES


class ExtentStore:
    """All replicas on one disk; implements `serving.Store`. `wake` is called in another thread when a settling ends."""

    def __init__(
        self,
        directory: Path,
        disk_id: DiskId,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        wake: Callable[[], None] = lambda: None,
        seals: SealCount | None = None,
    ) -> None:
        assert segment_bytes >= SEGMENT_BYTES_MIN, segment_bytes
        disk_directory.claim_directory(directory, disk_id)
        self.full = False
        self.shares_files = seals is not None
        self._directory = directory
        self._wake = wake
        self._seals = seals
        self._replicas = disk_directory.load_replicas(directory)
        self._open_extents: dict[Extent, None] = {}
        self._open_extents_max = min(OPEN_EXTENTS_MAX, open_extents_max())
        self._origins = OriginMaps(self._keep_open)
        self._staged: list[tuple[DiskReplica, Change]] = []
        self._staged_bytes = 0
        # What the present segment has changed, and how many overlay entries that may have made.
        self._dirty: dict[Extent, DiskReplica] = {}
        self._touched: set[DiskReplica] = set()
        self._entries = 0
        self._batches = self._batches_seen = 0
        self._settling: Settling | None = None
        self._unchecked_bytes = 0
        self._journal = Journal(directory / "journal", segment_bytes)
        self._reserve_bytes = 2 * self._journal.segment_bytes + RESERVE_BYTES
        self._replay()
        self._check_space()

    # --- what `serving.Session` asks

    def open(self, hello: Hello) -> DiskReplica:
        """See `serving.Store`."""
        self._look_for_room()
        replica = self._replicas.get(volume_key(hello.volume_id))
        if replica is None:
            if not hello.writer and not hello.unclaimed:
                raise Refusal(Why.UNKNOWN, f"volume {hello.volume_id} is not on this disk")
            replica = self._create(hello)
        if replica.volume_id != hello.volume_id or replica.extent_bytes != hello.extent_bytes:
            raise Refusal(Why.MALFORMED, f"volume {replica.volume_id} has extents of {replica.extent_bytes} bytes")
        if hello.writer and hello.size_bytes > replica.size_bytes:
            replica.size_bytes = hello.size_bytes
            self._origins.clear()  # clones see more of it now
            self._keep_facts(replica)
        return replica

    def stage(self, replica: DiskReplica, change: Change) -> None:
        """See `serving.Store`."""
        if change.op in {Op.REPAIR, Op.REPAIR_ZERO, Op.REPAIR_ABSENT}:
            self._stage_repair(replica, change)
        else:
            if change.op != Op.SEAL:
                self._refuse_older(replica, change)
            elif self._seals is not None:
                # Before anybody hears of the seal: whoever reads the files directly must see that it was there first.
                self._seals.add()
            self._put(replica, change)

    def commit(self) -> None:
        """See `serving.Store`."""
        if not self._staged:
            return
        if not self._journal.fits(self._staged_bytes) or self._entries > SEGMENT_ENTRIES_MAX:
            self._switch()
        staged, self._staged = self._staged, []
        size, self._staged_bytes = self._staged_bytes, 0
        frames = [change.frame for _, change in staged]
        position = self._journal.append(frames, [bytes(each[HEADER_BYTES - 8 : HEADER_BYTES]) for each in frames])
        for replica, change in staged:
            self._apply(replica, change, position + HEADER_BYTES)
            position += len(change.frame)
        self._batches += 1
        self._unchecked_bytes += size
        if self._unchecked_bytes > SPACE_CHECK_BYTES:
            self._check_space()

    def read(self, replica: DiskReplica, extent: int, offset: int, length: int) -> Buffer | None:
        """See `serving.Store`."""
        first, count = offset >> BLOCK_SHIFT, length >> BLOCK_SHIFT
        found = self._origins.resolve(replica, extent, first, count)
        if all(needs_no_read(entry) for _, entry in found):
            return None
        data = memoryview(bytearray(length))
        at = 0
        for holder, group in groupby(found, key=lambda each: each[0]):
            entries = [entry for _, entry in group]
            self._load(holder, entries, first + at, data[at << BLOCK_SHIFT :])
            at += len(entries)
        return data

    def fetch(self, replica: DiskReplica, extent: int, offset: int, length: int) -> tuple[Sequence[BlockState], Buffer]:
        """See `serving.Store`."""
        first, count = offset >> BLOCK_SHIFT, length >> BLOCK_SHIFT
        holder = replica.extent(extent)
        entries = holder.entries(first, count)
        data = memoryview(bytearray(length))
        self._load(holder, entries, first, data)
        newest = replica.newest_stamp  # what is beyond it has rotted, and must not spread
        return [state_of(entry if entry[0] <= newest else (newest, *entry[1:])) for entry in entries], data

    def stamps(self, replica: DiskReplica, extent: int, offset: int, above: int) -> tuple[bytes, int]:
        """See `serving.Store`."""
        holder = replica.extent(extent)
        blocks = replica.extent_bytes >> BLOCK_SHIFT
        lines, block = holder.stamps(offset >> BLOCK_SHIFT, blocks, above, replica.newest_stamp)
        self._keep_open(holder)
        return lines, block << BLOCK_SHIFT

    def check(self, replica: DiskReplica, extent: int, offset: int, length: int) -> tuple[bytes, int]:
        """See `serving.Store`."""
        holder = replica.extent(extent)
        first, blocks = offset >> BLOCK_SHIFT, replica.extent_bytes >> BLOCK_SHIFT
        stop = first + (length >> BLOCK_SHIFT)
        lines = holder.check(first, stop - first, self._journal.fd, replica.newest_stamp)
        following = holder.next_known(stop, blocks)
        self._keep_open(holder)
        return lines, following << BLOCK_SHIFT if following < blocks else 0

    def digest(self, replica: DiskReplica, extent: int, offset: int) -> Digest:
        """See `serving.Store`."""
        holder = replica.extent(extent)
        blocks = replica.extent_bytes >> BLOCK_SHIFT
        first = holder.next_known(offset >> BLOCK_SHIFT, blocks)
        # Parts begin at multiples of their size, so that two replicas whose holes differ still compare equal parts.
        first -= first % DIGEST_BLOCKS_MAX
        stop = min(first + DIGEST_BLOCKS_MAX, blocks)
        if first >= blocks:
            return Digest(offset=offset, digest=0, damaged=0, next_offset=0)
        entries = holder.entries(first, stop - first)
        damaged = holder.load(entries, first, self._journal.fd, memoryview(bytearray((stop - first) << BLOCK_SHIFT)))
        self._keep_open(holder)
        lines = [BLOCK_LINE.pack(first + at, *state_of(entry)) for at, entry in enumerate(entries) if entry[0]]
        return Digest(
            offset=first << BLOCK_SHIFT,
            digest=hash_of(b"".join(lines)) if lines else 0,
            damaged=len(damaged),
            next_offset=stop << BLOCK_SHIFT if stop < blocks else 0,
        )

    def remove(self, volume_id: str) -> None:
        """See `serving.Store`."""
        self.commit()
        replica = self._replicas.get(volume_key(volume_id))
        if replica is None:
            return
        child = next(iter(replica.children), None)
        if child is not None:
            raise Refusal(Why.MALFORMED, f"volume {child.volume_id} on this disk still shows blocks of {volume_id}")
        below = replica.parent
        replica.removed = True
        replica.close()
        # Renamed first: what the journal still says of it then belongs to no volume, whenever the power fails.
        trash = disk_directory.to_trash(replica, self._journal.sequence)
        note = frame.pack(Op.REMOVE, volume=replica.key)
        if not self._journal.fits(len(note)):
            self._switch()
        self._journal.append([note], [note[HEADER_BYTES - 8 :]])
        del self._replicas[replica.key]
        replica.rest_on(None)
        self._origins.clear()
        self._touched.discard(replica)
        for extent in replica.extents.values():
            self._dirty.pop(extent, None)
            self._open_extents.pop(extent, None)
        threading.Thread(target=disk_directory.remove_tree, args=(trash,), name="remove", daemon=True).start()
        if below is not None and below.is_empty_place:
            self.remove(below.volume_id)  # no record says that it is here, so nobody would ask for it

    def drop(self, volume_id: str, extents: Sequence[int], changes: int) -> None:
        """See `serving.Store`. What was dropped at a later change was dropped by an owner who knew of this one."""
        self.commit()
        replica = self._replicas.get(volume_key(volume_id))
        if replica is None or changes <= replica.layout_changes:
            return
        if self._seals is not None:
            self._seals.add()  # whoever reads the files directly must not take those that go for empty ones
        # Nothing of them may be on its way into the files that go.
        self.finish_settling(wait=True)
        notes = [frame.pack(Op.DROP, volume=replica.key, extent=extent) for extent in extents]
        if not self._journal.fits(HEADER_BYTES * len(notes)):
            self._switch()
            self.finish_settling(wait=True)
        # The note first: should the power fail now, a replay removes the files, and what came before it shows nothing.
        self._journal.append(notes, [note[HEADER_BYTES - 8 :] for note in notes])
        self._forget_extents(replica, extents)
        replica.layout_changes = changes
        self._keep_facts(replica)
        trash = disk_directory.extents_to_trash(replica, extents, changes)
        if trash is not None:
            threading.Thread(target=disk_directory.remove_tree, args=(trash,), name="remove", daemon=True).start()

    def _forget_extents(self, replica: DiskReplica, extents: Sequence[int]) -> None:
        self._origins.clear()
        for index in extents:
            extent = replica.extents.get(index)
            if extent is not None:
                self._dirty.pop(extent, None)
                self._open_extents.pop(extent, None)
            replica.forget_extent(index)

    def files(self, replica: DiskReplica) -> FilesState:
        """See `serving.Store`."""
        if self._seals is None:
            raise Refusal(Why.UNKNOWN, "nobody else reads the files of this disk")
        layers = replica.chain[::-1]
        overlays = [(extent.fresh, extent.frozen) for layer in layers for extent in layer.extents.values()]
        unsettled = 0
        if any(fresh for fresh, _ in overlays):
            unsettled = self._journal.sequence
        elif any(frozen for _, frozen in overlays):
            unsettled = self._journal.sequence - 1
        return FilesState(
            layers=tuple((str(layer.directory), layer.size_bytes) for layer in layers),
            extent_bytes=replica.extent_bytes,
            seals_path=str(self._seals.path),
            seals=self._seals.value,
            # An empty segment may stay empty for long.
            segment=self._journal.sequence if self._dirty else self._journal.sequence - 1,
            settled=self._journal.settled,
            unsettled=unsettled,
        )

    def usage(self) -> Usage:
        """See `serving.Store`."""
        space = os.statvfs(self._directory)
        return Usage(
            bytes_total=space.f_blocks * space.f_frsize,
            bytes_free=max(0, space.f_bavail * space.f_frsize - self._reserve_bytes),
            volumes=tuple(sorted(replica.volume_id for replica in self._replicas.values())),
        )

    # --- settling

    def settle(self) -> None:
        """Bring everything to the extent files now, and wait for it. Raises OSError."""
        self.commit()
        self._switch()
        self.finish_settling(wait=True)

    def settle_if_idle(self) -> None:
        """To be called now and then: brings an overlay that nobody adds to into the files, to free its memory."""
        self._look_for_room()
        idle = self._batches == self._batches_seen
        self._batches_seen = self._batches
        if idle and self._dirty and self._settling is None:
            self._switch()

    def finish_settling(self, *, wait: bool = False) -> None:
        """Take note of a settling that has ended. Raises the OSError that it met: the process must end."""
        settling = self._settling
        if settling is None or not (wait or settling.ended):
            return
        settling.wait()
        if settling.error is not None:
            raise settling.error
        for part in settling.extents:
            part.extent.settled()
        self._journal.settled = settling.sequence
        self._settling = None
        self._check_space()

    def close(self) -> None:
        """Settle, and give everything back."""
        self.settle()
        for replica in self._replicas.values():
            replica.close()
        self._journal.close()

    def _switch(self) -> None:
        """Freeze the overlay, let the background settle it, and go on in the other segment."""
        # Here, and only here, writers wait for the settling: when both segments are full.
        self.finish_settling(wait=True)
        extents, facts = self._freeze()
        sequence = self._journal.switch()
        self._settling = Settling(sequence, self._journal, extents, facts, self._wake)

    def _freeze(self) -> tuple[list[ExtentPart], list[FactsPart]]:
        extents = []
        for extent, replica in self._dirty.items():
            extent.frozen, extent.fresh = extent.fresh, {}
            extents.append(ExtentPart(replica, extent, extent.frozen))
        facts = []
        for replica in self._touched:
            replica.facts_sequence += 1
            facts.append(FactsPart(replica, replica.facts(), replica.facts_sequence))
        self._dirty = {}
        self._touched = set()
        self._entries = 0
        return extents, facts

    # --- changes

    def _put(self, replica: DiskReplica, change: Change) -> None:
        if self._staged_bytes + len(change.frame) > BATCH_BYTES_MAX:
            self.commit()
        self._staged.append((replica, change))
        self._staged_bytes += len(change.frame)

    def _refuse_older(self, replica: DiskReplica, change: Change) -> None:
        """The last stamp wins. An owner never sends an older write after a newer one: it would be a bug of its."""
        # Nearly always it is the newest of the whole volume, and no block has to be looked at.
        if change.stamp > replica.newest_stamp:
            return
        extent = replica.extent(change.extent)
        first = change.offset >> BLOCK_SHIFT
        if extent.newest_stamp(first, change.length >> BLOCK_SHIFT, replica.newest_stamp) > change.stamp:
            raise Refusal(Why.MALFORMED, f"extent {change.extent} has a newer write at {change.offset}")

    def _stage_repair(self, replica: DiskReplica, change: Change) -> None:
        """A repair leaves alone the blocks whose stamp is not below its mark: they have a newer write of a guest.

        A stamp beyond all that were ever given is of no write: it has rotted.

        What the journal gets is unconditional, so the decision is made here, on what has been committed.
        """
        self.commit()
        extent = replica.extent(change.extent)
        first, count = change.offset >> BLOCK_SHIFT, change.length >> BLOCK_SHIFT
        always = bool(change.flags & ALWAYS)
        newest = replica.newest_stamp
        applies = [always or not change.mark <= entry[0] <= newest for entry in extent.entries(first, count)]
        if all(applies):
            self._put(replica, change)
            return
        for start, stop in true_runs(applies):
            self._put(replica, part_of(replica.key, change, start << BLOCK_SHIFT, stop << BLOCK_SHIFT))

    def _apply(self, replica: DiskReplica, change: Change, position: int) -> None:
        """Show a change that is in the journal, its payload at `position`."""
        self._touched.add(replica)
        op = change.op
        if op == Op.SEAL:
            replica.sealed_epoch = max(replica.sealed_epoch, frame.epoch_of(change.stamp))
            return
        replica.newest_stamp = max(replica.newest_stamp, change.stamp)
        if op in {Op.WRITE, Op.ZERO} and change.mark > replica.watermark:
            replica.watermark = change.mark
        extent = replica.extent(change.extent)
        self._dirty[extent] = replica
        first, count = change.offset >> BLOCK_SHIFT, change.length >> BLOCK_SHIFT
        self._entries += count
        if replica.children:
            self._origins.forget(replica, change.extent, first, count)
        if op in {Op.WRITE, Op.REPAIR}:
            show_data(extent.fresh, first, count, change, position)
        else:
            entry = (0, 0, NOWHERE) if op == Op.REPAIR_ABSENT else (change.stamp, ZERO_BLOCK_HASH, NOWHERE)
            extent.fresh.update(dict.fromkeys(range(first, first + count), entry))

    # --- starting

    def _create(self, hello: Hello) -> DiskReplica:
        parent = None
        if hello.parents:
            # A clone may have extents here beyond its parent, which has none: an empty place is kept for it, so that
            # what it may get later shows through. That it is up to date where it must be is the log's affair.
            above = Hello(hello.parents[0], 0, hello.size_bytes, hello.extent_bytes, hello.parents[1:])
            parent = self._replicas.get(volume_key(above.volume_id)) or self._create(above)
        settling = self._settling
        if settling is not None and any(part.replica.volume_id == hello.volume_id for part in settling.extents):
            # One of the same name was removed: what is on its way into its files must not get into these.
            self.finish_settling(wait=True)
        replica = disk_directory.create_replica(self._directory, facts_from(hello), parent)
        self._replicas[replica.key] = replica
        if disk_directory.put_under(replica, self._replicas.values()):
            self._origins.clear()
        return replica

    def _keep_facts(self, replica: DiskReplica) -> None:
        """Write down at once what the volume is, beside what a settling may be about to write."""
        self.finish_settling(wait=True)
        replica.facts_sequence += 1
        write_facts(replica.directory, replica.facts(), replica.facts_sequence)

    def _replay(self) -> None:
        """Bring what the journal holds into the files, and begin with an empty one."""
        for record in self._journal.replay():
            replica = self._replicas.get(record.volume)
            if replica is None:
                continue
            if record.op == Op.REMOVE:
                # The volume has come back since; what was said of it before is of the one that is gone.
                for extent in replica.extents.values():
                    extent.fresh = {}
            elif record.op == Op.DROP:
                self._forget_extents(replica, [record.extent])
                trash = disk_directory.extents_to_trash(replica, [record.extent], record.position)
                if trash is not None:
                    disk_directory.remove_tree(trash)
            else:
                self._apply(replica, change_in(record), record.position)
        if self._journal.damaged:
            # Records are missing that may have been acknowledged: nothing here is trusted until it has been compared.
            for replica in self._replicas.values():
                replica.watermark = 0
                self._touched.add(replica)
        extents, facts = self._freeze()
        self._settling = Settling(self._journal.sequence, self._journal, extents, facts, self._wake)
        self.finish_settling(wait=True)
        self._journal.start_afresh()

    def _look_for_room(self) -> None:
        """A full disk takes no writes, and so it would never look again whether room has been made on it."""
        if self.full:
            self._check_space()

    def _check_space(self) -> None:
        self._unchecked_bytes = 0
        self.full = self.usage().bytes_free == 0

    # --- files

    def _load(self, holder: Extent, entries: Sequence[Entry], first: int, into: memoryview) -> None:
        damaged = holder.load(entries, first, self._journal.fd, into)
        self._keep_open(holder)
        if damaged:
            raise Refusal(Why.DAMAGED, f"extent {holder.index}, block {damaged[0]}: the hash does not match")

    def _keep_open(self, extent: Extent) -> None:
        """Bound the number of open files: the extent that was opened longest ago is closed."""
        if not extent.is_open or extent in self._open_extents:
            return
        self._open_extents[extent] = None
        if len(self._open_extents) > self._open_extents_max:
            oldest = next(iter(self._open_extents))
            del self._open_extents[oldest]
            oldest.close()
