"""Who gives which blocks to whom, when replicas differ."""

from noded.core.ids import DiskId
from storage.extents.comparison import Copy, newest_wins, source_wins
from storage.extents.member import Member
from storage.extents.messages import FETCH_BLOCKS_MAX, BlockState

A, B, C = (Member(DiskId(name), 1 << at, 0.0, is_local=False) for at, name in enumerate("abc"))
B.watermark = 9
B.sent_after = 50
B.resent = frozenset((44, 46))


def lines(**stamps: int) -> dict[int, BlockState]:
    """`b7=40`: block 7 has stamp 40, and a hash made of it."""
    return {int(name[1:]): BlockState(stamp, stamp * 1000) for name, stamp in stamps.items()}


def test_equal_replicas_give_nothing() -> None:
    same = lines(b1=10, b2=11)
    assert newest_wins([(A, same), (B, same)]) == []
    assert source_wins(A, same, B, same, B) == []


def test_the_newest_write_of_each_block_goes_to_all_that_lack_it() -> None:
    reports = [(A, lines(b1=12, b5=1)), (B, lines(b1=10, b5=9)), (C, lines(b1=12))]
    assert newest_wins(reports) == [Copy(A, (B,), 1, 1, 0, (C,)), Copy(B, (A, C), 5, 1, 0)]


def test_adjoining_blocks_travel_together_up_to_a_limit() -> None:
    right = {block: BlockState(15, 5) for block in range(10, 10 + FETCH_BLOCKS_MAX + 3)}
    assert source_wins(A, right, B, {}, B) == [
        Copy(A, (B,), 10, FETCH_BLOCKS_MAX, 10),
        Copy(A, (B,), 10 + FETCH_BLOCKS_MAX, 3, 10),
    ]


def test_a_write_that_only_the_returning_replica_has_is_taken_back() -> None:
    assert source_wins(A, {}, B, lines(b3=40, b4=12), B) == [Copy(A, (B,), 3, 1, 41), Copy(A, (B,), 4, 1, 13)]


def test_what_guests_write_meanwhile_is_left_to_them() -> None:
    assert source_wins(A, lines(b1=43, b2=40), B, lines(b1=44, b2=61, b3=62), B) == []


def test_what_was_completed_between_writes_under_way_is_copied() -> None:
    assert source_wins(A, lines(b1=45), B, lines(b1=12), B) == [Copy(A, (B,), 1, 1, 13)]


def test_who_has_lost_what_it_knew_gets_it_from_any_that_know() -> None:
    lost = {1: BlockState(31, 0), 2: BlockState(31, 0)}
    reports = [(A, lost), (B, lines(b2=40)), (C, {})]
    assert newest_wins(reports) == [Copy(B, (A,), 1, 1, 0, (C,)), Copy(B, (A, C), 2, 1, 0)]
    assert newest_wins([(A, lost), (B, lost)]) == []
    assert source_wins(A, {}, B, {3: BlockState(44, 0)}, B) == [Copy(A, (B,), 3, 1, 45)]


def test_a_block_with_the_same_stamp_and_another_hash_is_copied() -> None:
    other = {4: BlockState(17, 8)}
    assert source_wins(A, {4: BlockState(17, 7)}, B, other, B) == [Copy(A, (B,), 4, 1, 18)]
