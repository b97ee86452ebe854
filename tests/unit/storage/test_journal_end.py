"""Is a journal closed to other users, and is the search for lost batches confined to its map?"""

import mmap
import os
from pathlib import Path

from storage.host.journal import BATCH_MAGIC, HEADER_BYTES, Journal, _sequences_beyond

SIZE = 64 << 20  # large enough to be mapped apart, so that the byte behind it belongs to nobody


def test_the_search_for_lost_batches_ends_with_the_map(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with path.open("w+b") as file:
        file.truncate(SIZE)
        file.seek(SIZE - HEADER_BYTES)
        file.write(BATCH_MAGIC.to_bytes(4, "little"))
        file.flush()
        with mmap.mmap(file.fileno(), SIZE, prot=mmap.PROT_READ) as image:
            # CPython's `find` steps by what it sees, so only some positions lead it to the byte behind the end.
            assert all(_sequences_beyond(image, position, SIZE) == set() for position in range(SIZE - 4096, SIZE))


def test_what_guests_write_is_not_for_other_users_of_the_host(tmp_path: Path) -> None:
    os.close(Journal(tmp_path / "journal", mmap.PAGESIZE).fd)
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600
