"""How does the leader change who votes, and who leads? One change at a time; nobody is promoted who lags."""

from collections.abc import Callable
from typing import Final

import trio

from consensus.host.core import Core
from consensus.host.seams import Failure, Node
from consensus.log import MembershipRefused, NotLeader, OutcomeUnknown

CHANGE_S_MAX: Final = 10.0
HANDOVER_S_MAX: Final = 5.0
POLL_S: Final = 0.05
CAUGHT_UP_ENTRIES: Final = 50  # a learner that lags by no more follows within one round trip


class Changes:
    """The changes that one node may make while it leads. `kick` lets its loop run."""

    def __init__(self, core: Core, kick: Callable[[], None]) -> None:
        self._core = core
        self._kick = kick

    async def promote(self, node_id: str) -> None:
        """Make a learner a voter once it has caught up. Raises NotLeader, MembershipRefused, OutcomeUnknown."""
        node = Node(node_id)
        with trio.move_on_after(CHANGE_S_MAX):
            while self._core.match_index.get(node, 0) < max(1, self._core.last_index() - CAUGHT_UP_ENTRIES):
                self._check_leads()
                if node in self._core.other_voters:
                    break
                await trio.sleep(POLL_S)
            await self._change("add", node_id)
            return
        raise MembershipRefused(f"node {node_id} has not caught up within {CHANGE_S_MAX} s")

    async def demote(self, node_id: str) -> None:
        """Make a voter a learner. Raises NotLeader, MembershipRefused, OutcomeUnknown."""
        if node_id == self._core.me:
            raise MembershipRefused("the leader can't demote itself: transfer the leadership first")
        await self._change("rem", node_id)

    async def _change(self, kind: str, node_id: str) -> None:
        self._check_leads()
        if (kind == "add") == (node_id in self._core.voters):
            return
        done = trio.Event()
        failures: list[int] = []

        def settle(_result: object, failure: int) -> None:
            failures.append(failure)
            done.set()

        self._core.propose_change(kind, node_id, settle)
        self._kick()
        with trio.move_on_after(CHANGE_S_MAX):
            await done.wait()
        if not failures:
            raise OutcomeUnknown(f"the change of voters was not confirmed within {CHANGE_S_MAX} s")
        if failures[0] == Failure.REQUEST_DENIED:
            raise MembershipRefused("another change of voters is under way, or the leader is new: try again")
        if failures[0] != Failure.SUCCESS:
            raise NotLeader("the leader changed; whether the voters changed too shows in `voters`")

    async def transfer_leadership(self, node_id: str | None, *, patience_s: float = HANDOVER_S_MAX) -> None:
        """Hand over to a voter (None: the one that has most). Raises NotLeader, MembershipRefused."""
        self._check_leads()
        try:
            with trio.move_on_after(patience_s):
                while self._core.leads:
                    self._core.hand_over(node_id, lambda _result, _failure: None)
                    self._kick()
                    await trio.sleep(POLL_S)
                return
        finally:
            self._core.end_handover()
        raise MembershipRefused(f"no voter took over within {patience_s} s: is {node_id or 'any'} reachable?")

    def _check_leads(self) -> None:
        if not self._core.leads:
            leader = self._core.leader_node
            known = None if leader is None else leader.id
            raise NotLeader(f"node {self._core.me} does not lead; the leader known here is {known}")
