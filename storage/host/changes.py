"""How is a change of a replica taken apart: into entries of an overlay, out of the journal, into parts that apply?"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, repeat

from storage.extents import frame
from storage.extents.frame import PAYLOAD, ZERO_BLOCK_HASH, hash_of
from storage.extents.layout import BLOCK_BYTES, BLOCK_SHIFT
from storage.extents.serving import Change
from storage.host.extent_files import NOWHERE, Entry
from storage.host.journal import Record


def show_data(fresh: dict[int, Entry], first: int, count: int, change: Change, position: int) -> None:
    """Enter the blocks of a change with data into an overlay."""
    stamp, payload, digest = change.stamp, change.payload, change.payload_hash
    if count == 1:
        fresh[first] = (stamp, digest, NOWHERE if digest == ZERO_BLOCK_HASH else position)
        return
    starts = range(0, count << BLOCK_SHIFT, BLOCK_BYTES)
    digests = [hash_of(payload[at : at + BLOCK_BYTES]) for at in starts]
    places: Iterable[int] = range(position, position + (count << BLOCK_SHIFT), BLOCK_BYTES)
    if ZERO_BLOCK_HASH in digests:
        places = [
            NOWHERE if digest == ZERO_BLOCK_HASH else place for digest, place in zip(digests, places, strict=True)
        ]
    # Large writes have hundreds of blocks: no loop in Python where there is another way.
    fresh.update(zip(range(first, first + count), zip(repeat(stamp), digests, places)))  # noqa: B905


def change_in(record: Record) -> Change:
    """A record of the journal as the change that it was."""
    return Change(
        op=record.op,
        extent=record.extent,
        offset=record.offset,
        length=record.length,
        stamp=record.stamp,
        mark=record.mark,
        flags=0,
        payload=record.payload,
        payload_hash=record.payload_hash,
        frame=b"",
    )


def part_of(key: int, change: Change, start: int, stop: int) -> Change:
    """The bytes `start` to `stop` of a repair, as a frame of its own."""
    payload = bytes(change.payload[start:stop])
    digest = hash_of(payload) if payload else 0
    head = frame.pack(
        change.op,
        flags=PAYLOAD if payload else 0,
        extent=change.extent,
        length=stop - start,
        volume=key,
        stamp=change.stamp,
        offset=change.offset + start,
        payload_hash=digest,
    )
    return Change(
        op=change.op,
        extent=change.extent,
        offset=change.offset + start,
        length=stop - start,
        stamp=change.stamp,
        mark=0,
        flags=0,
        payload=payload,
        payload_hash=digest,
        frame=head + payload,
    )


def true_runs(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Where the flags are set, start and stop of each run."""
    at = 0
    for value, group in groupby(flags):
        size = len(list(group))
        if value:
            yield at, at + size
        at += size
