"""Which rules does the log need? Cores that break one each, to see that the simulator notices.

`python -m tests.simulation.log.mutants [COUNT [NAME…]]` says for each at which seed it was caught, if within COUNT.
"""

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from consensus.host.applying import Applier
from consensus.host.barrier import Barriers
from consensus.host.checkpoint import Header
from consensus.host.checkpointing import Checkpointing
from consensus.host.core import Core
from consensus.host.journal import Journal
from consensus.host.requests import Requests
from consensus.host.seams import Entry, Message, Node, Role
from consensus.host.shelf import Shelf
from tests.simulation.log.node import Parts
from tests.simulation.log.seeds import live_through
from tests.simulation.log.weather import Weather, draw_weather

# -- what the disk must keep


class ForgetsVote(Journal):
    def set_vote(self, term: int, voted_for: str | None) -> None:
        super().set_vote(term, None)


class ForgetsTerm(Journal):
    def set_vote(self, term: int, voted_for: str | None) -> None:
        kept = len(self._unwritten)
        super().set_vote(term, voted_for)
        del self._unwritten[kept:]


class ForgetsCut(Journal):
    def cut_from(self, index: int) -> None:
        kept = len(self._unwritten)
        super().cut_from(index)
        del self._unwritten[kept:]


class TellsTermEarly(Journal):
    """Says that a new term is durable before it is."""

    @property
    def term_is_durable(self) -> bool:
        return True

    @term_is_durable.setter
    def term_is_durable(self, value: bool) -> None:
        pass


class TrimsTooFar(Journal):
    """Forgets entries that no checkpoint holds yet."""

    def trim(self, index: int, trail_entries: int) -> None:
        super().trim(index + 3, 0)


# -- who may vote and lead


class VotesTwice(Core):
    def stock_receive_vote(self, message: Message) -> None:
        if message["term"] == self.current_term and self.role != Role.LEADER:
            self._SyncObj__votedForNodeId = None  # type: ignore[assignment]

    def deliver(self, node_id: str, message: Message) -> None:
        if message["type"] == "request_vote":
            self.stock_receive_vote(message)
        super().deliver(node_id, message)


class VotesForShorterLogs(Core):
    def deliver(self, node_id: str, message: Message) -> None:
        if message["type"] in {"request_vote", "pre_vote"}:
            message = {**message, "last_log_term": 1 << 40, "last_log_index": 1 << 40}
        super().deliver(node_id, message)


class FollowsOldLeaders(Core):
    def follow(self, leader: Node, term: int) -> bool:
        return super().follow(leader, max(term, self.current_term))


class CampaignsWithoutVote(Core):
    def may_campaign(self) -> bool:
        return not self.is_installing


class CampaignsWhileInstalling(Core):
    def may_campaign(self) -> bool:
        return self.me in self.voters


class LeadsWithoutMajority(Core):
    """Never steps down (no check-quorum)."""

    def tick(self) -> None:
        for node in self.answered_at:
            self.answered_at[node] = float("inf")
        super().tick()


# -- what is committed


class CountsOldTerms(Core):
    """Commits entries of earlier terms once a majority holds them (Raft, figure 8)."""

    def tick(self) -> None:
        if self.leads:
            held = sorted([self.last_index(), *(self.match_index[node] for node in self.other_voters)])
            self._commit_up_to(held[(len(held) - 1) // 2])
        super().tick()


class CountsLearners(Core):
    """Lets those without a vote acknowledge like voters."""

    def tick(self) -> None:
        if self.leads:
            everyone = self.other_voters | self.learner_nodes
            held = sorted([self.last_index(), *(self.match_index.get(node, 0) for node in everyone)], reverse=True)
            majority = (len(self.other_voters) + 1) // 2
            index = held[majority]
            entry = self.journal.at(index)
            if entry is not None and entry[2] == self.current_term:
                self._commit_up_to(index)
        super().tick()


class CommitsAtOnce(Core):
    """The leader takes for committed what only itself holds."""

    def tick(self) -> None:
        super().tick()
        if self.leads:
            self._commit_up_to(self.last_index())


class CommitsBeyondAgreement(Core):
    """A follower believes the leader's commit index for entries that it did not compare."""

    def on_append(self, leader: Node, message: Message) -> None:
        super().on_append(leader, message)
        if message["term"] == self.current_term:
            self._commit_up_to(min(int(str(message["commit_index"])), self.last_index()))


class CountsStaleAnswers(Core):
    """An acknowledgement from an earlier term counts for this one."""

    def on_append_reply(self, node: Node, message: Message) -> None:
        super().on_append_reply(node, {**message, "term": self.current_term})


# -- how logs are made equal


class CutsMatchingEntries(Core):
    """What stock does: an append cuts off all that stands behind it, also what matches."""

    def _take(self, entries: list[Entry]) -> None:
        if self.journal.at(entries[0][1]) is not None:
            self._cut_from(entries[0][1])
        for fresh in entries:
            self.journal.add(*fresh)
            self.note_appended(fresh)

    def _cut_from(self, index: int) -> None:
        for entry in reversed(self.journal.since(index)):
            self.note_cut(entry)
        self.journal.cut_from(index)


class KeepsConflictingEntries(Core):
    def _take(self, entries: list[Entry]) -> None:
        for fresh in entries:
            if self.journal.at(fresh[1]) is None:
                self.journal.add(*fresh)
                self.note_appended(fresh)


class AppendsAnywhere(Core):
    """Does not compare the entry before."""

    def _mismatch(self, index: int, term: int) -> int | None:
        return None if self.journal.at(index) is not None else super()._mismatch(index, term)


class KeepsOldMatches(Core):
    """A new leader believes what followers acknowledged to an earlier one."""

    def become_leader(self) -> None:
        before = dict(self.match_index)
        super().become_leader()
        self.match_index.update({node: index for node, index in before.items() if node in self.match_index})


class TellsRemovalEarly(Core):
    def _end_for(self, node: Node) -> int:
        return self.last_index() + 1


# -- voters


class OverlappingChanges(Core):
    def _change_is_pending(self) -> bool:
        return False


class ChangesBeforeOwnEntry(Core):
    """A new leader changes the voters before it has committed anything (Ongaro, 2015)."""

    def admit_change(self, request: tuple[str, str, Node]) -> bool:
        own, self.first_own_index = self.first_own_index, 0
        try:
            return super().admit_change(request)
        finally:
            self.first_own_index = own


class ForgetsToTakeBack(Core):
    """A change of voters that is cut off the log stays in force."""

    def note_cut(self, entry: Entry) -> None:
        pass


# -- checkpoints


class AcceptsOldCheckpoints(Shelf):
    def adopt_incoming(self, newer_than: int) -> Header | None:
        return super().adopt_incoming(0)


class MixesCheckpoints(Shelf):
    """Goes on in the middle after the link broke."""

    def stop_sending(self, node: Node) -> None:
        pass


class ForgetsRequests(Checkpointing):
    """A checkpoint without the ids of the requests in it."""

    def _restore(self, breathe: Callable[[], None]) -> list[bytes]:
        super()._restore(breathe)
        return []


class ForgetsVoters(Core):
    """A checkpoint names the newest voters instead of those at its place in the log."""

    def _applied_voters(self) -> set[str]:
        return set(self.voters)


class KeepsLogBehindCheckpoint(Core):
    """Does not compare the log with the checkpoint that takes its place."""

    def _join_journal_to(self, header: Header | None) -> None:
        held = self.journal.at(header.index) if header is not None else None
        if header is None or held is None:
            super()._join_journal_to(header)


# -- requests and reads


class AdmitsAll(Requests):
    def admit(self, index: int, envelope: object) -> bool:
        return True


class RepeatsRequests(Applier):
    def __init__(self, machine: object) -> None:
        super().__init__(machine)  # type: ignore[arg-type]
        self.requests = AdmitsAll()


class ReadsWithoutMajority(Barriers):
    async def _ask_majority(self, this: object) -> int | None:
        return self._core.committed


class ReadsBeforeOwnEntry(Barriers):
    """Does not wait until the new leader knows what is committed."""

    async def _ask_majority(self, this: object) -> int | None:
        own, self._core.first_own_index = self._core.first_own_index, 0
        try:
            return await super()._ask_majority(this)  # type: ignore[arg-type]
        finally:
            if self._core.first_own_index == 0:
                self._core.first_own_index = own


class JoinsOlderRound(Barriers):
    """A read shares the round that was already under way when it came."""

    async def index(self) -> int | None:
        met = self._round
        if met is None:
            return await super().index()
        await met.over.wait()
        return met.index


# -- the list

_POWER: Final = Weather(
    fault_rate=2.0, faults=("power cut", "at ack", "torn write"), sync_s=0.03, think_s=0.05, down_s=0.5
)
_CONTEST: Final = Weather(
    fault_rate=5.0,
    faults=("at vote", "at vote", "crash leader", "isolate leader"),
    sync_s=0.15,
    flight_s=0.01,
    down_s=0.1,
)
_FIGURE_8: Final = Weather(
    voters=5,
    fault_rate=5.0,
    faults=("at lead", "at commit", "isolate leader", "split"),
    ballast=(150_000,),
    flight_s=0.03,
    think_s=0.05,
    reads=0.0,
    down_s=0.3,
)
_ALONE: Final = Weather(voters=1, learners=2, fault_rate=3.0, faults=("at lead", "crash", "torn write"), down_s=0.2)
_SPLIT: Final = Weather(learners=2, fault_rate=2.0, faults=("split", "isolate leader", "cut"), think_s=0.05)
_LATE: Final = Weather(
    voters=5,
    seconds=18.0,
    fault_rate=3.0,
    faults=("split", "stall", "isolate leader", "at commit"),
    think_s=0.05,
    flight_s=0.03,
    reads=0.0,
)
_RESTLESS: Final = Weather(
    voters=5,
    learners=1,
    change_rate=6.0,
    fault_rate=3.0,
    faults=("at change", "crash leader", "split", "isolate leader"),
)
_BEHIND: Final = Weather(
    fault_rate=3.0,
    faults=("isolate leader", "isolate", "stall", "pause"),
    checkpoint_entries=5,
    think_s=0.05,
    reads=0.0,
)
_READERS: Final = Weather(
    fault_rate=2.0,
    faults=("crash leader", "at lead", "isolate leader"),
    flight_s=0.1,
    think_s=0.03,
    reads=0.6,
    clients=8,
)


@dataclass(frozen=True)
class Mutant:
    """A set of parts of which one breaks a rule, and the weather in which that shows (None: the swarm's)."""

    parts: Parts
    weather: Weather | None = None

    def weather_of(self, seed: int) -> Weather:
        return self.weather or draw_weather(seed)


MUTANTS: Final[dict[str, Mutant]] = {
    "acknowledges before fsync": Mutant(Parts(holds_promises=False), _POWER),
    "goes on after a failed fsync": Mutant(Parts(obeys_disk=False)),
    "forgets its vote": Mutant(Parts(journal=ForgetsVote), _CONTEST),
    "forgets its term": Mutant(Parts(journal=ForgetsTerm)),
    "forgets that it cut its log": Mutant(Parts(journal=ForgetsCut)),
    "tells a term before it is durable": Mutant(Parts(journal=TellsTermEarly), _ALONE),
    "trims entries that no checkpoint holds": Mutant(Parts(journal=TrimsTooFar)),
    "votes twice in a term": Mutant(Parts(core=VotesTwice)),
    "votes for shorter logs": Mutant(Parts(core=VotesForShorterLogs), _SPLIT),
    "follows old leaders": Mutant(Parts(core=FollowsOldLeaders), _SPLIT),
    "campaigns without a vote": Mutant(Parts(core=CampaignsWithoutVote)),
    "campaigns while it installs a checkpoint": Mutant(Parts(core=CampaignsWhileInstalling)),
    "leads without a majority": Mutant(Parts(core=LeadsWithoutMajority)),
    "commits earlier terms by counting": Mutant(Parts(core=CountsOldTerms), _FIGURE_8),
    "counts learners": Mutant(Parts(core=CountsLearners), _SPLIT),
    "commits what it alone holds": Mutant(Parts(core=CommitsAtOnce), _SPLIT),
    "commits beyond what was compared": Mutant(Parts(core=CommitsBeyondAgreement), _SPLIT),
    "counts stale acknowledgements": Mutant(Parts(core=CountsStaleAnswers), _LATE),
    "cuts entries that match": Mutant(Parts(core=CutsMatchingEntries), _LATE),
    "keeps entries that conflict": Mutant(Parts(core=KeepsConflictingEntries), _SPLIT),
    "appends without comparing": Mutant(Parts(core=AppendsAnywhere), _SPLIT),
    "believes acknowledgements to earlier leaders": Mutant(Parts(core=KeepsOldMatches), _LATE),
    "tells a removal before it is committed": Mutant(Parts(core=TellsRemovalEarly), _RESTLESS),
    "accepts overlapping changes of voters": Mutant(Parts(core=OverlappingChanges)),
    "changes voters before its own entry": Mutant(Parts(core=ChangesBeforeOwnEntry), _RESTLESS),
    "keeps a change of voters that was cut off": Mutant(Parts(core=ForgetsToTakeBack)),
    "accepts an older checkpoint": Mutant(Parts(shelf=AcceptsOldCheckpoints), _BEHIND),
    "goes on with a checkpoint after a break": Mutant(Parts(shelf=MixesCheckpoints), _BEHIND),
    "names voters too new in a checkpoint": Mutant(Parts(core=ForgetsVoters), replace(_RESTLESS, checkpoint_entries=5)),
    "keeps its log beside a checkpoint that conflicts": Mutant(Parts(core=KeepsLogBehindCheckpoint), _BEHIND),
    "keeps no request ids in checkpoints": Mutant(Parts(checkpointing=ForgetsRequests)),
    "applies a repeated request again": Mutant(Parts(applier=RepeatsRequests)),
    "reads what it has": Mutant(Parts(reads_by_barrier=False)),
    "reads without asking the majority": Mutant(Parts(barriers=ReadsWithoutMajority), _SPLIT),
    "reads before its own entry is committed": Mutant(Parts(barriers=ReadsBeforeOwnEntry), _READERS),
    "joins a round of reads under way": Mutant(Parts(barriers=JoinsOlderRound), _READERS),
}


def catch(name: str, seeds: Iterable[int]) -> tuple[int, int, str] | None:
    """How many worlds it took, the seed that caught it, and why; None if none did."""
    mutant = MUTANTS[name]
    report = live_through(seeds, mutant.parts, mutant.weather_of, stop_after=1)
    for seed, reason in report.found.items():
        return report.worlds, seed, reason
    return None


def main(count: int, names: list[str]) -> None:
    for name in names or MUTANTS:
        began = time.process_time()
        caught = catch(name, range(1, count + 1))
        said = f"seed {caught[1]}: {caught[2]}" if caught is not None else f"not within {count} seeds"
        print(f"{name:50} {time.process_time() - began:6.1f} s  {said[:170]}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300, sys.argv[2:])
