"""When may the log begin anew on a node, and what is an operator told before?"""

from dataclasses import dataclass, field

from consensus.incarnation import Incarnation
from consensus.recovery.model import LogStanding, RecoveryPlan, Seen
from consensus.recovery.plan import left_behind, plan_recovery
from noded.core.ids import NodeId

NOW, LATER = Incarnation(1, "aa"), Incarnation(2, "bb")
VOTERS = tuple(NodeId(name) for name in ("a", "b", "c"))


@dataclass
class Town:
    """Three voters; `a` is to recover, and the test says who answers what."""

    leader: NodeId | None = None
    answers: dict[str, LogStanding] = field(default_factory=dict)

    def standing(self, node: str, last: int = 10, term: int = 3, life: Incarnation = NOW) -> LogStanding:
        return LogStanding(
            node_id=NodeId(node),
            incarnation=life,
            last_term=term,
            last_index=last,
            committed_index=8,
            voters=VOTERS,
            leader_id=self.leader,
        )

    def plan(self) -> RecoveryPlan:
        others = [
            Seen(node_id=NodeId(name), name=f"host-{name}", votes=True, standing=self.answers.get(name), silent="gone")
            for name in ("b", "c")
        ]
        return plan_recovery("town", "host-a", self.standing("a"), others)


def test_one_survivor_of_three_may_go_on_and_is_told_what_that_costs() -> None:
    plan = Town().plan()
    assert (plan.obstacles, plan.warnings) == ((), ())
    told = " ".join(plan.losses)
    assert "entry 10 (term 3)" in told
    assert "host-b, host-c" in told
    assert "Entries 9 to 10" in told
    assert left_behind(plan.standing) == ("b", "c")


def test_a_majority_that_answers_needs_no_recovery() -> None:
    town = Town()
    town.answers["b"] = town.standing("b", last=5)
    assert "2 of 3 voters answer" in " ".join(town.plan().warnings)


def test_a_log_that_is_led_is_alive() -> None:
    town = Town(leader=NodeId("c"))
    assert "follow a leader (c)" in " ".join(town.plan().warnings)


def test_the_one_that_holds_most_is_the_one_to_recover_on() -> None:
    town = Town()
    for last, term, better in ((11, 3, True), (9, 4, True), (10, 3, False), (99, 2, False)):
        town.answers["b"] = town.standing("b", last=last, term=term)
        assert ("host-b holds more" in " ".join(town.plan().warnings)) is better, (last, term)


def test_what_was_recovered_elsewhere_already_is_not_recovered_again() -> None:
    town = Town()
    town.answers["b"] = town.standing("b", life=LATER)
    assert "newer life" in " ".join(town.plan().obstacles)


def test_there_must_be_something_to_go_on_with_and_somebody_lost() -> None:
    empty = LogStanding(
        node_id=NodeId("a"), incarnation=None, last_term=0, last_index=0, committed_index=0, voters=(), leader_id=None
    )
    assert "holds nothing" in " ".join(plan_recovery("town", "host-a", empty, []).obstacles)
    alone = LogStanding(
        node_id=NodeId("a"), incarnation=NOW, last_term=1, last_index=9, committed_index=9, voters=(NodeId("a"),),
        leader_id=None,
    )  # fmt: skip
    assert "only voter already" in " ".join(plan_recovery("town", "host-a", alone, []).obstacles)
