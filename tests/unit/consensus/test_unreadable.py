"""Whatever a stranger sends is refused by the protocol that it was sent to, never by an error that ends the daemon."""

from collections.abc import Callable

import msgspec
import pytest

from consensus.admission import read_question, read_response
from consensus.calls import BadFrame, read_answer, read_call
from consensus.door import DoorClosed, read_as
from consensus.host.messages import BadMessage, Hello, decode, decode_hello
from consensus.words import Offer, is_offer

NOT_UTF8 = (b"\x93\xa1\xff\x00\xc0", b"\x81\xa1\xff\x00", b"\x92\xa1\xff\x00", b"\x92\xa5offer\xa1\xff")
DEEP = b"\x91" * 100_000
NESTED = (DEEP, b"\x81\xa4type" + DEEP, b"\x94\xa1x\x00\xc4\x00" + DEEP, b"\x93\xa2ok\xc4\x00" + DEEP)
READERS: tuple[tuple[Callable[[bytes], object], type[Exception]], ...] = (
    (read_call, BadFrame),
    (read_answer, BadFrame),
    (decode, BadMessage),
    (decode_hello, BadMessage),
    (read_question, DoorClosed),
    (read_response, DoorClosed),
    (lambda message: read_as(message, Offer), DoorClosed),
)


@pytest.mark.parametrize("noise", [*NOT_UTF8, *NESTED])
def test_what_can_not_be_read_is_refused_as_such(noise: bytes) -> None:
    for read, refusal in READERS:
        with pytest.raises(refusal):
            read(noise)
    assert not is_offer(noise)


@pytest.mark.parametrize("port", [0, -1, 1 << 16, 1 << 63])
def test_a_peer_that_says_to_listen_on_no_port_is_refused(port: int) -> None:
    with pytest.raises(BadMessage, match="no port"):
        decode_hello(msgspec.msgpack.encode(Hello("n1", port)))
