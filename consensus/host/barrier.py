"""Up to which index must this node apply before a read sees everything acknowledged so far?

The leader's commit index, once a majority has said that the leader's term is still theirs: then nobody else can have
committed anything (Ongaro's thesis, section 6.4, "read index"). A follower asks the leader. Reads that arrive while a
round is under way share the next one. What was asked is asked again: who was asked may have died, and a link lose it.
"""

from collections.abc import Callable
from typing import Final, cast

import trio

from consensus.host.core import Core
from consensus.host.messages import BarrierAsk, BarrierIndex, BarrierPing, BarrierPong
from consensus.host.seams import Message, Node

ROUND_S_MAX: Final = 1.5
ASK_AGAIN_S: Final = 0.25


class _Round:
    """One question to the majority, or to the leader."""

    def __init__(self, term: int) -> None:
        self.term = term
        self.confirmed: set[str] = set()
        self.index: int | None = None
        self.answered = trio.Event()
        self.over = trio.Event()


class Barriers:
    """The read rounds of one node."""

    def __init__(self, core: Core, send: Callable[[str, object], None]) -> None:
        self._core = core
        self._send = send
        self._round: _Round | None = None
        self._number = core.number_of_life  # an answer meant for the life before must not pass for one of now

    async def index(self) -> int | None:
        """The index to wait for; None if no majority or no leader confirmed it: try again."""
        met = self._round
        if met is not None:
            # It may have asked before our caller's write was acknowledged: only a later one counts.
            await met.over.wait()
        if self._round is None or self._round is met:
            return await self._hold_round()
        joined = self._round
        await joined.over.wait()
        return joined.index

    async def _hold_round(self) -> int | None:
        self._number += 1
        this = self._round = _Round(self._core.current_term)
        try:
            with trio.move_on_after(ROUND_S_MAX):
                if self._core.leads:
                    this.index = await self._ask_majority(this)
                elif (leader := self._core.leader_node) is not None:
                    await self._ask_leader(this, leader)
        finally:
            this.over.set()
            if self._round is this:
                self._round = None
        return this.index

    async def _ask_leader(self, this: _Round, leader: Node) -> None:
        """Until it answers, or leads no more: then who comes after it can be asked at once."""
        while self._core.leader_node == leader and not this.answered.is_set():
            self._send(leader.id, BarrierAsk(type="barrier_ask", number=self._number))
            with trio.move_on_after(ASK_AGAIN_S):
                await this.answered.wait()

    async def _ask_majority(self, this: _Round) -> int | None:
        core = self._core
        if core.first_own_index is None or core.applied < core.first_own_index:
            return None  # what earlier leaders committed is not known yet
        index = core.committed
        this.confirmed.add(core.me)
        self._count(this)
        while core.leads and not this.answered.is_set():
            for voter in core.voters - this.confirmed:
                self._send(voter, BarrierPing(type="barrier_ping", number=self._number))
            with trio.move_on_after(ASK_AGAIN_S):
                await this.answered.wait()
        return index if core.leads and core.current_term == this.term else None

    def _count(self, this: _Round) -> None:
        if len(this.confirmed & self._core.voters) > len(self._core.voters) / 2:
            this.answered.set()

    def on_ping(self, node_id: str, message: Message) -> None:
        """A leader asks for this node's term."""
        number = cast(BarrierPing, message)["number"]
        self._send(node_id, BarrierPong(type="barrier_pong", number=number, term=self._core.current_term))

    def on_pong(self, node_id: str, message: Message) -> None:
        """A voter says its term."""
        pong = cast(BarrierPong, message)
        if self._round is not None and pong["number"] == self._number and pong["term"] == self._round.term:
            self._round.confirmed.add(node_id)
            self._count(self._round)

    def on_index(self, message: Message) -> None:
        """The leader answers `barrier_ask`."""
        answer = cast(BarrierIndex, message)
        if self._round is not None and answer["number"] == self._number:
            self._round.index = answer["index"]
            self._round.answered.set()

    async def answer(self, node_id: str, message: Message) -> None:
        """A follower asks for the index; None tells it to ask somebody else."""
        number = cast(BarrierAsk, message)["number"]
        index = await self.index() if self._core.leads else None
        self._send(node_id, BarrierIndex(type="barrier_index", number=number, index=index))
