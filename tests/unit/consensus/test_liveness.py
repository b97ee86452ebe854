"""What many nodes make of one another: boards that tell each other, links that are cut, and what a round costs."""

from itertools import permutations

import msgspec
import pytest

from consensus.liveness.board import Board, round_s, whom_to_ask
from consensus.liveness.damping import HOLD_S, SETTLE_S
from consensus.liveness.model import Hearing, NodeVerdict, Pulse, Row, Sight, State
from consensus.liveness.plan import declarations
from consensus.liveness.sight import Circle, judge
from noded.core.ids import NodeId


def node(number: int) -> NodeId:
    return NodeId(f"{number * 7919:08x}" + f"{number:024x}")


class Village:
    """Boards in memory. `cut` holds pairs that don't hear each other; who is `off` does nothing."""

    def __init__(self, count: int, voters: int) -> None:
        self.members = [node(number) for number in range(count)]
        self.voters = frozenset(self.members[:voters])
        self.cut: set[frozenset[NodeId]] = set()
        self.off: set[NodeId] = set()
        self.now_s = 1000.0
        self.boards = {each: Board(each, life=1) for each in self.members}
        self.turn = 0
        self.calls = 0
        self.sent_bytes = 0

    def reaches(self, one: NodeId, other: NodeId) -> bool:
        return not ({one, other} & self.off) and frozenset((one, other)) not in self.cut

    def circle(self, me: NodeId) -> Circle:
        linked = self.members if me in self.voters else self.voters
        heard = frozenset(other for other in linked if other != me and self.reaches(me, other))
        seen = len(self.voters & (heard | {me}))
        return Circle(me, frozenset(self.members), self.voters, heard, seen > len(self.voters) / 2)

    def ask(self, asker: NodeId, asked: NodeId) -> None:
        self.calls += 1
        question = self.boards[asker].question()
        answer = self.boards[asked].answer(question, self.now_s)
        self.boards[asker].take(answer, self.now_s)
        self.sent_bytes += len(msgspec.msgpack.encode(question)) + len(msgspec.msgpack.encode(answer))

    def rounds(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / round_s(len(self.members))))):
            self.turn += 1
            self.now_s += round_s(len(self.members))
            for me in self.members:
                if me in self.off:
                    continue
                circle = self.circle(me)
                if self.boards[me].look(circle, self.now_s, int(self.now_s * 1000)):
                    for voter in sorted((circle.voters & circle.heard) - {me}):
                        self.ask(me, voter)
                elif chosen := whom_to_ask(me, circle.voters, circle.heard, self.turn):
                    self.ask(me, chosen)

    def sight(self, by: int, of: int) -> Sight:
        sight = self.boards[node(by)].sight(node(of))
        assert sight is not None
        return sight

    def states(self, by: int) -> list[State]:
        return [self.sight(by, number).state for number in range(len(self.members))]


UP, SUSPECT, PARTLY, DOWN = State.UP, State.SUSPECT, State.PARTLY, State.DOWN
LASTING_S = HOLD_S + SETTLE_S + 12


def test_all_are_up_and_everyone_knows_who_sees_them() -> None:
    village = Village(7, voters=5)
    village.rounds(12)
    for by in range(7):
        assert village.states(by) == [UP] * 7
    assert village.sight(6, 5).seen_by == tuple(sorted(village.voters))
    assert len(village.sight(5, 0).seen_by) == 6


@pytest.mark.parametrize("dead", [0, 2, 5])
def test_a_dead_node_is_down_everywhere_and_back_when_it_is_back(dead: int) -> None:
    village = Village(6, voters=3)
    village.rounds(5)
    village.off = {node(dead)}
    village.rounds(1)
    assert village.sight((dead + 1) % 3, dead).state is SUSPECT
    village.rounds(LASTING_S)
    for by in set(range(6)) - {dead}:
        assert village.sight(by, dead).state is DOWN, by
        assert [state for number, state in enumerate(village.states(by)) if number != dead] == [UP] * 5
    village.off = set()
    village.boards[node(dead)] = Board(node(dead), life=2)
    village.rounds(LASTING_S)
    for by in range(6):
        assert village.states(by) == [UP] * 6


def test_a_node_cut_from_only_some_is_partly_reachable_and_everyone_is_told_by_whom() -> None:
    village = Village(4, voters=3)
    village.rounds(5)
    village.cut = {frozenset((node(0), node(2)))}
    village.rounds(LASTING_S)
    for by in range(4):
        assert village.states(by) == [PARTLY, UP, PARTLY, UP], by
        assert village.sight(by, 2).missed_by == (node(0),)
        assert node(1) in village.sight(by, 2).seen_by
    assert node(2) not in village.boards[node(0)].usable()
    assert node(2) in village.boards[node(1)].usable()
    assert [lost.node_id for lost in village.boards[node(0)].outlook({}).lost] == [node(2)]


def test_a_minority_can_say_of_nobody_that_it_is_down() -> None:
    village = Village(3, voters=3)
    village.rounds(5)
    village.cut = {frozenset((node(0), other)) for other in (node(1), node(2))}
    village.rounds(LASTING_S)
    assert village.states(0) == [UP, SUSPECT, SUSPECT]
    outlook = village.boards[node(0)].outlook({})
    assert (outlook.has_majority, outlook.voters_seen, len(outlook.voters)) == (False, (node(0),), 3)
    assert {lost.node_id for lost in outlook.lost} == {node(1), node(2)}
    assert outlook.minority_since_ms is not None
    assert village.states(1) == [DOWN, UP, UP]
    assert village.boards[node(1)].outlook({}).minority_since_ms is None
    village.cut = set()
    village.rounds(LASTING_S)
    assert village.states(0) == [UP] * 3
    assert village.boards[node(0)].outlook({}).has_majority


def test_a_node_whose_clock_went_back_is_believed_again() -> None:
    village = Village(3, voters=3)
    village.rounds(5)
    village.boards[node(2)] = Board(node(2), life=0)
    village.rounds(5)
    village.cut = {frozenset((node(1), node(2)))}
    village.rounds(LASTING_S)
    assert village.sight(0, 1).missed_by == (node(2),)


def test_whoever_is_no_member_any_more_is_forgotten() -> None:
    village = Village(4, voters=3)
    village.rounds(5)
    gone = village.members.pop()
    village.rounds(2)
    for board in (village.boards[each] for each in village.members):
        assert board.sight(gone) is None
        assert all(pulse.node_id != gone for pulse in board.question().pulses)


def test_what_a_node_became_lately_is_kept_and_bounded() -> None:
    village = Village(3, voters=3)
    for _ in range(12):
        village.off = {node(2)}
        village.rounds(LASTING_S)
        village.off = set()
        village.rounds(80)
    changes = village.boards[node(0)].changes(node(2))
    assert len(changes) == 10
    assert {change.state for change in changes} == {UP, SUSPECT, DOWN}
    assert changes[-1].state is UP
    assert {node(1)} <= {teller for change in changes for teller in change.missed_by}


def test_fifty_nodes_cost_a_call_each_in_a_round_and_rows_travel_only_with_news() -> None:
    village = Village(50, voters=5)
    village.rounds(20)
    village.calls = village.sent_bytes = 0
    village.rounds(round_s(50) * 10)
    assert village.calls == 500
    assert village.sent_bytes / village.calls < 6_000
    assert village.states(0) == village.states(49) == [UP] * 50
    village.off = {node(49), node(4)}
    village.calls = 0
    village.rounds(LASTING_S)
    for by in (0, 3, 20, 48):
        assert (village.sight(by, 49).state, village.sight(by, 4).state) == (DOWN, DOWN)
    assert village.calls / village.turn < 60


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_rows_may_arrive_in_any_order_the_newest_counts(order: tuple[int, ...]) -> None:
    rows = [Row(Pulse(node(1), 1, beat, beat), (Hearing(node(0), beat == 2, beat),)) for beat in range(3)]
    board = Board(node(0), life=1)
    board.look(circle(), 5.0, 5000)
    asked = Board(node(2), life=1).question()
    for number in order:
        board.take(type(asked)((), (rows[number],)), 5.0)
    assert rows[2] in board.answer(asked, 5.0).rows


def circle(has_majority: bool = True, heard: tuple[int, ...] = (1,), voters: int = 3) -> Circle:
    members = frozenset(node(number) for number in range(4))
    voting = frozenset(node(number) for number in range(voters))
    return Circle(node(0), members, voting, frozenset(node(number) for number in heard), has_majority)


def row(teller: int, **heard: bool) -> Row:
    hearings = tuple(Hearing(node(int(name[1:])), yes, teller) for name, yes in heard.items())
    return Row(Pulse(node(teller), 1, 1, 1), hearings)


@pytest.mark.parametrize(
    ("rows", "around", "state"),
    [
        ([row(0, n2=True), row(1, n2=True)], circle(), UP),
        ([row(0, n2=False), row(1, n2=True)], circle(), PARTLY),
        ([row(0, n2=False), row(1, n2=False)], circle(), DOWN),
        ([row(0, n2=False)], circle(), DOWN),  # node 1 takes part in the log and says nothing: it abstains
        ([row(0, n2=False)], circle(heard=(3,)), SUSPECT),  # node 1 is not heard either
        ([row(0, n2=False), row(1, n2=False)], circle(has_majority=False), SUSPECT),
        ([row(0, n2=True)], circle(has_majority=False, heard=(2,)), UP),
        ([], circle(), SUSPECT),
        ([row(2, n2=True), row(3)], circle(), SUSPECT),  # what it says of itself does not count
    ],
)
def test_a_node_is_what_those_say_who_listen_to_it(rows: list[Row], around: Circle, state: State) -> None:
    assert judge({each.pulse.node_id: each for each in rows}, around)[node(2)].state is state


def test_the_leader_declares_what_is_new_and_takes_back_what_is_over() -> None:
    def sight(number: int, state: State) -> Sight:
        return Sight(node_id=node(number), state=state, since_ms=5, seen_by=(), missed_by=(node(0),))

    def verdict(number: int) -> NodeVerdict:
        return NodeVerdict(id=node(number), down_since_ms=1, missed_by=(), declared_at_ms=2)

    states = {0: UP, 1: DOWN, 2: DOWN, 3: PARTLY, 4: SUSPECT, 5: SUSPECT}
    sights = {node(number): sight(number, state) for number, state in states.items()}
    verdicts = [verdict(number) for number in (2, 3, 4, 9)]
    members = [node(number) for number in range(7)]
    said = [(type(each).__name__, each.node_id) for each in declarations(sights, verdicts, members, 9)]
    assert said == [("DeclareDown", node(1)), ("DeclareUp", node(3)), ("DeclareUp", node(9))]
