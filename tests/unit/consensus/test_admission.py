"""Whom a cluster admits, what announcements say, who may try again, and what peer calls look like on the wire."""

import msgspec
import pytest

from consensus.admission import AskAdmission, EntryConfig, Greet, encode, misfit, read_question, read_response
from consensus.calls import (
    FRAME_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    BadFrame,
    Unreachable,
    body_length,
    call_frame,
    denied_frame,
    done_frame,
    read_answer,
    read_call,
)
from consensus.discovery import NodeState, short_words, sighting_from_text, sighting_to_text
from consensus.door import DoorClosed
from consensus.throttle import Throttle
from noded.core.errors import Conflict, Kind, NotFound, OutcomeUnknown, Refused, Unavailable
from noded.core.ids import NodeId

FINGERPRINT = "0123456789abcdef" * 4
ASKED = AskAdmission(name="n1", addresses=("10.0.0.1",), release="1.4.0", now_ms=1_000_000)


def test_a_fitting_node_fits() -> None:
    for release in ("1.3.9", "1.4.0", "1.5.1"):
        assert misfit(ASKED, release=release, now_ms=1_029_000) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": ""}, "name"),
        ({"name": "n" * 65}, "name"),
        ({"name": "n\n1"}, "name"),
        ({"addresses": ()}, "addresses"),
        ({"addresses": ("10.0.0.1",) * 17}, "addresses"),
        ({"now_ms": 1_031_000}, "31 s ahead"),
        ({"now_ms": 969_000}, "31 s behind"),
        ({"addresses": ("gateway.example",)}, "no IP address"),
        ({"ports_to_come": tuple(range(65))}, "64 ports"),
        ({"mtu": 1400}, "1400 bytes"),
        ({"release": "1.6.0"}, "release 1.6.0"),
        ({"release": "2.4.0"}, "release 2.4.0"),
        ({"release": "nightly"}, "release nightly"),
    ],
)
def test_a_node_that_does_not_fit_is_told_why(change: dict[str, object], says: str) -> None:
    reason = misfit(msgspec.structs.replace(ASKED, **change), release="1.4.2", now_ms=1_000_000)
    assert reason is not None
    assert says in reason


def test_questions_and_answers_are_not_taken_for_each_other() -> None:
    assert read_question(encode(ASKED)) == ASKED
    with pytest.raises(DoorClosed):
        read_response(encode(Greet()))
    with pytest.raises(DoorClosed):
        read_question(b"noise")


def test_an_announcement_is_read_back() -> None:
    config = EntryConfig(seed=None, name="n1", addresses=("10.0.0.1",), release="0.1.0")
    sighting = config.sighting(FINGERPRINT, NodeState.UNCLAIMED, "town")
    assert sighting_from_text(sighting_to_text(sighting), sighting.port) == sighting


@pytest.mark.parametrize(
    "change",
    [
        {"id": "f" * 32},
        {"fp": "short"},
        {"fp": "G" * 64},
        {"state": "king"},
        {"id": ""},
        {"at": ""},
        {"at": "example.com"},
    ],
)
def test_a_false_announcement_is_no_sighting(change: dict[str, str]) -> None:
    text = {"id": FINGERPRINT[:32], "fp": FINGERPRINT, "state": "member", "at": "10.0.0.1"}
    assert sighting_from_text(text, 7402) is not None
    assert sighting_from_text(text | change, 7402) is None


def test_short_words_are_three_and_can_be_said() -> None:
    # The example of arXiv:0901.4016: 127.0.0.1 is lusab-babad.
    assert short_words("7f000001" + "0" * 56) == "lusab-babad-babab"


def test_failures_are_rationed_by_address_and_forgiven_with_time() -> None:
    throttle = Throttle(burst=3, refill_s=10.0)
    for _ in range(3):
        assert throttle.allows("a", 100.0)
        throttle.failed("a", 100.0)
    assert not throttle.allows("a", 100.0)
    assert throttle.allows("b", 100.0)
    assert not throttle.allows("a", 109.0)
    assert throttle.allows("a", 110.0)
    throttle.failed("a", 110.0)
    assert not throttle.allows("a", 110.0)
    assert throttle.allows("a", 1000.0)


def test_calls_and_answers_cross_the_wire() -> None:
    frame = call_frame("grant", b"payload", 1.5)
    assert body_length(frame[:4]) == len(frame) - 4
    call = read_call(frame[4:])
    assert (call.method, call.payload, call.limit_ms) == ("grant", b"payload", 1500)
    assert read_answer(done_frame(b"yes")[4:]) == b"yes"


@pytest.mark.parametrize("kind", [Conflict, NotFound, OutcomeUnknown, Unavailable])
def test_a_refusal_crosses_the_wire_as_itself(kind: type[Refused]) -> None:
    with pytest.raises(kind) as caught:
        read_answer(denied_frame(kind("not now", code="Word"))[4:])
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.code, caught.value.kind) == ("not now", "Word", kind.kind)


def test_a_refusal_of_a_class_that_others_do_not_know_crosses_as_the_nearest_that_they_do() -> None:
    with pytest.raises(Unavailable) as caught:
        read_answer(denied_frame(Unreachable(NodeId("b" * 32), "gone"))[4:])
    assert type(caught.value) is Unavailable
    with pytest.raises(Refused) as refused:
        read_answer(denied_frame(Refused("no", kind=Kind.BUG))[4:])
    assert refused.value.kind is Kind.BUG


def test_limits_hold_on_both_sides() -> None:
    with pytest.raises(ValueError, match="at most"):
        call_frame("big", bytes(PAYLOAD_BYTES_MAX + 1), 1.0)
    with pytest.raises(ValueError, match="at most"):
        done_frame(bytes(PAYLOAD_BYTES_MAX + 1))
    with pytest.raises(BadFrame):
        body_length((FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
    for noise in (b"", b"\xff", b"\x93\x01\x02\x03"):
        with pytest.raises(BadFrame):
            read_call(noise)
        with pytest.raises(BadFrame):
            read_answer(noise)
