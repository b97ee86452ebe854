"""Who waits at the door, and in whose name a yes is said: an admission is told under that name."""

import pytest

from consensus.admission import AskAdmission
from consensus.authority import new_private_key, public_key_of
from consensus.door import Channel
from consensus.doors.api import _named
from consensus.doors.model import Waiting
from consensus.host.porch import SILENT_MS_MAX, WaitingRoom
from consensus.naming import node_id_of
from noded.core.errors import Conflict, Forbidden, NotFound
from noded.core.ids import NodeId
from noded.core.origin import Origin

KEY = public_key_of(new_private_key())
PEER = node_id_of(KEY)
ADMIN = Origin("user:u1", "ann", "p1", "req-1", "10.0.0.9", 5)


def channel(words: str = "one two three") -> Channel:
    return Channel(KEY, bytes(32), bytes(32), "words", words)


def asked(*, agreed: bool = False) -> AskAdmission:
    return AskAdmission(name="new", addresses=("10.0.0.2",), release="1", now_ms=0, agreed=agreed)


def room(misfit: str | None = None) -> WaitingRoom:
    made = WaitingRoom(NodeId("here"))
    made.asks(channel(), asked(), misfit, 0)
    return made


def test_who_says_yes_is_remembered_as_long_as_the_node_asks_on() -> None:
    waiting = room()
    assert waiting.approved_by(PEER) is None
    waiting.approve(PEER, "one two three", 1, ADMIN)
    assert waiting.asks(channel(), asked(agreed=True), None, 2).approved
    assert waiting.approved_by(PEER) == ADMIN


def test_another_handshake_voids_the_yes_and_who_said_it() -> None:
    waiting = room()
    waiting.approve(PEER, "one two three", 1, ADMIN)
    assert not waiting.asks(channel("four five six"), asked(), None, 2).approved
    assert waiting.approved_by(PEER) is None


def test_what_does_not_fit_gets_no_yes() -> None:
    with pytest.raises(Forbidden, match="shows other words"):
        room().approve(PEER, "other words here", 1, ADMIN)
    with pytest.raises(Conflict, match="clock"):
        room("its clock is wrong").approve(PEER, "one two three", 1, ADMIN)
    with pytest.raises(NotFound):
        room().approve(PEER, "one two three", SILENT_MS_MAX + 1, ADMIN)
    assert room().approved_by(NodeId("nobody")) is None


def test_words_that_are_no_ascii_are_wrong_words_too() -> None:
    waiting = Waiting(requests=room().requests(1), unclaimed=())
    assert _named(waiting, "", "one two three").node_id == PEER
    with pytest.raises(NotFound):
        _named(waiting, "", "größe-fidüt")
