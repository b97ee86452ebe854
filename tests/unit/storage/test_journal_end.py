"""Does looking for lost batches stay within the journal's map, whatever the position it starts from?"""

import mmap
from pathlib import Path

from storage.host.journal import BATCH_MAGIC, HEADER_BYTES, _sequences_beyond

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
