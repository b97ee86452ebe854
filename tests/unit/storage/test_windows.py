"""Which layer has a block, for a whole window at once: against the same said block by block."""

import random
import struct

from storage.host.windows import WINDOW_BLOCKS, WindowMaps, known_blocks, laid_under


def test_a_block_is_known_when_its_line_has_a_stamp() -> None:
    dice = random.Random(1)
    stamps = [dice.choice((0, 0, 1, 1 << 8, 1 << 63, dice.getrandbits(64))) for _ in range(1000)]
    lines = b"".join(struct.pack("<QQ", dice.getrandbits(64), stamp) for stamp in stamps)
    assert list(known_blocks(lines)) == [int(stamp > 0) for stamp in stamps]
    assert known_blocks(b"") == b""


def test_what_a_layer_has_shows_where_those_above_have_nothing() -> None:
    dice = random.Random(2)
    for _ in range(50):
        above = bytes(dice.choice((0, 0, 1, 7, 255)) for _ in range(dice.randrange(40)))
        below = bytes(dice.choice((0, 1)) for _ in range(dice.randrange(40)))
        layer = dice.randrange(1, 256)
        size = max(len(above), len(below))
        long_above, long_below = above.ljust(size, b"\0"), below.ljust(size, b"\0")
        expected = bytes(mine or layer * other for mine, other in zip(long_above, long_below, strict=True))
        assert laid_under(above, below, layer) == expected


def test_maps_of_one_layer_take_no_memory_and_the_others_are_bounded() -> None:
    maps: WindowMaps[int] = WindowMaps(2)
    mixed = bytes(range(256)) * (WINDOW_BLOCKS // 256)
    assert maps.put(0, bytes([3]) * WINDOW_BLOCKS) is maps.put(1, bytes([3]) * WINDOW_BLOCKS)
    for key in range(2, 6):
        maps.put(key, mixed)
    assert [key for key in range(6) if maps.get(key) is not None] == [0, 1, 4, 5]
    maps.mark(0, 9, 1)
    maps.mark(17, 9, 1)
    assert [key for key in range(6) if maps.get(key) is not None] == [0, 1, 5]
    marked, other = maps.get(0), maps.get(1)
    assert marked is not None
    assert other is not None
    assert (marked[8], marked[9], other[9]) == (3, 1, 3)
    for key in range(100, 200):
        maps.put(key, bytes(WINDOW_BLOCKS))
    assert len(maps) == 32
