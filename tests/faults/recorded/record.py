"""What would a disk hold if power failed now? A record of what it was told, replayed up to any moment.

What was synced is there. Of what was not, any may be: whole writes or some of their sectors, in any order; names come
and go in the order in which they did. A file system that keeps less than that is none that a database could use.
"""

import os
import random
import struct
import subprocess
from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

from tests.lab.commands import call

SOURCE: Final = Path(__file__).with_name("recorder.c")
SECTOR_BYTES: Final = 512
_ENTRY: Final = struct.Struct("<IIIQQ")  # as in recorder.c


class Kind(IntEnum):
    """What the disk was told."""

    WRITE = 1
    DURABLE_WRITE = 2
    SYNC = 3
    DATASYNC = 4
    TRUNCATE = 5
    PUNCH = 6
    RENAME = 7
    MKDIR = 8
    UNLINK = 9
    RMDIR = 10
    CREATE = 11


WRITES: Final = frozenset((Kind.WRITE, Kind.DURABLE_WRITE))
SYNCS: Final = frozenset((Kind.DURABLE_WRITE, Kind.SYNC, Kind.DATASYNC))
NAMINGS: Final = frozenset((Kind.RENAME, Kind.MKDIR, Kind.UNLINK, Kind.RMDIR, Kind.CREATE))


class Entry(NamedTuple):
    """One call. Paths are within the recorded directory."""

    kind: Kind
    path: str
    other: str
    offset: int
    length: int
    content: bytes


def build(directory: Path) -> Path:
    """Compile the recorder into `directory`."""
    library = directory / "recorder.so"
    call("gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl", "-lpthread")
    return library


def recorded(directory: Path, command: Sequence[str | Path]) -> list[Entry]:
    """Run a program that works in `directory`/disk; what it told the disk."""
    library, file = build(directory), directory / "record"
    (directory / "disk").mkdir()
    environment = {"LD_PRELOAD": str(library), "RECORD": str(file), "RECORDED": str(directory / "disk")}
    subprocess.run(command, env=os.environ | environment, check=True)
    return list(_entries(file.read_bytes()))


def _entries(content: bytes) -> Iterator[Entry]:
    at = 0
    while at < len(content):
        kind, path, other, offset, length = _ENTRY.unpack_from(content, at)
        at += _ENTRY.size
        names = content[at : at + path].decode(), content[at + path : at + path + other].decode()
        at += path + other
        size = length if Kind(kind) in WRITES else 0
        yield Entry(Kind(kind), *names, offset, length, content[at : at + size])
        at += size


class _File:
    """One file: what is surely on the disk, and what was written since."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.pending: list[Entry] = []

    def sync(self) -> None:
        for entry in self.pending:
            _apply(self.durable, entry)
        self.pending.clear()

    def after_a_cut(self, dice: random.Random, share: float) -> bytes:
        content = bytearray(self.durable)
        for entry in self.pending:
            if entry.kind is Kind.WRITE:
                _apply_some(content, entry, dice, share)
            elif dice.random() < share:
                _apply(content, entry)
        return bytes(content)


class Disk:
    """A directory as it is recorded. `play` entries one by one; between them it may lose its power."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        # What the names stand for on the disk, and what became of them since.
        self._durable: dict[str, _File | None] = {"": None}  # None: a directory
        self._pending: list[tuple[Entry, _File | None]] = []

    def play(self, entry: Entry) -> None:
        """The next call has been carried out."""
        if entry.kind in NAMINGS:
            self._name(entry)
        elif entry.kind in {Kind.SYNC, Kind.DATASYNC} and entry.path not in self._files:
            self._settle_names(entry.path)
        else:
            file = self._files[entry.path]
            if entry.kind in {Kind.SYNC, Kind.DATASYNC}:
                file.sync()
            elif entry.kind is Kind.DURABLE_WRITE:
                file.sync()  # only what was written elsewhere in the file could be pending, and nothing is
                _apply(file.durable, entry)
            else:
                file.pending.append(entry)

    def after_a_cut(self, dice: random.Random, share: float, torn: Entry | None = None) -> dict[str, bytes | None]:
        """What is there when the power comes back, by path (None: a directory). `share` of what was not synced is;
        `torn` is a durable write that was under way."""
        names = dict(self._durable)
        kept = len(self._pending) if share == 1 else int(dice.random() * share * (len(self._pending) + 1))
        for entry, file in self._pending[:kept]:
            _rename(names, entry, file)
        contents = {path: None if file is None else file.after_a_cut(dice, share) for path, file in names.items()}
        if torn is not None and (before := contents.get(torn.path)) is not None:
            content = bytearray(before)
            _apply_some(content, torn, dice, share)
            contents[torn.path] = bytes(content)
        return {path: content for path, content in contents.items() if path.rpartition("/")[0] in contents}

    def _name(self, entry: Entry) -> None:
        if entry.kind is Kind.CREATE:
            if entry.path in self._files:
                return
            self._files[entry.path] = _File()
        file = self._files.get(entry.path)
        self._pending.append((entry, file))
        names: dict[str, _File | None] = dict(self._files)
        _rename(names, entry, file)
        self._files = {path: each for path, each in names.items() if each is not None}

    def _settle_names(self, directory: str) -> None:
        """A directory was synced: so is all that was done before to the names in it, and what that rests on."""
        last = max((at for at, (entry, _) in enumerate(self._pending) if _parent(entry) == directory), default=-1)
        for entry, file in self._pending[: last + 1]:
            _rename(self._durable, entry, file)
        del self._pending[: last + 1]


def _parent(entry: Entry) -> str:
    return (entry.other or entry.path).rpartition("/")[0]


def _rename(names: dict[str, _File | None], entry: Entry, file: _File | None) -> None:
    match entry.kind:
        case Kind.CREATE | Kind.MKDIR:
            names[entry.path] = file
        case Kind.UNLINK | Kind.RMDIR:
            names.pop(entry.path, None)
        case Kind.RENAME:
            moved = {path: each for path, each in names.items() if path == entry.path or _is_in(path, entry.path)}
            for path, each in moved.items():
                del names[path]
                names[entry.other + path[len(entry.path) :]] = each


def _is_in(path: str, directory: str) -> bool:
    return path.startswith(f"{directory}/")


def _apply(content: bytearray, entry: Entry) -> None:
    match entry.kind:
        case Kind.WRITE | Kind.DURABLE_WRITE:
            content.extend(bytes(max(0, entry.offset - len(content))))
            content[entry.offset : entry.offset + entry.length] = entry.content
        case Kind.TRUNCATE:
            content.extend(bytes(max(0, entry.offset - len(content))))
            del content[entry.offset :]
        case Kind.PUNCH:
            stop = min(len(content), entry.offset + entry.length)
            content[entry.offset : stop] = bytes(max(0, stop - entry.offset))


def _apply_some(content: bytearray, entry: Entry, dice: random.Random, share: float) -> None:
    """Some sectors of a write."""
    for at in range(0, entry.length, SECTOR_BYTES):
        if dice.random() < share:
            part = entry.content[at : at + SECTOR_BYTES]
            _apply(content, entry._replace(kind=Kind.WRITE, offset=entry.offset + at, length=len(part), content=part))
