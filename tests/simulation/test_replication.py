"""Block replication in bad weather, from seeds; and each rule of the protocol taken out, which must be noticed.

`python -m tests.simulation.test_replication FIRST COUNT [RULE]` tries more seeds.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

import pytest

from storage.extents import authority, comparison
from storage.extents.authority import Shrink
from storage.extents.comparison import Comparison
from storage.extents.freezing import Freezing
from storage.extents.insync import InSyncSet
from storage.extents.joining import Join, Joins
from storage.extents.lease import Lease
from storage.extents.member import Member, MemberState
from storage.extents.recovery import Recovery
from storage.extents.replication import Owner, Phase
from storage.extents.requests import Read, Write
from storage.extents.serving import Session
from tests.simulation import replication_world
from tests.simulation.replication_world import SAME, Weather, World

SEEDS: Final = 40
SEEDS_TO_NOTICE: Final = 200

Patch = Callable[[Any, str, Any], None]
Rule = Callable[[Patch], None]


def a_majority_is_enough(patch: Patch) -> None:
    def release_from(write: Write, bits: int) -> None:
        write.missing &= ~bits
        owner = write._owner
        if write.missing.bit_count() <= 1 and write.stamp in owner.inflight:
            owner.written(write)

    patch(Write, "release_from", release_from)


def older_owners_are_not_refused(patch: Patch) -> None:
    careful = Session._bound
    patch(
        Session,
        "_writable",
        lambda session, op, flags, extent, *span: session.replica or careful(session, extent, *span),
    )
    patch(Session, "_bound", lambda session, extent, *span: session.replica or careful(session, extent, *span))


def nobody_is_sealed(patch: Patch) -> None:
    def seal(session: Session[Any], stamp: int, whole: memoryview, request: int) -> None:
        session._staged.append(request)

    patch(Session, "_seal", seal)
    patch(Session, "_writable", lambda session, op, flags, extent, offset, length: session.replica)


def acknowledged_before_it_is_durable(patch: Patch) -> None:
    careful = replication_world.Disk.received

    def received(disk: replication_world.Disk) -> None:
        for link in tuple(disk.links):
            link.session.acknowledge()
            link.answer()
        careful(disk)

    patch(replication_world.Disk, "received", received)


def replicas_join_before_they_have_everything(patch: Patch) -> None:
    careful = Comparison.proceed

    def proceed(self: Comparison) -> None:
        if self._target is not None:
            self._extents = []
        careful(self)

    patch(Comparison, "proceed", proceed)


def nothing_is_compared_at_opening(patch: Patch) -> None:
    careful = Comparison.proceed

    def proceed(self: Comparison) -> None:
        if self._target is None:
            self._extents = []
        careful(self)

    patch(Comparison, "proceed", proceed)


def what_was_not_acknowledged_is_kept(patch: Patch) -> None:
    careful = comparison.source_wins

    def source_wins(source: Member, right: Any, target: Member, other: Any, since: Any) -> Any:
        return careful(source, right, target, {block: other[block] for block in other if block in right}, since)

    patch(comparison, "source_wins", source_wins)


def repairs_overwrite_newer_writes(patch: Patch) -> None:
    careful = comparison.source_wins

    def source_wins(source: Member, right: Any, target: Member, other: Any, since: Any) -> Any:
        return [copy._replace(below=1 << 63) for copy in careful(source, right, target, other, since)]

    patch(comparison, "source_wins", source_wins)


def all_after_the_oldest_write_under_way_is_taken_as_sent(patch: Patch) -> None:
    careful = comparison.source_wins

    def source_wins(source: Member, right: Any, target: Member, other: Any, since: Any) -> Any:
        floor = min(since.resent, default=since.sent_after + 1)
        sent = {block for block, state in right.items() if state.stamp >= floor}
        rest = [{block: lines[block] for block in lines if block not in sent} for lines in (right, other)]
        return careful(source, rest[0], target, rest[1], since)

    patch(comparison, "source_wins", source_wins)


def lists_of_stamps_leave_out_what_is_staged(patch: Patch) -> None:
    careful = Session._inspect

    def inspect(session: Session[Any], *asked: int) -> None:
        staged, session.store.staged = session.store.staged, []  # type: ignore[attr-defined]
        careful(session, *asked)
        session.store.staged = staged  # type: ignore[attr-defined]

    patch(Session, "_inspect", inspect)


def the_set_shrinks_without_the_log(patch: Patch) -> None:
    careful = InSyncSet._ask

    def ask(self: InSyncSet, request: Any) -> None:
        if isinstance(request, Shrink):
            in_sync = tuple(disk for disk in self.volume.in_sync if disk not in request.disk_ids)
            self.told(replication_world.replace(self.volume, in_sync=in_sync))
        else:
            careful(self, request)

    patch(InSyncSet, "_ask", ask)


def reads_do_not_wait_for_writes(patch: Patch) -> None:
    careful = Owner.admit

    def admit(self: Owner, request: Any) -> None:
        if isinstance(request, Read):
            request.inside = True
        careful(self, request)

    patch(Owner, "admit", admit)


def the_watermark_runs_ahead(patch: Patch) -> None:
    careful = Write.head
    patch(Write, "head", lambda write, mark: careful(write, write.stamp if mark else 0))


def resyncing_replicas_are_told_the_watermark(patch: Patch) -> None:
    careful = Write.head
    patch(Write, "head", lambda write, _mark: careful(write, write._owner.commit_stamp))


def writes_under_way_are_not_sent_again(patch: Patch) -> None:
    def send_again(write: Write, member: Member) -> None:
        if write.missing & member.bit:
            write.release_from(member.bit)

    patch(Write, "send_again", send_again)


def one_sealed_replica_is_enough(patch: Patch) -> None:
    def all_sealed(self: Recovery) -> bool:
        return any(member.state is MemberState.SEALED for member in self._owner.members.values())

    patch(Recovery, "_all_sealed", all_sealed)


def an_unanswered_change_is_forgotten(patch: Patch) -> None:
    careful = InSyncSet.refused

    def refused(self: InSyncSet, refusal: Any) -> None:
        careful(self, refusal)
        if self._ask_again_at is not None:
            self._asked = None

    patch(InSyncSet, "refused", refused)


def a_refused_change_is_taken_for_one_that_was_not_applied(patch: Patch) -> None:
    careful = InSyncSet.refused

    def refused(self: InSyncSet, refusal: Any) -> None:
        if refusal.code == authority.STALE_CHANGE:
            self._perhaps_added = 0
        careful(self, refusal)

    patch(InSyncSet, "refused", refused)


def a_replica_being_added_does_not_count(patch: Patch) -> None:
    def counted_bits(self: InSyncSet) -> int:
        current = sum(m.bit for m in self._owner.members.values() if m.state is MemberState.SYNCING)
        return self.bits() | current

    patch(InSyncSet, "counted_bits", counted_bits)


def a_snapshot_does_not_wait_for_writes_under_way(patch: Patch) -> None:
    def is_quiet(self: Owner) -> bool:
        return self.phase is Phase.FROZEN and self.in_sync.is_settled and self.trusted == self.in_sync.bits()

    patch(Owner, "is_quiet", is_quiet)


def the_owner_goes_on_before_its_mark_is_worthless(patch: Patch) -> None:
    patch(Freezing, "thaw", lambda freezing: freezing._run())


def a_replica_joins_whose_source_is_behind(patch: Patch) -> None:
    careful = replication_world.Log.map_of
    patch(InSyncSet, "_may_join", lambda self, member: member.state is MemberState.CURRENT and not self.counts(member))

    def map_of(self: Any, volume_id: Any) -> Any:
        return replication_world.replace(careful(self, volume_id), parents=())

    patch(replication_world.Log, "map_of", map_of)


def joining_replicas_trust_the_watermark(patch: Patch) -> None:
    patch(Join, "watermark", property(lambda join: join.member.watermark))


def joining_replicas_are_not_sent_writes(patch: Patch) -> None:
    patch(Joins, "sent", lambda _joins, _extent: [])


def a_lost_connection_does_not_end_a_join(patch: Patch) -> None:
    patch(Joins, "lost", lambda _joins, _member: None)


def a_replica_being_adopted_does_not_count(patch: Patch) -> None:
    patch(InSyncSet, "perhaps_adopted_bits", lambda _set, _extent: 0)


def replicas_are_adopted_before_they_have_everything(patch: Patch) -> None:
    careful = Joins._begin

    def begin(self: Joins, member: Member, extent: int) -> None:
        careful(self, member, extent)
        self._joins[extent, member].is_complete = True

    patch(Joins, "_begin", begin)


def old_maps_are_not_refused(patch: Patch) -> None:
    patch(Session, "_refuse_outdated", lambda _session, _replica: None)


def reads_need_no_lease(patch: Patch) -> None:
    patch(Lease, "holds", lambda _lease: True)


def nobody_waits_for_the_end_of_a_lease(patch: Patch) -> None:
    patch(Lease, "may_be_left_out", lambda _lease, _now: True)


def a_sealed_replica_still_renews_the_lease(patch: Patch) -> None:
    def ping(session: Session[Any], _changes: int, _mark: int) -> None:
        assert session.replica is not None

    patch(Session, "_ping", ping)


# Each rule, and a seed that notices when it is missing: the search begins there, since some are noticed rarely.
RULES: Final[dict[Rule, int]] = {
    a_majority_is_enough: 1,
    older_owners_are_not_refused: 14,
    nobody_is_sealed: 75,
    acknowledged_before_it_is_durable: 1,
    replicas_join_before_they_have_everything: 1,
    nothing_is_compared_at_opening: 4,
    what_was_not_acknowledged_is_kept: 5,
    repairs_overwrite_newer_writes: 17,
    all_after_the_oldest_write_under_way_is_taken_as_sent: 3,
    lists_of_stamps_leave_out_what_is_staged: 18,
    the_set_shrinks_without_the_log: 13,
    reads_do_not_wait_for_writes: 159,
    the_watermark_runs_ahead: 38,
    resyncing_replicas_are_told_the_watermark: 1,
    writes_under_way_are_not_sent_again: 1,
    one_sealed_replica_is_enough: 1,
    an_unanswered_change_is_forgotten: 282,
    a_refused_change_is_taken_for_one_that_was_not_applied: 115,
    a_replica_being_added_does_not_count: 112,
}

# In which weather these are noticed soonest.
RULE_WEATHERS: Final[dict[Rule, str]] = {
    lists_of_stamps_leave_out_what_is_staged: "storm",
    a_refused_change_is_taken_for_one_that_was_not_applied: "slow log",
}

# The same for snapshots.
SNAPSHOT_RULES: Final[dict[Rule | str, int]] = {
    a_snapshot_does_not_wait_for_writes_under_way: 2,
    the_owner_goes_on_before_its_mark_is_worthless: 1,
    a_replica_joins_whose_source_is_behind: 1,
    "marks stay good": 1,
    "marks are not looked at": 1,
}

# The same for the rules of a layout that changes.
MOVING_RULES: Final[dict[Rule, int]] = {
    joining_replicas_trust_the_watermark: 1,
    joining_replicas_are_not_sent_writes: 1,
    a_lost_connection_does_not_end_a_join: 1,
    a_replica_being_adopted_does_not_count: 250,
    replicas_are_adopted_before_they_have_everything: 1,
    old_maps_are_not_refused: 1,
}
MOVING: Final = Weather(layout=SAME, move=3.0)
MOVING_FAST: Final = Weather(layout=SAME, move=1.0, fault=1.0, log_latency=0.6, blocks=8)

# The same for the lease, where hosts are cut off and go on for themselves.
LEASE_RULES: Final[dict[Rule, int]] = {
    reads_need_no_lease: 1,
    nobody_waits_for_the_end_of_a_lease: 60,
    a_sealed_replica_still_renews_the_lease: 1,
}
ISLANDS: Final = Weather(layout=SAME, island=8.0, fault=6.0, blocks=32, guests=8)

WEATHERS: Final = {
    "mixed layout": Weather(),
    "the same disks": Weather(layout=SAME),
    "one guest, few blocks": Weather(guests=2, blocks=4, layout=SAME, slow=0.01),
    "slow log": Weather(log_latency=0.5),
    "storm": Weather(fault=1.0, slow=0.05),
    "slow network": Weather(latency=0.15, fault=4.0, slow=0.01),
    "snapshots": Weather(snapshot=2.0),
    "many snapshots": Weather(snapshot=0.5, layout=SAME, fault=4.0),
    "replicas move": MOVING,
    "replicas move while the log is slow": MOVING_FAST,
    "replicas of a mixed layout move": Weather(move=2.0),
    "islands": ISLANDS,
    "replicas are checked": Weather(scrub=True, seconds=30.0),
    "replicas are checked while they move": Weather(layout=SAME, move=2.0, scrub=True, seconds=30.0),
}


@pytest.mark.parametrize("weather", WEATHERS)
def test_nothing_acknowledged_is_lost_and_no_read_goes_back_in(weather: str) -> None:
    answered = 0
    for seed in range(1, SEEDS + 1):
        world = World(seed, WEATHERS[weather])
        world.run()
        answered += sum(1 for operation in world.operations if operation.end is not None)
    assert answered > 40 * SEEDS, "the weather was so bad that nothing was tested"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_simulator_notices_when(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    rule(monkeypatch.setattr)
    weather = WEATHERS[RULE_WEATHERS.get(rule, "mixed layout")]
    assert first_violation(RULES[rule], SEEDS_TO_NOTICE, weather=weather) is not None


def test_the_simulator_notices_when_the_log_applies_late_duplicates() -> None:
    assert first_violation(1, SEEDS_TO_NOTICE, "changes are not counted") is not None


@pytest.mark.parametrize("rule", SNAPSHOT_RULES, ids=str)
def test_the_simulator_of_snapshots_notices_when(rule: Rule | str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not isinstance(rule, str):
        rule(monkeypatch.setattr)
    broken = rule if isinstance(rule, str) else ""
    assert first_violation(SNAPSHOT_RULES[rule], SEEDS_TO_NOTICE, broken, WEATHERS["snapshots"]) is not None


@pytest.mark.parametrize("rule", MOVING_RULES, ids=lambda rule: rule.__name__)
def test_the_simulator_notices_while_replicas_move_when(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    rule(monkeypatch.setattr)
    weather = MOVING_FAST if rule is a_replica_being_adopted_does_not_count else MOVING
    assert first_violation(MOVING_RULES[rule], SEEDS_TO_NOTICE, weather=weather) is not None


@pytest.mark.parametrize("rule", LEASE_RULES, ids=lambda rule: rule.__name__)
def test_the_simulator_notices_on_islands_when(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    rule(monkeypatch.setattr)
    assert first_violation(LEASE_RULES[rule], SEEDS_TO_NOTICE, weather=ISLANDS) is not None


def test_the_simulator_notices_when_a_replica_leaves_too_early() -> None:
    broken = "replicas leave before the others are in sync"
    assert first_violation(1, SEEDS_TO_NOTICE, broken, MOVING) is not None


def test_replicas_do_move_in_the_simulator() -> None:
    worlds = [World(seed, MOVING) for seed in range(1, 21)]
    for world in worlds:
        world.run()
    assert sum(world.mover.moved for world in worlds) > 30


def first_violation(
    first: int, count: int, broken: str = "", weather: Weather = WEATHERS["mixed layout"]
) -> tuple[int, Exception] | None:
    """The first seed in which something went wrong, and what."""
    for seed in range(first, first + count):
        try:
            World(seed, weather, broken).run()
        except Exception as error:
            return seed, error
    return None


def main(first: int, count: int, rule: str = "") -> None:
    for each in (*RULES, *MOVING_RULES, *LEASE_RULES, *(rule for rule in SNAPSHOT_RULES if not isinstance(rule, str))):
        if each.__name__ == rule:
            each(setattr)
    for weather in (Weather(), MOVING, ISLANDS):
        report(first_violation(first, count, rule, weather))


def report(found: tuple[int, Exception] | None) -> None:
    print("nothing found" if found is None else f"seed {found[0]}: {type(found[1]).__name__} {found[1]}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
