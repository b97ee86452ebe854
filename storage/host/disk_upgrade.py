"""How does a disk that an earlier release wrote become one of this release's format? At the start of its extent server.

Format 1 kept a block's hash and stamp in `N.table`, 16 bytes a block and no checksum. Each becomes an `N.lines` beside
it. Then the disk says that it is of format 2, and then the old tables go. So whenever the power fails, all that is
there is of the format that the disk says, and what a first try left is written over by the second.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from storage.extents.messages import volume_key
from storage.host.block_table import LINE, BlockTable, place_of, table_bytes
from storage.host.journal import sync_directory

_OLD: Final = ".table"
# How much of an old table is read at once: so many lines of 16 bytes.
_PIECE_LINES: Final = 16 * 1024


def convert_tables(volumes: Path) -> None:
    """Make the tables of format 2 beside those of format 1, durably. Raises OSError."""
    for volume in [path for path in volumes.iterdir() if not path.name.startswith(".")]:  # those were removed
        for old in volume.glob(f"*{_OLD}"):
            _convert(old, volume_key(volume.name))
        sync_directory(volume)


def remove_old_tables(volumes: Path) -> None:
    """Give the space of the tables of format 1 back."""
    for old in volumes.glob(f"*/*{_OLD}"):
        old.unlink()


def _convert(old: Path, key: int) -> None:
    with old.open("rb", buffering=0) as source, old.with_suffix(".lines").open("wb+", buffering=0) as target:
        blocks = os.fstat(source.fileno()).st_size // LINE.size
        target.truncate(table_bytes(blocks))
        table = BlockTable(target.fileno(), place_of(key, int(old.stem)))
        for piece, first in _pieces(source.fileno(), blocks):
            lines = enumerate(LINE.iter_unpack(piece), first)
            known = {block: (stamp, digest) for block, (digest, stamp) in lines if stamp}
            table.write(known, list(known))
        os.fsync(target.fileno())


def _pieces(fd: int, blocks: int) -> Iterator[tuple[bytes, int]]:
    """The parts of an old table that hold something, and the block that each begins with."""
    block = 0
    while block < blocks:
        try:
            block = os.lseek(fd, block * LINE.size, os.SEEK_DATA) // LINE.size
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        count = min(_PIECE_LINES, blocks - block)
        yield os.pread(fd, count * LINE.size, block * LINE.size), block
        block += count
