"""A crowd that waits does not hold up others, and no queue grows without end."""

import pytest
import trio
import trio.testing

from noded.core.errors import Unavailable
from noded.identity.host.turns import Turns


async def test_crowds_take_turns() -> None:
    turns, order = Turns(1, 100, 50), list[str]()
    held = trio.Event()

    async def come(crowd: str) -> None:
        async with turns.turn(crowd):
            order.append(crowd)

    async def hold() -> None:
        async with turns.turn("first"):
            await held.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold)
        await trio.testing.wait_all_tasks_blocked()
        for crowd in ("flood", "flood", "flood", "flood", "ann", "bob", "ann"):
            nursery.start_soon(come, crowd)
            await trio.testing.wait_all_tasks_blocked()
        assert turns.waiting == 7
        held.set()
    assert order == ["flood", "ann", "bob", "flood", "ann", "flood", "flood"]
    assert turns.waiting == 0


async def test_who_can_not_wait_is_told_so_and_others_can() -> None:
    turns = Turns(1, 4, 3)

    async def hold(crowd: str) -> None:
        async with turns.turn(crowd):
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for _ in range(4):  # one has the place
            nursery.start_soon(hold, "flood")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Unavailable):
            async with turns.turn("flood"):
                pass
        nursery.start_soon(hold, "ann")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Unavailable):
            async with turns.turn("bob"):
                pass
        nursery.cancel_scope.cancel()
    async with turns.turn("bob"):  # nobody's place or turn was lost with them
        assert turns.waiting == 0
