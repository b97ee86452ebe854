"""What does history cost? `python -m tests.bench.history` prints microseconds and bytes an entry, and reading times."""

import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from consensus.chain import Keeper, NoKeeper
from consensus.codec import Codec
from consensus.history.integrity import verify
from consensus.history.links import vocabulary_of
from consensus.history.model import Question
from consensus.history.reading import Reader
from consensus.host.history_files import HistoryFiles
from consensus.machine import Machine
from consensus.members.commands import AdmitNode, LabelNode
from noded.core.command import Command
from noded.core.ids import NodeId
from noded.core.origin import Origin
from noded.services import all_commands, all_records

ENTRIES = 50_000
ORIGIN = Origin("user:" + "a" * 32, "admin", "b" * 32, "req-" + "c" * 36, "10.77.0.9", 1_700_000_000_000)
CODEC = Codec(all_commands(), all_records())


def admission(number: int) -> Command:
    id = f"{number:032x}"
    return AdmitNode(
        node_id=NodeId(id), name=f"n{id}", addresses=("10.0.0.1",), fingerprint=id * 2, release="1", now_ms=number
    )


def label(number: int) -> Command:
    return LabelNode(node_id=NodeId(f"{0:032x}"), labels={"rack": str(number)})


def applied_us(make: Callable[[int], Command], keeper: Keeper) -> tuple[float, Machine]:
    """Microseconds to apply an entry."""
    payloads = [CODEC.encode_entry(ORIGIN, [make(number)]) for number in range(ENTRIES)]
    machine = Machine(CODEC, keeper)
    machine.apply(1, CODEC.encode_entry(ORIGIN, [admission(0)]))
    gc.collect()
    began = time.process_time()
    for index, payload in enumerate(payloads, start=2):
        machine.apply(index, payload)
    return (time.process_time() - began) / ENTRIES * 1e6, machine


def ms(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def measure(what: str, make: Callable[[int], Command], directory: Path) -> None:
    chained_us = applied_us(make, NoKeeper())[0]
    book = HistoryFiles(directory)
    kept_us, machine = applied_us(make, book)
    size = sum(path.stat().st_size for path in directory.iterdir())
    reader = Reader(book, vocabulary_of(all_commands(), all_records()), machine.picture, machine.link)
    print(f"{what}: {chained_us:.1f} µs an entry with its hash, {kept_us:.1f} µs with its line in a file")
    print(f"  {size / ENTRIES:.0f} bytes a line; durable before a checkpoint: {ms(book.settle):.0f} ms")
    print(f"  of {ENTRIES} lines, the newest 50: {ms(lambda: reader.page(Question())):.0f} ms;", end=" ")
    print(f"what is in none: {ms(lambda: reader.page(Question(object='nothing of that name'))):.0f} ms;", end=" ")
    print(f"verify: {ms(lambda: verify(book, machine.link, 'n')):.0f} ms")
    book.close()


def main() -> None:
    for what, make in (("a new record", admission), ("one field of a record", label)):
        with tempfile.TemporaryDirectory() as directory:
            measure(what, make, Path(directory))


if __name__ == "__main__":
    main()
