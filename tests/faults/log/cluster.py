"""How is a cluster of a fault test started, asked, mended and changed? The operator's hands."""

import random
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from tests.faults.log import builds, shim
from tests.faults.log.network import Network
from tests.faults.log.place import Place
from tests.faults.log.wire import (
    Answer,
    Ask,
    Caller,
    Demote,
    Done,
    Gone,
    HandOver,
    Look,
    Meet,
    Promote,
    Standing,
)
from tests.twins.keys import Keys

SERVE_S_MAX = 90.0  # far more than it takes: what is slow must show in the table, not as a failure
SERVE_BROKEN_S_MAX = 15.0  # what may never serve again, since it is broken on purpose, need not be waited for
ANSWER_S_MAX = 30.0
LOOK_S_MAX = 3.0
POLL_S = 0.05
MOMENT_S_MAX = 3.0

R = TypeVar("R")


class Stuck(Exception):
    """The cluster does not come back by itself."""


class Cluster:
    """All places. Nothing runs after construction."""

    def __init__(self, directory: Path, count: int, dice: random.Random, build: str) -> None:
        self.dice = dice
        self.build = build
        self.network = Network(directory, count)
        library = shim.build(directory)
        shim.check(library, directory)
        keys = Keys()
        self.places = [Place(n, directory / f"n{n}", self.network, keys, library) for n in self.network.numbers]
        self.founder: Place | None = self.places[0]
        self.without_majority: list[tuple[float, float]] = []
        self._gone_at: float | None = None
        self._heard: dict[int, trio.Event] = {}
        self._patience_s = SERVE_S_MAX

    # -- places

    def majority(self) -> int:
        return len(self.places) // 2 + 1

    def shuffled(self) -> list[Place]:
        """All places, in any order."""
        return self.dice.sample(self.places, len(self.places))

    def others(self, *places: Place) -> list[Place]:
        """All other places, in any order."""
        return [place for place in self.shuffled() if place not in places]

    async def start(self, *places: Place) -> None:
        """Start these nodes. The time from which a majority is on counts as the end of an outage of all."""
        book = {place.node_id: place.address for place in self.places}
        for place in places:
            founds = place is self.founder
            await in_thread(partial(place.start, book, founds=founds, build=self.build))
        if sum(place.runs for place in self.places) >= self.majority():
            self.majority_is_back()

    async def kill(self, *places: Place) -> None:
        """SIGKILL, all at once."""
        for place in places:
            await in_thread(place.kill)

    def majority_is_gone(self) -> None:
        """From now on nothing can be acknowledged, and nobody is to blame."""
        self._gone_at = self._gone_at or time.monotonic()

    def majority_is_back(self) -> None:
        """From now on time counts again."""
        if self._gone_at is not None:
            self.without_majority.append((self._gone_at, time.monotonic()))
            self._gone_at = None

    # -- what clients hear

    def note_acknowledged(self, number: int) -> None:
        """A client was just told by that node that its change is made."""
        if (event := self._heard.pop(number, None)) is not None:
            event.set()

    async def acknowledgement(self, place: Place) -> None:
        """Return in the moment in which that node acknowledges something, or a little later if it does not."""
        with trio.move_on_after(MOMENT_S_MAX):
            await self._heard.setdefault(place.number, trio.Event()).wait()

    # -- asking

    async def ask(self, place: Place, request: Ask, within_s: float = ANSWER_S_MAX) -> Answer:
        """A node's answer; raises Gone. Several may ask at once, so each has a connection of its own."""
        caller = Caller()
        try:
            return await caller.ask(place.socket, request, within_s)
        finally:
            await caller.close()

    async def standing(self, place: Place) -> Standing | None:
        """How the log stands on a node; None if it does not answer."""
        if not place.runs or not place.socket.exists():
            return None
        try:
            answer = await self.ask(place, Look(), LOOK_S_MAX)
        except Gone:
            return None
        assert isinstance(answer, Standing)
        return answer

    async def leader(self) -> Place:
        """The node that leads, once one does; raises Stuck."""
        found: list[tuple[int, int]] = []

        async def leads() -> bool:
            found.clear()
            for number, place in enumerate(self.places):
                standing = await self.standing(place)
                if standing is not None and standing.leads:
                    found.append((standing.term, number))
            return bool(found)

        await self.until(leads, "no node leads")
        return self.places[max(found)[1]]

    async def follower(self) -> Place:
        """A node that does not lead."""
        return self.others(await self.leader())[0]

    async def until(self, true: Callable[[], Awaitable[object]], what: str, within_s: float | None = None) -> None:
        """Wait for something that happens by itself; raises Stuck if it does not."""
        within_s = within_s or self._patience_s
        deadline = time.monotonic() + within_s
        while not await true():
            if time.monotonic() > deadline:
                words = "\n".join(f"node {place.number}:\n{place.last_words()}" for place in self.places)
                raise Stuck(f"within {within_s:.0f} s: {what}. The nodes' last words:\n{words}")
            await trio.sleep(POLL_S)

    # -- voters

    async def form(self) -> None:
        """Start all, found the cluster and make everyone a voter."""
        await self.start(*self.places)
        await self.leader()
        self.founder = None
        for place in self.places[1:]:
            await self.promote(place)
        if self.build in builds.FORGETFUL:
            self._patience_s = SERVE_BROKEN_S_MAX

    async def change(self, request: Promote | Demote, made: Callable[[list[str]], bool]) -> None:
        """Ask whoever leads until the voters are so; raises Stuck. Others may be breaking things meanwhile."""

        async def is_made() -> bool:
            for place in self.places:
                standing = await self.standing(place)
                if standing is None or not standing.leads:
                    continue
                if made(standing.voters):
                    return True
                if isinstance(request, Demote) and request.node_id == place.node_id:
                    await self._try(place, HandOver())
                else:
                    await self._try(place, request)
            return False

        await self.until(is_made, f"{request} was not done")

    async def demote(self, place: Place) -> None:
        await self.change(Demote(place.node_id), lambda voters: place.node_id not in voters)

    async def promote(self, place: Place) -> None:
        await self.change(Promote(place.node_id), lambda voters: place.node_id in voters)

    async def replace(self, place: Place) -> None:
        """What an operator does with a node whose disk is damaged: it leaves the voters, and a new one comes."""
        await self.kill(place)
        old = place.node_id
        await self.demote(place)
        await in_thread(place.become_new)
        await self.meet([old])
        await self.start(place)
        await self.promote(place)

    async def meet(self, gone: Iterable[str] = ()) -> None:
        """Tell every running node who the members are now."""
        book = {place.node_id: place.address for place in self.places}
        for place in self.places:
            if place.runs and place.socket.exists():
                await self._try(place, Meet(book, list(gone)))

    async def _try(self, place: Place, request: Ask) -> bool:
        try:
            return isinstance(await self.ask(place, request), Done)
        except Gone:
            return False

    # -- mending

    async def mend(self) -> None:
        """All cables in, all nodes on, all of them voters, all level; raises Stuck."""
        await in_thread(self.network.shape)
        await self.start(*(place for place in self.places if not place.runs))
        await self.until(self._is_whole, "the cluster is not whole again")

    async def _is_whole(self) -> bool:
        standings = [await self.standing(place) for place in self.places]
        for place in self.places:
            if not place.runs:  # a disk that was just mended may end it once more
                await self.start(place)
        everyone = sorted(place.node_id for place in self.places)
        leads = [standing for standing in standings if standing is not None and standing.leads]
        if None in standings or not leads:
            return False
        known = min(standing.applied for standing in standings if standing is not None)
        top = max(leads, key=lambda standing: standing.term)
        return all(standing is not None and standing.voters == everyone for standing in standings) and (
            known >= top.applied - 100
        )

    async def await_answers(self) -> None:
        """Wait a while until all that run can be asked for what they know, even if the cluster does not serve."""
        with trio.move_on_after(SERVE_S_MAX):
            while not all([await self.standing(place) for place in self.places if place.runs]):
                await trio.sleep(POLL_S)

    def end(self) -> None:
        """Kill every node."""
        for place in self.places:
            place.kill()


async def in_thread(act: Callable[[], R]) -> R:
    """Mounts and waits must not hold up the clients, who measure."""
    return await trio.to_thread.run_sync(act)
