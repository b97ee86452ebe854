"""What does pysyncobj's own core do in the same weather? It shows what the corrected one is for.

    python -m tests.simulation.log.stock [COUNT]     how many of COUNT worlds show violations: stock, and ours

Only what stock claims is asked of it: writes by proposals, a fixed set of voters, no reads. It is driven twice: as if
no crash lost anything that it had written (kill -9), and with a kernel that writes after five seconds (a power cut).
"""

import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Final, cast

from pysyncobj import SyncObj

from consensus.host.core import TIMING
from consensus.host.journal import Journal
from consensus.host.seams import (
    EntryKind,
    Failure,
    JournalAdapter,
    Message,
    Node,
    ProposalDone,
    Role,
    Skeleton,
    settings_for,
)
from consensus.host.shelf import Shelf
from consensus.room import Shortage, Standing
from tests.simulation.log.node import Parts, SimNode
from tests.simulation.log.seeds import Report, live_through
from tests.simulation.log.weather import Weather, draw_weather

WORLDS: Final = 200
_NOT_FOR_STOCK: Final = {"torn write", "disk fails", "full disk", "wipe", "replace", "at change", "at install"}


class _StockJournal(JournalAdapter):
    """Our journal under all the names that stock uses: it also cuts entries by their position."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self._whole = journal

    def deleteEntriesFrom(self, position: int) -> None:
        self._whole.cut_from(self._whole.first_index + position)


class _NoDumps:
    def cancelTransmisstion(self, _node: Node) -> None:
        """Nothing is ever sent."""


class StockCore(Skeleton):
    """pysyncobj as it comes, under the names by which a world moves a core."""

    def __init__(
        self,
        me: str,
        journal: Journal,
        _shelf: Shelf,
        outbox: SimNode,
        apply: Callable[[int, bytes], object],
        *,
        checkpoint_entries: int,
    ) -> None:
        self.journal = journal
        self.voters = set(outbox.world.founders)
        self.installs: list[Node] = []
        self.wants_checkpoint = False
        self.must_tick_again = False
        self._apply = apply
        settings = settings_for(journal, **TIMING)
        settings.dynamicMembershipChange = False
        settings.leaderFallbackTimeout = 30.0  # its default
        super().__init__(
            me, frozenset(self.voters), settings, lambda node_id, body: outbox.post(node_id, body, when_durable=False)
        )
        self._SyncObj__raftLog = _StockJournal(journal)
        self._SyncObj__serializer = _NoDumps()
        self._last_forward_id = 0

    _SyncObj__parseChangeClusterRequest = SyncObj._SyncObj__parseChangeClusterRequest
    _SyncObj__changeCluster = SyncObj._SyncObj__changeCluster
    _SyncObj__sendAppendEntries = SyncObj._SyncObj__sendAppendEntries
    _SyncObj__onBecomeLeader = SyncObj._SyncObj__onBecomeLeader

    def _SyncObj__tryLogCompaction(self) -> None:
        """Its dumps need files and forks: they are left out."""

    def _SyncObj__doApplyCommand(self, command: bytes) -> object:
        return self._apply(self.applied + 1, command[1:]) if command[0] == EntryKind.REQUEST else None

    @property
    def me(self) -> str:
        return str(self.self_node.id)

    @property
    def leads(self) -> bool:
        return self.role == Role.LEADER

    def tick(self) -> None:
        self.stock_tick()

    def due_in_s(self) -> float:
        return 0.05

    def deliver(self, node_id: str, message: Message) -> None:
        self.stock_receive(Node(node_id), message)

    def link_up(self, node_id: str) -> None:
        self.stock_voter_linked(Node(node_id))

    def link_down(self, node_id: str) -> None:
        self.stock_voter_unlinked(Node(node_id))

    def set_room(self, standing: Standing, shortage: Shortage | None) -> None:
        """It does not know of that."""

    def propose_change(self, _kind: str, _node_id: str, done: ProposalDone) -> None:
        done(None, Failure.REQUEST_DENIED)


KILLED: Final = Parts(
    core=cast("type", StockCore),
    holds_promises=False,
    founds=False,
    needs_majority=False,
    kernel_s=0.0,
    encode=pickle.dumps,
    decode=pickle.loads,
)
POWER_LOST: Final = replace(KILLED, kernel_s=5.0)


def weather_for_stock(seed: int) -> Weather:
    """What the seed draws, without what stock does not claim to survive."""
    drawn = draw_weather(seed)
    faults = tuple(fault for fault in drawn.faults if fault not in _NOT_FOR_STOCK) or ("crash",)
    return replace(drawn, faults=faults, learners=0, change_rate=0.0, handover_rate=0.0, reads=0.0)


def compare(seeds: range) -> dict[str, Report]:
    """The same worlds with each core."""
    cores = {"stock, processes killed": KILLED, "stock, power lost": POWER_LOST, "ours, power lost": Parts()}
    return {name: live_through(seeds, parts, weather_for_stock) for name, parts in cores.items()}


def main(count: int) -> None:
    for name, report in compare(range(1, count + 1)).items():
        print(f"{name:25} {len(report.found):5} of {report.worlds} worlds show violations")
        for seed, reason in list(report.found.items())[:5]:
            print(f"    seed {seed}: {reason[:150]}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else WORLDS)
