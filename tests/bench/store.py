"""What a large store costs: memory, a view, a checkpoint written and loaded, and how long each holds up the loop.

`python -m tests.bench.store [RECORDS]` prints one line for each. The first figures are of 1,000,000 records with two
indexes, one of them with a value for every record.
"""

import gc
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import trio

from consensus.codec import Codec
from consensus.host import checkpoint
from consensus.host.checkpoint import Header, Part
from consensus.machine import Machine
from consensus.store import Loading
from noded.core.command import Command
from noded.core.ids import NodeId, Revision
from noded.core.origin import of_node
from noded.core.record import Record
from noded.core.store import Transaction
from noded.core.units import MIB

RECORDS = 1_000_000
BATCH = 500
PROJECTS = 1000
LOOK_S = 0.002
HEADER = Header(previous=(b"\x01", 1, 1), last=(b"\x01", 2, 1), voters=("one",))


class Thing(Record, frozen=True, kw_only=True, tag="thing.1"):
    """A record as services have them."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id", "name")

    project_id: str
    name: str
    size_gib: int
    tags: tuple[str, ...] = ()


class PutThing(Command, frozen=True, kw_only=True, tag="thing.put.1"):
    """One change."""

    thing: Thing

    def apply(self, tx: Transaction) -> None:
        tx.put(self.thing)


CODEC = Codec([PutThing], [Thing])


def thing(number: int) -> Thing:
    """Ids look random, and are the same every time."""
    id = f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}"
    return Thing(id=id, project_id=f"project{number % PROJECTS}", name=f"thing {number}", size_gib=number % 64)


def filled(records: int) -> Machine:
    """A machine with so many records."""
    machine = Machine(CODEC)
    loading = Loading(Revision(records))
    gc.disable()
    for start in range(0, records, BATCH):
        loading.add([thing(number) for number in range(start, min(records, start + BATCH))])
    gc.enable()
    machine._picture = loading.finish()
    return machine


def resident_mib() -> float:
    """The memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / MIB


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long the block took."""
    start = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - start:.2f} s")


async def longest_stall(work: Callable[[], Awaitable[object]]) -> float:
    """The longest time for which the loop did not come round while `work` ran, in seconds."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await trio.sleep(LOOK_S)
            longest = max(longest, time.perf_counter() - before - LOOK_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await trio.sleep(5 * LOOK_S)
        await work()
        nursery.cancel_scope.cancel()
    return longest


def write(machine: Machine, path: Path) -> None:
    """What `Checkpointing` does in its thread."""
    parts = ((Part.STATE, block) for block in machine.capture().blocks())
    checkpoint.write(path, HEADER, parts, lambda: time.sleep(0.001))


def load(machine: Machine, path: Path) -> None:
    """What `Checkpointing` does in its thread."""

    def blocks() -> Iterator[bytes]:
        for _, content in checkpoint.read(path):
            yield content
            time.sleep(0.001)

    machine.restore(blocks())


async def main(records: int) -> None:
    """Print all figures."""
    before = resident_mib()
    with timed(f"{records} records made"):
        machine = filled(records)
    print(f"memory: {resident_mib() - before:.0f} MiB")
    start = time.perf_counter()
    picture = machine.picture
    print(f"a view kept: {(time.perf_counter() - start) * 1e6:.1f} us")
    entry = CODEC.encode_entry(of_node(NodeId("n"), 0), [PutThing(thing=thing(records + 1))])
    start = time.perf_counter()
    for index in range(1000):
        machine.apply(records + 1 + index, entry)
    print(f"one change: {(time.perf_counter() - start) * 1e3:.0f} us")
    assert picture.count(Thing) == records, "an old view never changes"
    with TemporaryDirectory() as directory:
        path = Path(directory) / "checkpoint"
        with timed("checkpoint written"):
            stall = await longest_stall(partial(trio.to_thread.run_sync, write, machine, path))
        print(f"  {path.stat().st_size / MIB:.0f} MiB, loop held up for {stall * 1e3:.0f} ms at most")
        other = Machine(CODEC)
        with timed("checkpoint loaded"):
            stall = await longest_stall(partial(trio.to_thread.run_sync, load, other, path))
        print(f"  loop held up for {stall * 1e3:.0f} ms at most")
    assert other.picture.count(Thing) == machine.picture.count(Thing)
    stall = await longest_stall(partial(trio.to_thread.run_sync, gc.collect))
    print(f"cycle collector: {stall * 1e3:.0f} ms")


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS)
