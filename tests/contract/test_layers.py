"""A volume reads through any number of layers as if they were one, on a real disk and on its twin in memory."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from noded.core.ids import DiskId
from storage.extents.frame import Op
from storage.extents.messages import volume_key
from storage.host.extent_store import ExtentStore
from storage.host.origins import OriginMaps
from tests.twins.extents import MemoryStore
from tests.unit.storage.talk import Talk, block

LAYERS = 12
BLOCKS = 1024


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryStore()
    else:
        disk = ExtentStore(tmp_path, DiskId("d"), segment_bytes=4 << 20)
        yield disk
        disk.close()


def layer(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def test_a_chain_of_layers_shows_the_newest_of_each_block(store: Any) -> None:
    dice = random.Random(7)
    shown: dict[int, int] = {}
    for number in range(1, LAYERS + 1):
        parents = tuple(layer(below) for below in range(number - 1, 0, -1))
        talk = Talk(store, layer(number), parents=parents)
        for _ in range(60):
            at, letter = dice.randrange(BLOCKS), dice.randrange(1, 250)
            if dice.random() < 0.2:
                talk.zero(at, 1)
                letter = 0
            else:
                talk.write(at, block(letter))
            shown[at] = letter
        if isinstance(store, ExtentStore) and number % 3 == 0:
            store.settle()
        for first in range(0, BLOCKS, 256):
            expected = b"".join(block(shown.get(at, 0)) for at in range(first, first + 256))
            assert talk.read(first, 256) == expected, f"layer {number}"


def test_a_repair_of_a_layer_below_is_seen_by_all_above(store: Any) -> None:
    base = Talk(store, layer(1))
    base.write(3, block(1))
    middle = Talk(store, layer(2), parents=(layer(1),))
    top = Talk(store, layer(3), parents=(layer(2), layer(1)))
    assert (top.read(3), top.read(4)) == (block(1), block(0))
    middle.repair(Op.REPAIR, 4, block(9), stamp=middle.stamp(), mark=1 << 63)
    base.repair(Op.REPAIR, 3, block(8), stamp=base.stamp(), mark=1 << 63)
    assert (top.read(3), top.read(4), middle.read(3)) == (block(8), block(9), block(8))
    middle.repair(Op.REPAIR_ABSENT, 4, 1, stamp=0, mark=1 << 63)
    assert top.read(4) == block(0)


def test_a_snapshot_that_goes_leaves_its_sister_readable(store: Any) -> None:
    base = Talk(store, layer(1))
    base.write(0, block(1))
    one, two = Talk(store, layer(2), parents=(layer(1),)), Talk(store, layer(3), parents=(layer(1),))
    one.write(1, block(2))
    assert (one.read(0), two.read(0)) == (block(1), block(1))
    assert base.ask(base.frame(Op.REMOVE, layer(2).encode())).op == Op.ACK
    assert (two.read(0), two.read(1)) == (block(1), block(0))


def test_a_disk_that_starts_again_knows_the_chain_and_the_sizes(tmp_path: Path) -> None:
    disk = ExtentStore(tmp_path, DiskId("d"), segment_bytes=4 << 20)
    for number in range(1, 41):
        parents = tuple(layer(below) for below in range(number - 1, 0, -1))
        Talk(disk, layer(number), parents=parents).write(number, block(number))
    # Killed: nothing was settled, and nothing was said.
    again = ExtentStore(tmp_path, DiskId("d"), segment_bytes=4 << 20)
    top = Talk(again, layer(40), epoch=2)
    assert top.read(0, 50) == b"".join(block(at if 1 <= at <= 40 else 0) for at in range(50))
    assert again._replicas[volume_key(layer(40))].depth == 40
    again.close()


def test_the_maps_of_layers_are_bounded(tmp_path: Path) -> None:
    disk = ExtentStore(tmp_path, DiskId("d"), segment_bytes=4 << 20)
    maps = disk._origins = OriginMaps(lambda _extent: None, maps_max=2)
    base = Talk(disk, layer(1))
    for extent in range(3):
        base.write(5, block(extent + 1), extent=extent)
    top = Talk(disk, layer(2), parents=(layer(1),))
    for _ in range(2):
        assert [top.read(5, extent=extent)[:1] for extent in range(3)] == [b"\1", b"\2", b"\3"]
    assert len(maps._maps) == 2
    disk.close()


def volumes(store: Any) -> set[str]:
    return {
        replica.volume_id
        for replica in (store._replicas if isinstance(store, ExtentStore) else store.replicas).values()
    }


def test_an_empty_place_of_a_source_goes_with_the_last_clone_on_it(store: Any) -> None:
    """No record says that the source is on this disk: it was kept for clones that have extents here beyond it."""
    below = (layer(2), layer(1))
    Talk(store, layer(3), parents=below).write(0, block(3))
    last = Talk(store, layer(4), parents=below)
    last.write(0, block(4))
    assert last.read(0, 2) == block(4) + block(0)
    store.remove(layer(3))
    assert volumes(store) == {layer(1), layer(2), layer(4)}
    store.remove(layer(4))
    assert volumes(store) == set()


def test_a_source_that_was_ever_claimed_here_stays(store: Any) -> None:
    Talk(store, layer(1))
    Talk(store, layer(2), parents=(layer(1),)).write(0, block(2))
    store.remove(layer(2))
    assert volumes(store) == {layer(1)}
