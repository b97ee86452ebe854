"""Where replicas go: on distinct nodes, by weight, and with little that moves."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from noded.core.ids import DiskId, NodeId, VolumeId
from storage.extents.layout import Piece, may_leave, pieces
from storage.extents.placement import Candidate, place_extent, place_volume

VOLUME = VolumeId("v")


def disks(nodes: int, each: int = 2, weight: float = 1.0) -> list[Candidate]:
    return [
        Candidate(DiskId(f"n{node}d{disk}"), NodeId(f"n{node}"), weight)
        for node in range(nodes)
        for disk in range(each)
    ]


def node_of(disk_id: str) -> str:
    return disk_id.partition("d")[0]


def test_replicas_are_on_distinct_nodes() -> None:
    for placed in place_volume(VOLUME, 200, disks(4), 3):
        assert len({node_of(disk) for disk in placed}) == 3


def test_with_fewer_nodes_than_copies_there_are_fewer_replicas() -> None:
    assert [len(placed) for placed in place_volume(VOLUME, 2, disks(2), 3)] == [2, 2]


def test_the_guests_node_comes_first() -> None:
    for placed in place_volume(VOLUME, 50, disks(5), 3, prefer=NodeId("n2")):
        assert node_of(placed[0]) == "n2"


def test_the_order_of_the_candidates_does_not_matter() -> None:
    candidates = disks(5)
    assert place_extent(VOLUME, 7, candidates, 3) == place_extent(VOLUME, 7, reversed(candidates), 3)


def test_disks_are_used_by_weight_and_those_without_weight_not_at_all() -> None:
    candidates = [
        *disks(6, each=1),
        Candidate(DiskId("n9d0"), NodeId("n9"), 2.0),
        Candidate(DiskId("n8d0"), NodeId("n8"), 0),
    ]
    used = Counter(disk for placed in place_volume(VOLUME, 6000, candidates, 1) for disk in placed)
    assert used["n8d0"] == 0
    assert 1.8 < used["n9d0"] / (sum(used[f"n{node}d0"] for node in range(6)) / 6) < 2.2


def test_a_new_node_takes_its_share_and_nothing_else_moves() -> None:
    before = place_volume(VOLUME, 1000, disks(4), 3)
    after = place_volume(VOLUME, 1000, disks(5), 3)
    moved = sum(len(set(new) - set(old)) for old, new in zip(before, after, strict=True))
    assert all(node_of(disk) == "n4" for old, new in zip(before, after, strict=True) for disk in set(new) - set(old))
    assert 0.16 < moved / 3000 < 0.24


@given(st.integers(0, 10_000), st.integers(1, 10_000), st.integers(1, 3000), st.integers(1, 700))
def test_pieces_cover_a_range_once_and_cross_no_border(offset: int, length: int, extent: int, most: int) -> None:
    covered = 0
    for piece in pieces(offset, length, extent, most):
        assert piece == Piece((offset + covered) // extent, (offset + covered) % extent, covered, piece.length)
        assert 0 < piece.length <= most
        assert piece.offset + piece.length <= extent
        covered += piece.length
    assert covered == length


def test_a_disk_may_leave_when_every_extent_keeps_a_replica() -> None:
    layout = (("a", "b"), ("b", "c"))
    assert may_leave(layout, ("a", "b", "c"), ("a", "c"))
    assert not may_leave(layout, ("a", "b", "c"), ("b", "a"))
    assert not may_leave(layout, ("b",), ("b",))


def zoned(*zones: tuple[str, ...]) -> list[Candidate]:
    return [Candidate(DiskId(f"n{at}d0"), NodeId(f"n{at}"), 1.0, zone) for at, zone in enumerate(zones)]


def test_replicas_go_to_different_racks_where_there_are_enough() -> None:
    racks = [("", "", rack) for rack in "aaaabc"]
    placed = place_volume(VOLUME, 100, zoned(*racks), 3)
    assert all(len({racks[int(disk[1:2])] for disk in disks}) == 3 for disks in placed)


def test_a_wider_zone_counts_before_a_narrower_one() -> None:
    zones = [("east", "", "a"), ("east", "", "b"), ("east", "", "c"), ("west", "", "a"), ("west", "", "a")]
    for disks in place_volume(VOLUME, 100, zoned(*zones), 2):
        assert len({zones[int(disk[1:2])][0] for disk in disks}) == 2


def test_more_copies_than_zones_are_spread_as_evenly_as_can_be() -> None:
    zones = [("", "", "a")] * 4 + [("", "", "b")] * 2
    for disks in place_volume(VOLUME, 100, zoned(*zones), 3):
        assert {zones[int(disk[1:2])][2] for disk in disks} == {"a", "b"}


def test_a_replica_beside_others_keeps_away_from_their_nodes_and_racks() -> None:
    candidates = zoned(("", "", "a"), ("", "", "a"), ("", "", "b"), ("", "", "b"))
    for extent in range(50):
        assert place_extent(VOLUME, extent, candidates, 1, beside=candidates[:1])[0] in {"n2d0", "n3d0"}
