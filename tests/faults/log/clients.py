"""Who uses the log while it breaks, and what do they note? Clients that change and read registers through any node."""

import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from tests.faults.log.cluster import Cluster
from tests.faults.log.judge import GET, OK, REFUSED, SET, UNKNOWN, Call
from tests.faults.log.place import Place
from tests.faults.log.wire import Answer, Ask, Caller, Get, Gone, Held, No, Set

ROAMING = 4  # clients that ask any node, beside one for each node that asks no other
REGISTERS = 8
CALL_S_MAX = 4.0
THINK_S = (0.0, 0.02)
AFTER_FAILURE_S = (0.02, 0.1)
SETS_OF_TEN = 6
INFORMED_OF_TEN = 8  # who does not know what others wrote is refused, which must be right as well


@dataclass
class Epoch:
    """The time of one injected fault: registers of its own, and the calls made to them."""

    number: int
    calls: list[Call] = field(default_factory=list)
    acknowledged_at: list[float] = field(default_factory=list)
    newest: dict[str, int] = field(default_factory=dict)  # the versions that any client has seen

    def register(self, dice: random.Random) -> str:
        return f"e{self.number}r{dice.randrange(REGISTERS)}"


class Clients:
    """All clients of one cluster. They work while `epoch` is one, and rest while it is None."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster = cluster
        self._seed = seed
        self._busy = 0
        self._work = trio.Event()
        self._idle = trio.Event()
        self.epoch: Epoch | None = None

    def begin(self, number: int) -> Epoch:
        """Start working on a new epoch."""
        self.epoch = Epoch(number)
        self._work.set()
        return self.epoch

    async def rest(self) -> None:
        """Stop, and wait until every call has ended."""
        self.epoch = None
        self._work = trio.Event()
        self._idle = trio.Event()
        while self._busy:
            await self._idle.wait()
            self._idle = trio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            for number in range(len(self._cluster.places) + ROAMING):
                nursery.start_soon(self._be_client, number, random.Random(f"{self._seed}.{number}"))

    async def _be_client(self, number: int, dice: random.Random) -> None:
        caller = Caller()
        versions: dict[str, int] = {}
        written = 0
        # What waits at a node that is cut off says nothing about the others: so each has a client that never leaves it.
        homes = self._cluster.places[number : number + 1] or self._cluster.places
        place = dice.choice(homes)
        while True:
            while (epoch := self.epoch) is None:
                await self._work.wait()
            if dice.random() < 0.3:
                place = dice.choice(homes)
            register = epoch.register(dice)
            call = Call(client=number, node=place.number, kind=GET, register=register, start=0.0)
            request: Ask = Get(register, CALL_S_MAX - 0.5)
            if dice.randrange(10) < SETS_OF_TEN:
                written += 1
                known = epoch.newest if dice.randrange(10) < INFORMED_OF_TEN else versions
                expected = known.get(register, 0)
                call.kind, call.version, call.value = SET, expected + 1, f"{register}c{number}w{written}"
                request = Set(register, epoch.number, expected, call.value, CALL_S_MAX - 0.5)
            self._busy += 1
            try:
                await self._call(caller, place, request, call)
            finally:
                self._busy -= 1
                self._idle.set()
            self._note(epoch, call, versions)
            if call.outcome == OK and call.kind == SET:
                self._cluster.note_acknowledged(place.number)
            if call.outcome == OK or call.version is not None:
                await trio.sleep(dice.uniform(*THINK_S))
            if call.outcome != OK:
                place = dice.choice(homes)
                await trio.sleep(dice.uniform(*AFTER_FAILURE_S))

    async def _call(self, caller: Caller, place: Place, request: Ask, call: Call) -> None:
        call.start = time.monotonic()
        try:
            answer = await caller.ask(place.socket, request, CALL_S_MAX)
        except Gone as gone:
            call.outcome = UNKNOWN if gone.sent else REFUSED
            call.why = str(gone)
            if not gone.sent:
                call.version = None
            return
        call.end = time.monotonic()
        _place(call, answer)

    def _note(self, epoch: Epoch, call: Call, versions: dict[str, int]) -> None:
        if call.outcome == UNKNOWN and call.kind == GET:
            return  # it says nothing
        epoch.calls.append(call)
        if call.outcome == OK and call.kind == SET:
            epoch.acknowledged_at.append(call.end)
        if call.version is not None and call.outcome != UNKNOWN:
            versions[call.register] = call.version
            epoch.newest[call.register] = max(call.version, epoch.newest.get(call.register, 0))


def _place(call: Call, answer: Answer) -> None:
    """What the answer makes of the call."""
    match answer:
        case Held():
            call.outcome, call.version, call.value = OK, answer.version, answer.value
        case No():
            call.outcome, call.version, call.why = REFUSED, answer.version, answer.why
        case _:
            call.outcome, call.why = UNKNOWN, str(answer)


def longest_gap(
    acknowledged_at: Sequence[float], begun: float, ended: float, excused: Sequence[tuple[float, float]]
) -> float:
    """The longest time without an acknowledged change, not counting the times `excused`."""
    moments = sorted([begun, *(at for at in acknowledged_at if begun < at < ended), ended])
    return max(
        end - start - sum(max(0.0, min(end, late) - max(start, early)) for early, late in excused)
        for start, end in itertools.pairwise(moments)
    )
