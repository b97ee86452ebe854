"""How long a read waits where who was asked dies, or a question is lost."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest
import trio
import trio.testing

from consensus.host.barrier import ASK_AGAIN_S, Barriers
from consensus.host.core import Core
from consensus.host.seams import Node

ONE, TWO = Node("one"), Node("two")


@dataclass
class Standing:
    """What a barrier asks of the core."""

    me: str = "me"
    leads: bool = False
    leader_node: Node | None = ONE
    current_term: int = 1
    first_own_index: int | None = 5
    applied: int = 9
    committed: int = 9
    number_of_life: int = 1000
    voters: frozenset[str] = frozenset({"me", "one", "two"})


@dataclass
class Air:
    """Carries questions to those who live."""

    said: list[str] = field(default_factory=list)
    answers: Callable[[str, dict[str, object]], None] = lambda _node_id, _message: None

    def send(self, node_id: str, message: object) -> None:
        self.said.append(node_id)
        self.answers(node_id, cast(dict[str, object], message))


def barriers(core: Standing, air: Air) -> Barriers:
    return Barriers(cast(Core, core), air.send)


async def read(asking: Barriers) -> int:
    """As `RaftNode.read_barrier` does, without its patience."""
    while (index := await asking.index()) is None:
        await trio.sleep(0.05)
    return index


async def test_a_read_asks_the_next_leader_as_soon_as_it_is_known(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    core, air = Standing(), Air()
    asking = barriers(core, air)

    def answer(node_id: str, message: dict[str, object]) -> None:
        if node_id == "two":
            asking.on_index({"type": "barrier_index", "number": message["number"], "index": 7})

    async def elect() -> None:
        await trio.sleep(1.9)  # by then, a second round with the dead one would have begun
        core.leader_node = TWO

    air.answers = answer
    nursery.start_soon(elect)
    began = trio.current_time()
    assert await read(asking) == 7
    assert trio.current_time() - began <= 1.9 + ASK_AGAIN_S + 0.05


@pytest.mark.parametrize("lost", ["ping", "ask"])
async def test_a_question_that_was_lost_is_asked_again(lost: str, autojump_clock: trio.testing.MockClock) -> None:
    core, air = Standing(leads=lost == "ping"), Air()
    asking = barriers(core, air)

    def answer(node_id: str, message: dict[str, object]) -> None:
        if air.said.count(node_id) < 2:
            return
        if lost == "ping":
            asking.on_pong(node_id, {"type": "barrier_pong", "number": message["number"], "term": 1})
        else:
            asking.on_index({"type": "barrier_index", "number": message["number"], "index": 9})

    air.answers = answer
    began = trio.current_time()
    assert await asking.index() == 9
    assert trio.current_time() - began <= ASK_AGAIN_S + 0.01


async def test_a_leader_that_lost_its_term_answers_nothing(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    core, air = Standing(leads=True, leader_node=Node("me")), Air()
    asking = barriers(core, air)

    async def step_down() -> None:
        await trio.sleep(0.1)
        core.leads = False

    nursery.start_soon(step_down)
    assert await asking.index() is None


async def test_an_answer_to_the_life_before_answers_nothing(autojump_clock: trio.testing.MockClock) -> None:
    core, air = Standing(), Air()
    asking = barriers(core, air)
    air.answers = lambda _node_id, _message: asking.on_index({"type": "barrier_index", "number": 1, "index": 3})
    assert await asking.index() is None
