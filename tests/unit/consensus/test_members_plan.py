"""Voters: an odd number, spread over failure zones, changed one at a time, and never so that the cluster could stop."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from consensus.members.model import Node
from consensus.members.plan import (
    SILENT_S_MAX,
    Demote,
    HandOver,
    Promote,
    Situation,
    Step,
    can_give_up_vote,
    next_step,
    spread,
    voters_wanted,
)
from noded.core.ids import NodeId

LONG = SILENT_S_MAX + 1


def node(name: str, **fields: object) -> Node:
    plain = Node(id=NodeId(name), name=name, addresses=("10.0.0.1",), fingerprint="", admitted_at_ms=0, release="1")
    return changed(plain, **fields)


def situation(
    nodes: Collection[Node] | str, voters: str, *, silent: dict[str, float] | None = None, leader: str = ""
) -> Situation:
    """Everyone who is not silent answers and follows."""
    members = [node(name) for name in nodes] if isinstance(nodes, str) else list(nodes)
    unheard = silent or {}
    return Situation(
        leader=leader or voters[0],
        nodes=members,
        voters=set(voters),
        ready={each.id for each in members} - set(voters) - set(unheard),
        silent_s={name: seconds for name, seconds in unheard.items() if name in voters},
    )


def after(now: Situation, step: Step) -> Situation:
    match step:
        case Promote(node_id):
            return replace(now, voters={*now.voters, node_id}, ready=set(now.ready) - {node_id})
        case Demote(node_id):
            silent = {voter: seconds for voter, seconds in now.silent_s.items() if voter != node_id}
            here = node_id not in now.silent_s and node_id in {each.id for each in now.nodes}
            ready = {*now.ready, node_id} if here else set(now.ready)
            return replace(now, voters=set(now.voters) - {node_id}, ready=ready, silent_s=silent)
        case HandOver(node_id):
            return replace(now, leader=node_id)


def walk(now: Situation, steps_max: int = 60) -> Iterator[tuple[Step, Situation]]:
    """The steps that follow from a situation if nothing else happens, each with what it leads to."""
    for _ in range(steps_max):
        step = next_step(now)
        if step is None:
            return
        now = after(now, step)
        yield step, now
    raise AssertionError("the steps do not end")


def said(now: Situation) -> str:
    signs = {Promote: "+", Demote: "-", HandOver: "→"}
    return " ".join(signs[type(step)] + step.node_id for step, _ in walk(now))


def margin(now: Situation) -> int:
    """How many of the voters that answer may fail before there is no majority."""
    return sum(map(now.hears, now.voters)) - (len(now.voters) // 2 + 1)


@pytest.mark.parametrize(
    ("members", "voters"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (6, 5), (39, 5), (40, 7), (100, 7)]
)
def test_the_number_of_voters_is_odd(members: int, voters: int) -> None:
    assert voters_wanted(members) == voters


@pytest.mark.parametrize(
    ("now", "steps"),
    [
        pytest.param(situation("ab", "a"), "", id="two hosts keep one voter"),
        pytest.param(situation("abc", "a"), "+b +c", id="one becomes three at once"),
        pytest.param(situation("abc", "a", silent={"c": 0}), "", id="and waits until two are ready"),
        pytest.param(situation("abcde", "abc"), "+d +e", id="three become five"),
        pytest.param(situation("abcd", "abcde"), "-e -d", id="one of five is forgotten"),
        pytest.param(situation("abcd", "abc", silent={"c": 29}), "", id="a short silence changes nothing"),
        pytest.param(situation("abcd", "abc", silent={"c": LONG}), "-c +d", id="a dead voter goes first"),
        pytest.param(situation("abc", "abc", silent={"c": LONG}), "", id="nobody can take its place"),
        pytest.param(situation("ab", "abc", silent={"c": 1}), "-c -b", id="of three hosts two are left"),
        pytest.param(situation("abc", "abc", silent={"b": 9, "c": 9}), "", id="without a majority nothing"),
        pytest.param(situation("bc", "abc", leader="a"), "→b -a -c", id="the leader itself is removed"),
    ],
)
def test_the_steps(now: Situation, steps: str) -> None:
    assert said(now) == steps


def test_a_living_voter_goes_only_when_its_successor_votes() -> None:
    nodes = [node("a"), node("b"), node("c", draining=True), node("d")]
    assert said(situation(nodes, "abc")) == "+d -c"
    # Without a successor a draining node keeps its vote; one that leaves does not.
    assert said(situation(nodes[:3], "abc")) == ""
    leaving = [node("a"), node("b"), node("c", leaving=True)]
    assert said(situation(leaving, "abc")) == "-c -b"


def test_who_leaves_does_not_wait_for_the_heir_of_a_draining_leader() -> None:
    nodes = [node("a", draining=True), node("b"), node("c", leaving=True), node("d", leaving=True)]
    assert said(situation(nodes, "abcd", silent={"b": 1.0})) == "-c"


def test_a_draining_node_gets_no_vote() -> None:
    assert said(situation([node("a"), node("b", draining=True), node("c")], "a")) == ""


def test_voters_move_out_of_a_crowded_zone() -> None:
    def at(name: str, zone: str, rack: str = "") -> Node:
        return node(name, labels={"zone": zone, "rack": rack})

    crowded = [at("a", "1"), at("b", "1"), at("c", "1"), at("d", "2")]
    assert said(situation(crowded, "abc")) == "+d -c"
    two_and_two = [*crowded, at("e", "3"), at("f", "3")]
    reached = [now for _, now in walk(situation(two_and_two, "abc"))][-1]
    assert sorted(reached.voters) == ["a", "b", "d", "e", "f"]
    racks = [at("a", "1", "x"), at("b", "1", "x"), at("c", "1", "y"), at("d", "1", "z")]
    assert said(situation(racks, "abc")) == "+d -b"
    even = [at("a", "1"), at("b", "2"), at("c", "3"), at("d", "1")]
    assert said(situation(even, "abc")) == ""


def test_whether_a_node_can_go_is_known_before() -> None:
    assert can_give_up_vote(situation([node("a"), node("b"), node("c", leaving=True)], "abc"), NodeId("c"))
    assert can_give_up_vote(situation([node("a", leaving=True), node("b")], "a"), NodeId("a"))
    alone = situation([node("a", leaving=True), node("b")], "a", silent={"b": 5.0})
    assert not can_give_up_vote(alone, NodeId("a"))


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Any cluster with a leader that hears a majority: some nodes dead, draining, leaving, some voters forgotten."""
    names = [f"n{number:02}" for number in range(draw(st.integers(1, 9)))]
    zones = st.sampled_from(["", "1", "2", "3"])
    nodes = [
        node(
            name,
            labels={"zone": draw(zones), "rack": draw(zones)},
            draining=draw(st.sampled_from([False, False, False, True])),
            leaving=draw(st.sampled_from([False, False, False, False, True])),
        )
        for name in names
    ]
    forgotten = [f"x{number}" for number in range(draw(st.integers(0, 2)))]
    voters = draw(st.sets(st.sampled_from([*names, *forgotten]), min_size=1))
    silence = st.one_of(st.none(), st.none(), st.floats(0, 2 * SILENT_S_MAX))
    silent = {name: seconds for name in sorted(voters) if (seconds := draw(silence)) is not None}
    heard = sorted(voters - set(silent))
    while 2 * len(heard) <= len(voters):
        back = sorted(silent)[0]
        del silent[back]
        heard = sorted(voters - set(silent))
    ready = {name for name in names if name not in voters and draw(st.booleans())}
    leader = draw(st.sampled_from(heard))
    return Situation(leader=leader, nodes=nodes, voters=voters, ready=ready, silent_s=silent)


@settings(max_examples=600, deadline=None)
@given(situations())
def test_whatever_happened_the_steps_end_and_never_lose_the_majority(start: Situation) -> None:
    wanted = voters_wanted(sum(not each.leaving for each in start.nodes))
    before = now = start
    for step, now in walk(start):
        assert margin(now) >= 0, step
        assert now.leader in now.voters, step
        if isinstance(step, Promote) or (isinstance(step, Demote) and not before.hears(step.node_id)):
            # Of no use before, or of use from now on: no failure that was survived before stops the cluster now.
            assert margin(now) >= margin(before), step
        if isinstance(step, Demote) and before.hears(step.node_id) and len(now.voters) < wanted:
            gone = {each.id for each in now.nodes if not each.leaving}
            assert step.node_id not in gone, "a voter that could stay went though too few are left"
        before = now
    if len(now.voters) > wanted:
        # The last voters that nobody can succeed stay, gone or not: without them there is no cluster.
        assert all(_can_not_go(now, voter) for voter in set(now.voters) - _taking_part(now))


def _taking_part(now: Situation) -> set[str]:
    return {each.id for each in now.nodes if not each.leaving}


def _can_not_go(now: Situation, voter: str) -> bool:
    left = [other for other in now.voters if other != voter]
    no_majority = 2 * sum(map(now.hears, left)) <= len(left)
    no_heir = now.leader not in _taking_part(now)
    return no_majority or no_heir


@settings(max_examples=300, deadline=None)
@given(situations())
def test_once_settled_nothing_moves_any_more_and_a_ready_node_stands_nowhere_idle(start: Situation) -> None:
    now = ([start] + [reached for _, reached in walk(start)])[-1]
    taking_part = _taking_part(now)
    if len(now.voters) < voters_wanted(len(taking_part)):
        able = [name for name in now.ready if not next(each for each in now.nodes if each.id == name).draining]
        assert len(set(able) & taking_part) < 2
    assert next_step(now) is None


@given(st.lists(st.tuples(st.sampled_from("123"), st.sampled_from("xyz")), max_size=8))
def test_moving_to_an_emptier_zone_always_counts_as_better(places: list[tuple[str, str]]) -> None:
    nodes = [node(f"n{i}", labels={"zone": zone, "rack": rack}) for i, (zone, rack) in enumerate(places)]
    counts = Counter(zone for zone, _ in places)
    fullest = max(counts, key=lambda zone: counts[zone], default="1")
    emptiest = min("123", key=lambda zone: counts[zone])
    if counts[fullest] - counts[emptiest] < 2:
        return
    mover = next(each for each in nodes if each.labels["zone"] == fullest)
    moved = [changed(each, labels={"zone": emptiest, "rack": "x"}) if each is mover else each for each in nodes]
    assert spread(moved) < spread(nodes)
