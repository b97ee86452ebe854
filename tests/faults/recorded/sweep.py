"""Is every acknowledged write there, and nothing else, whenever power fails? A store is opened on what cuts leave."""

import json
import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from storage.extents.frame import Op
from storage.extents.layout import BLOCK_BYTES
from storage.host.extent_store import ExtentStore
from tests.faults.recorded.record import SYNCS, WRITES, Disk, Entry, Kind, recorded
from tests.faults.recorded.workload import (
    BLOCKS,
    CLONE,
    DISK,
    DISK_ID,
    EXTENTS,
    GONE,
    NOTES,
    SEGMENT_BYTES,
    VOLUME,
    ZEROES,
    Place,
    content_of,
)
from tests.unit.storage.talk import Talk

# Nothing of what was not synced, all of it, and some.
SHARES: Final = (0.0, 1.0, 0.5)
MOMENTS: Final = SYNCS | {Kind.RENAME, Kind.UNLINK}
READ_BLOCKS: Final = 32
_LAYERS: Final = {VOLUME: (VOLUME,), CLONE: (CLONE, VOLUME), GONE: (GONE,)}

Versions = dict[Place, int]  # of each block of a layer; absent: it was never written


@dataclass
class Known:
    """What the owner was told is there, and what it would be if what is under way had been done."""

    versions: Versions = field(default_factory=dict)
    after: Versions | None = None
    volumes: set[str] = field(default_factory=set)

    def take(self, line: dict[str, Any]) -> None:
        """The next note."""
        if "begin" in line:
            self.after = _after(self.versions, line)
        else:
            assert self.after is not None
            self.versions, self.after = self.after, None
            self.volumes.add(line["done"])


def _after(before: Versions, line: dict[str, Any]) -> Versions:
    versions, volume = dict(before), line["begin"]
    for extent, first, count, version in line.get("versions", ()):
        versions.update({(volume, extent, first + at): version for at in range(count)})
    if "dropped" in line or "removed" in line:
        gone = [place for place in versions if place[0] == volume and line.get("dropped", place[1]) == place[1]]
        for place in gone:
            del versions[place]
    return versions


def shown(versions: Versions, volume: str) -> list[int]:
    """Which version a volume shows in each of its blocks, and of which layer."""
    places = [(extent, block) for extent in range(EXTENTS) for block in range(BLOCKS)]
    return [
        next((hash((layer, versions[layer, *place])) if versions[layer, *place] else ZEROES
              for layer in _LAYERS[volume] if (layer, *place) in versions), ZEROES)
        for place in places
    ]  # fmt: skip


class Sweep:
    """One record, and cuts all along it."""

    def __init__(self, directory: Path, seed: int, batches: int) -> None:
        command = [sys.executable, "-m", "tests.faults.recorded.workload", directory / "disk", str(seed), str(batches)]
        self.entries = recorded(directory, command)
        self.moments = [number for number, entry in enumerate(self.entries) if entry.kind in MOMENTS]
        self._copy = directory / "copy"
        self._contents: dict[bytes, int] = {bytes(BLOCK_BYTES): ZEROES}

    def through(self, chosen: set[int]) -> Iterator[str]:
        """Cut at these moments, in every way; what was wrong, in sentences."""
        disk, known = Disk(), Known()
        for number, entry in enumerate(self.entries):
            if number in chosen:
                torn = entry if entry.kind is Kind.DURABLE_WRITE else None
                for share in SHARES:
                    image = disk.after_a_cut(random.Random(f"{number} {share}"), share, torn)
                    for fault in self._faults(image, known):
                        yield f"entry {number}, {entry.kind.name} of {entry.path}, share {share}: {fault}"
            if entry.path == f"/{NOTES}" and entry.kind in WRITES:
                self._take(entry, known)
            else:
                disk.play(entry)

    def _take(self, entry: Entry, known: Known) -> None:
        line = json.loads(entry.content)
        for extent, first, count, version in line.get("versions", ()):
            for at in range(count if version else 0):
                content = content_of((line["begin"], extent, first + at), version)
                self._contents[content] = hash((line["begin"], version))
        known.take(line)

    def _faults(self, image: dict[str, bytes | None], known: Known) -> Iterator[str]:
        if f"/{DISK}/journal" not in image:
            if known.volumes:
                yield "the journal is gone"
            return
        shutil.rmtree(self._copy, ignore_errors=True)
        for path, content in sorted(image.items()):
            place = self._copy / path.lstrip("/")
            if content is None:
                place.mkdir(parents=True, exist_ok=True)
            else:
                place.write_bytes(content)
        # It is started twice, since that must change nothing.
        for _ in range(2):
            try:
                store = ExtentStore(self._copy / DISK, DISK_ID, segment_bytes=SEGMENT_BYTES)
            except Exception as error:
                yield f"the store does not open: {error!r}"
                return
            try:
                yield from self._wrong(store, known)
            finally:
                store._journal.close()

    def _wrong(self, store: ExtentStore, known: Known) -> Iterator[str]:
        for volume in sorted(known.volumes):
            found = self._read(store, volume)
            may = [shown(known.versions, volume)]
            if known.after is not None:
                may.append(shown(known.after, volume))
            if found not in may:
                differ = [at for at, (one, other) in enumerate(zip(found, may[0], strict=True)) if one != other]
                strange = [at for at in differ if found[at] == -1]
                yield f"{len(differ)} blocks of {volume} are not what was acknowledged, {len(strange)} are garbage"

    def _read(self, store: ExtentStore, volume: str) -> list[int]:
        talk = Talk(store, volume, 1 << 19, writer=False, changes=1 << 19)
        if talk.welcome.op != Op.DATA:
            return [ZEROES] * (EXTENTS * BLOCKS)  # it is not on the disk
        found = []
        for extent in range(EXTENTS):
            for first in range(0, BLOCKS, READ_BLOCKS):
                answer = talk.ask(talk.read_frame(first, READ_BLOCKS, extent=extent))
                if answer.op != Op.DATA:
                    found += [-1] * READ_BLOCKS
                    continue
                data = answer.payload or bytes(answer.length)
                for at in range(READ_BLOCKS):
                    found.append(self._contents.get(data[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES], -1))
        return found
