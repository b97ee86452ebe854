"""How long a client is listened to: the clock jumps, so a client that stalls takes no time here."""

import math
from collections.abc import Iterable

import pytest
import trio
import trio.testing

from noded.core.errors import Invalid, TooLarge
from noded.gateway.answer import Answer, send_answer
from noded.gateway.body import Body, ClientGone, Message
from noded.gateway.limits import BODY_IDLE_S, DRAIN_S


def piece(size: int, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


class Client:
    """Sends its messages, then stalls."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._messages = list(messages)
        self.heard: list[Message] = []

    async def receive(self) -> Message:
        await trio.lowlevel.checkpoint()
        if not self._messages:
            await trio.sleep(math.inf)
        return self._messages.pop(0)

    async def send(self, message: Message) -> None:
        self.heard.append(message)


def body_of(*messages: Message, bytes_max: int = 10, drain_bytes_max: int = 10) -> Body:
    return Body(Client(messages).receive, bytes_max, drain_bytes_max)


async def test_a_body_is_read_to_its_end_and_only_once() -> None:
    body = body_of(piece(3), piece(0), piece(4, more=False))
    assert await body.whole() == b"x" * 7
    assert await body.whole() == b""
    assert await body.drain()


async def test_more_than_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge):
        await body_of(piece(6), piece(6)).whole()


async def test_a_client_that_stalls_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    with pytest.raises(Invalid):
        await body_of(piece(6)).whole()
    assert trio.current_time() - began == pytest.approx(BODY_IDLE_S)


async def test_what_is_left_is_drained_up_to_a_size() -> None:
    assert await body_of(piece(5), piece(4, more=False)).drain()
    assert not await body_of(piece(5), piece(5), piece(5, more=False)).drain()


async def test_what_is_left_is_drained_up_to_a_time(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    assert not await body_of(piece(5)).drain()
    assert trio.current_time() - began == pytest.approx(DRAIN_S)


async def test_nobody_waits_for_who_has_gone() -> None:
    with pytest.raises(ClientGone):
        await body_of(piece(5), GONE).drain()
    await body_of(piece(5), piece(0, more=False), GONE).until_gone()


@pytest.mark.parametrize(("messages", "ended"), [([piece(5, more=False)], True), ([piece(50)], False), ([], False)])
async def test_the_answer_is_out_before_the_rest_is_drained_and_ends_the_exchange_only_after_all(
    autojump_clock: trio.testing.MockClock, messages: list[Message], ended: bool
) -> None:
    client = Client(messages)
    await send_answer(Answer(409, {}, b"busy"), "PUT", Body(client.receive, 10, 10), client.send)
    start, content, *end = client.heard
    assert (start["headers"], content["body"]) == ([(b"content-length", b"4")], b"busy")
    assert content["more_body"]
    assert end == ([{"type": "http.response.body", "body": b""}] if ended else [])
